#!/usr/bin/env bash
# What `./run` does after the build: a node and a simulated line with a defect, on free ports. The line
# tells two days of its past and goes on live; then a board that has just failed is traced, the defect
# is explained, and verdicts are shown as they come, until Ctrl-C. `--once` goes through every step, at a
# press too, and ends (demo_once.sh).
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/demo_once.sh
. "$(dirname "$0")/demo_once.sh"

program=$top/build/lotline
demos_max=9
starts_max=3        # somebody else may take a port between our look and our use of it
patience_s=90       # for anything but a live board
live_patience_s=150 # for a board that is made live and fails
stop_patience_s=20
boards_looked_at=20
defect=tombstone # what the scenario's fault makes
demo=            # this demo's own folder
data=            # the node's that is asked
mqtt_port=1883
http_port=8080
children=() # what runs besides us

# ------------------------------------------------------------------------- children

# What we start ends with us, whatever ends us.
start_child() { # log command...
    local log=$1
    shift
    setpriv --pdeathsig TERM "$@" >"$log" 2>&1 &
    children+=($!)
}

any_alive() { # pid...
    local pid
    for pid in "$@"; do
        ! kill -0 "$pid" 2>/dev/null || return 0
    done
    return 1
}

stop_children() {
    local pid deadline=$((SECONDS + stop_patience_s))
    for pid in "${children[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    while any_alive "${children[@]}"; do
        if [ $SECONDS -ge $deadline ]; then
            kill -KILL "${children[@]}" 2>/dev/null || true
        fi
        sleep 0.1
    done
    children=()
}

at_exit() {
    trap '' INT TERM HUP
    stop_children
}

on_signal() { # exit code
    printf '\nEnding the node and the line.\n' 2>/dev/null || true
    exit "$1"
}

# Asks again until a command succeeds, or one of our children has ended.
wait_for() { # seconds what command...
    local deadline=$((SECONDS + $1)) what=$2 pid
    shift 2
    until "$@" >/dev/null 2>&1; do
        for pid in "${children[@]}"; do
            if ! kill -0 "$pid" 2>/dev/null; then
                say "While waiting for $what, a program ended; the logs are in $demo." >&2
                return 1
            fi
        done
        if [ $SECONDS -ge $deadline ]; then
            say "Waited in vain for $what." >&2
            return 1
        fi
        sleep 0.2
    done
}

lotline() {
    "$program" "$@" --data "$data"
}

# ------------------------------------------------------------------------- a place of its own

# Several demos may run at once. The lock is inherited: it is held as long as anything of it runs.
take_folder() {
    local n=1
    mkdir -p "$top/build"
    demo=$top/build/demo
    while exec 9>"$demo.lock" && ! flock -n 9; do
        n=$((n + 1))
        [ $n -le $demos_max ] || die "$demos_max demos run here already; end one with Ctrl-C"
        demo=$top/build/demo-$n
    done
    [ $n = 1 ] || say "A demo is running here already: this one is beside it, in build/demo-$n."
    rm -rf "$demo"
    mkdir -p "$demo"
    trap at_exit EXIT
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM
    trap 'on_signal 129' HUP
}

port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() { # wanted what
    local port=$1
    while port_taken "$port"; do
        port=$((port + 1))
    done
    [ "$port" = "$1" ] || say "Port $1 is in use: $2 takes $port." >&2
    say "$port"
}

take_ports() {
    mqtt_port=$(free_port "$mqtt_port" "MQTT")
    http_port=$(free_port "$http_port" "the console")
}

# ------------------------------------------------------------------------- the node

start_node() { # configuration log
    local node
    start_child "$2" "$program" run -c "$1" --data "$data"
    node=${children[-1]}
    until [ -s "$data/run.json" ]; do
        kill -0 "$node" 2>/dev/null || return 1
        sleep 0.1
    done
}

# Starts a machine and its node; again with the next ports if somebody has taken ours meanwhile.
start_with_node() { # function log
    local try
    for ((try = 1; try <= starts_max; try++)); do
        take_ports
        if "$1"; then
            return 0
        fi
        stop_children
        grep -q 'is in use' "$2" || break
        rm -rf "$data"
    done
    cat "$2" >&2
    die "the node did not start"
}

# ------------------------------------------------------------------------- the line

line_is_ready() {
    [ -s "$demo/line.yaml" ] && grep -q '^rules:' "$demo/line.yaml"
}

# The line's own configuration, and what the demo wants besides.
line_config() {
    echo "name: line1"
    echo "listen: {mqtt: \"127.0.0.1:$mqtt_port\", http: \"127.0.0.1:$http_port\"}"
    cat "$demo/line.yaml"
    cat <<YAML
  - name: ${defect}_found
    sql: SELECT serial, refdes FROM aoi_files WHERE defect = '$defect'
    actions: [{alarm: {severity: major}}, {mqtt: {topic: plant1/smt/line1/$defect}}]
YAML
}

# The line listens first, since its ports are in the configuration it writes; it tells its past when
# the node has asked for the MES's books.
line_and_node() {
    rm -f "$demo/line.yaml"
    start_child "$demo/line.log" "$program" sim plant --port 0 \
        --scenario "$top/sim/scenarios/demo.yaml" --files "$demo/results" \
        --backfill 2d --wait-mes 3 --mqtt "127.0.0.1:$mqtt_port" \
        --token-file "$data/admin.token" --config "$demo/line.yaml"
    wait_for "$patience_s" "the line to listen" line_is_ready || return 1
    line_config >"$demo/plant.yaml"
    start_node "$demo/plant.yaml" "$demo/node.log"
}

