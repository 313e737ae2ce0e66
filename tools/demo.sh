#!/usr/bin/env bash
# What `./run` does after the build: starts a simulated press and a node on free ports and shows
# values arriving (until Ctrl-C), or with --once does the whole job once and says what it saw: at the
# press, and then with two days of a soldering line's past, in which a defect has a cause.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

program=$top/build/lotline
demo=$top/build/demo
data=$demo/data
patience_s=60
press_port=5020
mqtt_port=1883
http_port=8080
machine_pid= # the press, or the line
node_pid=

# ------------------------------------------------------------------------- ports and children

port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() { # wanted what
    local port=$1
    while port_taken "$port"; do
        port=$((port + 1))
    done
    [ "$port" = "$1" ] || say "Port $1 is in use: $2 takes $port." >&2
    echo "$port"
}

stop_children() {
    local pid
    for pid in $node_pid $machine_pid; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in $node_pid $machine_pid; do
        wait "$pid" 2>/dev/null || true
    done
    node_pid=
    machine_pid=
}

end_children() {
    trap - EXIT INT TERM
    stop_children
}

# Asks again until a command succeeds.
wait_for() { # what command...
    local what=$1 deadline=$((SECONDS + patience_s))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            say "Waited $patience_s s in vain for $what." >&2
            return 1
        fi
        sleep 0.2
    done
}

write_config() {
    sed -e "s/127\.0\.0\.1:5020/127.0.0.1:$press_port/" \
        -e "s/127\.0\.0\.1:1883/127.0.0.1:$mqtt_port/" \
        -e "s/127\.0\.0\.1:8080/127.0.0.1:$http_port/" \
        "$top/examples/press.yaml" >"$demo/press.yaml"
}

node_is_up() {
    [ -s "$data/run.json" ] || ! kill -0 "$node_pid" 2>/dev/null
}

# The press makes the same parts again, so what an earlier demo stored would show each of them twice.
begin_anew() {
    if [ -S "$data/lotline.sock" ] && lotline devices >/dev/null 2>&1; then
        die "a demo is running here already (its data is in $data); end it first with Ctrl-C"
    fi
    rm -rf "$data" "$demo/ledger.jsonl" "$demo/results"
}

start() { # press options...
    begin_anew
    mkdir -p "$demo"
    press_port=$(free_port "$press_port" "the press")
    mqtt_port=$(free_port "$mqtt_port" "MQTT")
    http_port=$(free_port "$http_port" "the console")
    write_config
    trap end_children EXIT
    trap 'exit 130' INT TERM
    "$program" sim press --port "$press_port" --ledger "$demo/ledger.jsonl" "$@" \
        >"$demo/press.log" 2>&1 &
    machine_pid=$!
    start_node "$demo/press.yaml"
}

start_node() { # configuration
    "$program" run -c "$1" --data "$data" >"$demo/node.log" 2>&1 &
    node_pid=$!
    wait_for "the node to start" node_is_up || true
    if ! kill -0 "$node_pid" 2>/dev/null; then
        cat "$demo/node.log" >&2
        die "the node did not start"
    fi
}

lotline() {
    "$program" "$@" --data "$data"
}

# ------------------------------------------------------------------------- one step of --once

failed=0

step() { # what command...
    local what=$1 out
    shift
    say ""
    say "== $what"
    if out=$("$@" 2>&1); then
        printf '%s\n' "$out" | head -n 70
        say "   ok"
    else
        printf '%s\n' "$out" | tail -n 30
        say "   FAILED"
        failed=1
    fi
}

part_is_scanned() {
    lotline tags press.serial --json | grep -q '"value":"PRS-'
}

step_collect() {
    wait_for "a part in the press" part_is_scanned && lotline tags
}

step_filter() {
    say "(rule hard_press publishes what WHERE force > 13 passes)"
    mosquitto_sub -h 127.0.0.1 -p "$mqtt_port" -t plant1/line1/press/hard -C 3 -W "$patience_s" -v
}

has_points() {
    [ "$(lotline sql --csv "SELECT count(*) FROM points" | tail -n 1)" -gt 0 ]
}

step_store() {
    wait_for "points in the historian" has_points &&
        lotline sql "SELECT count(*) AS points FROM points"
}

# A unit with its measures: the newest may still be on its way.
traced_serial() {
    lotline units --json | grep -o '"serial":"PRS-[0-9]*"' | sed 's/.*:"//; s/"//' | sort | head -n 1
}

unit_is_whole() {
    local serial
    serial=$(traced_serial)
    [ -n "$serial" ] && lotline trace "$serial" --json | grep -q '"characteristic":"force_max"'
}

step_bind() {
    wait_for "a unit with its measures" unit_is_whole && lotline units
}

step_trace() {
    lotline trace "$(traced_serial)"
}

step_write() {
    lotline write plc1.press.setpoint 14.5 && echo && lotline read plc1.press.setpoint | tee "$demo/read.txt" &&
        grep -q '14\.5' "$demo/read.txt"
}

# ------------------------------------------------------------------------- the line's past

has_config() {
    [ -s "$demo/line.yaml" ] && grep -q '^rules:' "$demo/line.yaml"
}

past_is_told() {
    grep -q 'the past is told' "$demo/line.log"
}

cause_is_found() {
    lotline why --defect tombstone --since 3d --json | grep -q '"result":"causes"'
}

bad_serial() {
    lotline units --verdict bad --json | grep -o '"serial":"B[0-9]*"' | sed 's/.*:"//; s/"//' | head -n 1
}

# The line listens first, since its ports are in the configuration it writes; it tells its past when
# the node has asked for the MES's books.
start_line() {
    begin_anew
    mqtt_port=$(free_port "$mqtt_port" "MQTT")
    http_port=$(free_port "$http_port" "the console")
    rm -f "$demo/line.yaml"
    "$program" sim plant --port 0 --scenario "$top/sim/scenarios/bad_reel_lot.yaml" --seed 1 \
        --files "$demo/results" --backfill 2d --wait-mes 3 --mqtt "127.0.0.1:$mqtt_port" \
        --token-file "$data/admin.token" --config "$demo/line.yaml" --speed 20 \
        >"$demo/line.log" 2>&1 &
    machine_pid=$!
    wait_for "the line to listen" has_config
    {
        echo "name: line1"
        echo "listen: {mqtt: \"127.0.0.1:$mqtt_port\", http: \"127.0.0.1:$http_port\"}"
        cat "$demo/line.yaml"
    } >"$demo/line-node.yaml"
    start_node "$demo/line-node.yaml"
}

step_past() {
    wait_for "the past of two days" past_is_told && tail -n 1 "$demo/line.log"
}

step_why() {
    wait_for "a cause" cause_is_found && lotline why --defect tombstone --since 3d
}

step_board() {
    lotline trace "$(bad_serial)" --no-curves
}

once() {
    # A place of its own: a demo that somebody looks at goes on meanwhile.
    demo=$top/build/demo-once
    data=$demo/data
    start --speed 2
    say "A press on port $press_port, a node on MQTT $mqtt_port and HTTP $http_port."
    step "Collect: every tag with its latest value" step_collect
    step "Filter by SQL and publish: three messages on plant1/line1/press/hard" step_filter
    step "Store: points in the historian" step_store
    step "Bind: the units that were in the press" step_bind
    step "Trace: one unit" step_trace
    step "Write a tag, confirmed by the device, and read it back" step_write
    stop_children
    data=$demo/line-data
    start_line
    step "A soldering line: two days of its past, told over MQTT" step_past
    step "Why: the causes of a defect, ranked" step_why
    step "Trace: one of the defective boards, with its panel, lots and people" step_board
    say ""
    [ "$failed" = 0 ] || die "a step failed; logs are in $demo"
    say "Everything worked."
}

# ------------------------------------------------------------------------- until Ctrl-C

show() {
    start
    local with="--data $data"
    grep '^Console' "$demo/node.log" || true
    cat <<TEXT
(one time, within ten minutes; another one: build/lotline link $with)

Try, in another terminal:
  build/lotline tags $with
  build/lotline units $with
  build/lotline trace PRS-000001 $with
  build/lotline write plc1.press.setpoint 14.5 $with
  build/lotline sql 'SELECT * FROM points LIMIT 5' $with
  mosquitto_sub -h 127.0.0.1 -p $mqtt_port -t 'plant1/#' -v

Values while the press works (Ctrl-C ends everything):

TEXT
    local ended=0
    lotline tail 'SELECT ts, serial, force, position FROM "plc1.press" WHERE force > 1' || ended=$?
    [ "$ended" -lt 128 ] || exit "$ended" # Ctrl-C reached it before it reached us
    tail -n 5 "$demo/node.log" >&2
    die "the node has ended; its log is $demo/node.log"
}

case "${1:-}" in
--once) once ;;
*) show ;;
esac