past_is_told() {
    grep -q 'the past is told' "$demo/line.log"
}

# The moment the past met the present: the line says nothing after that.
live_since() {
    date -u -r "$demo/line.log" +%FT%TZ
}

past_summary() { # as "1620 panels, 6452 boards, 12.7 s"
    sed -n 's/.*the past is told.* messages, //p' "$demo/line.log"
}

# The defect was found on it, and its way is known from the printer on, after a moment, for sure.
is_showable() { # serial since
    local trace first
    trace=$(lotline trace "$1" --no-curves --json) || return 1
    first=$(grep -o '"t_in":"[^"]*"' <<<"$trace" | sort | sed -n 1p)
    [[ $first > "\"t_in\":\"$2" ]] && grep -q "\"defect\":\"$defect\"" <<<"$trace" &&
        grep -q '"station":"printer"' <<<"$trace" &&
        ! grep -qE '"status":"(recorded|inferred|ambiguous|missing)"' <<<"$trace"
}

# The latest board that failed the electrical test and can be shown.
bad_board() { # since
    local serial
    lotline sql --csv "SELECT serial FROM defects WHERE operation = 'ict' AND detected_at >= '$1'
        GROUP BY serial ORDER BY max(detected_at) DESC LIMIT $boards_looked_at" | tail -n +2 |
        while read -r serial; do
            if is_showable "$serial" "$1"; then
                say "$serial"
                break
            fi
        done
}

bad_board_since() { # since
    [ -n "$(bad_board "$1")" ]
}

# A board to look at: one that was made live, or else one of the past.
find_board() { # live-since
    wait_for "$live_patience_s" "a live board to fail" bad_board_since "$1" ||
        say "So here is one of the past." >&2
    board=$(bad_board "$1")
    [ -n "$board" ] || board=$(bad_board 1970-01-01)
    [ -n "$board" ] || die "no board failed at all; the logs are in $demo"
}

cause_is_found() {
    lotline why --defect "$defect" --json | grep -q '"result":"causes"'
}

# The level of the first cause: a lot.
first_cause() {
    lotline why --defect "$defect" --json | grep -o '"status":"cause","value":"[^"]*"' | head -n 1 |
        sed 's/.*:"//; s/"//'
}

# ------------------------------------------------------------------------- until Ctrl-C

headline() {
    printf '\n== %s\n\n' "$1"
}

# A question as it may be typed, and its answer.
show_answer() { # command...
    say "\$ build/lotline $*"
    lotline "$@"
}

tell() {
    cat <<TEXT
A simulated line makes circuit boards: printer, two placers, oven, inspections, test, rework. One lot
of capacitors is bad, and nobody has told Lotline. It reads the line's machines (Modbus TCP), its MES
(HTTP) and its inspection files (CSV), and binds all of it to the panels and boards.

$(sed -n 's/^Console: /Console:  /p' "$demo/node.log")
          (signs in once, within ten minutes; build/lotline link makes another)

TEXT
}

try_yourself() { # board lot
    headline "Now you, in another terminal"
    cat <<TEXT
cd $top
export LOTLINE_DATA=$data
build/lotline trace $1                   # the board again, with its curves
build/lotline units --verdict bad              # every unit that is bad now
build/lotline where-used $2 --limit 5000
build/lotline why --defect $defect --since 2d
build/lotline alarms
build/lotline sql "SELECT defect, count(*) FROM defects GROUP BY defect"
build/lotline tags zone5                       # the oven's fifth zone, now
build/lotline tail 'SELECT ts, zone5, speed FROM "oven.belt"'
mosquitto_sub -p $mqtt_port -t plant1/smt/line1/$defect -v
build/lotline link                             # signs in to the console; then:
          http://127.0.0.1:$http_port/#/units/$1
          http://127.0.0.1:$http_port/#/why/$defect
TEXT
    headline "What the optical inspection says, as it comes (Ctrl-C ends everything)"
}

show() {
    local live lot
    take_folder
    data=$demo/data
    start_with_node line_and_node "$demo/node.log"
    tell
    say "The line tells two days of its past ..."
    wait_for "$patience_s" "the past of two days" past_is_told || die "the line's log is $demo/line.log"
    live=$(live_since)
    say "    $(past_summary)"
    say "It works on live, 20 times as fast as a real one. A board takes a minute; waiting for a bad one ..."
    find_board "$live"
    headline "Board $board has just failed. What happened to it?"
    show_answer trace "$board" --no-curves
    wait_for "$patience_s" "a cause" cause_is_found || true
    headline "Why do boards get a $defect?"
    show_answer why --defect "$defect"
    lot=$(first_cause)
    try_yourself "$board" "$lot"
    lotline tail "SELECT ts, serial, result, defect, refdes FROM aoi_files" &
    children+=($!)
    wait $! || true # not in the foreground: a signal is heeded at once
    tail -n 5 "$demo/node.log" >&2
    die "the node has ended; its log is $demo/node.log"
}

case "${1:-}" in
--once) once ;;
*) show ;;
esac
