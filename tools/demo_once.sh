# `./run --once`, a part of demo.sh: the whole job step by step, each step said and proved, at a press
# and at a line. The line tells its past and goes on live while the press is looked at.
# shellcheck shell=bash disable=SC2034,SC2154

press_port=5020
press_part=PRS-
output_lines_max=70
failed=0

step() { # what command...
    local what=$1 out
    shift
    headline "$what"
    if out=$("$@" 2>&1); then
        printf '%s\n' "$out" | head -n "$output_lines_max"
        say "   ok"
    else
        printf '%s\n' "$out" | tail -n 30
        say "   FAILED"
        failed=1
    fi
}

# ------------------------------------------------------------------------- the press

press_config() {
    sed -e "s/127\.0\.0\.1:5020/127.0.0.1:$press_port/" \
        -e "s/127\.0\.0\.1:1883/127.0.0.1:$mqtt_port/" \
        -e "s/127\.0\.0\.1:8080/127.0.0.1:$http_port/" "$top/examples/press.yaml"
}

press_and_node() {
    press_port=$(free_port "$press_port" "the press")
    press_config >"$demo/press.yaml"
    start_child "$demo/press.log" "$program" sim press --port "$press_port" --speed 2
    start_node "$demo/press.yaml" "$demo/press-node.log"
}

part_is_scanned() {
    lotline tags press.serial --json | grep -q "\"value\":\"$press_part"
}

step_collect() {
    wait_for "$patience_s" "a part in the press" part_is_scanned && lotline tags
}

step_filter() {
    say "(rule hard_press publishes what WHERE force > 13 passes)"
    mosquitto_sub -h 127.0.0.1 -p "$mqtt_port" -t plant1/line1/press/hard -C 3 -W "$patience_s" -v
}

has_points() {
    [ "$(lotline sql --csv "SELECT count(*) FROM points" | tail -n 1)" -gt 0 ]
}

step_store() {
    wait_for "$patience_s" "points in the historian" has_points &&
        lotline sql "SELECT count(*) AS points FROM points"
}

# A unit with its measures: the newest may still be on its way.
traced_part() {
    lotline units --json | grep -o "\"serial\":\"${press_part}[0-9]*\"" | sed 's/.*:"//; s/"//' |
        sort | head -n 1
}

part_is_whole() {
    local serial
    serial=$(traced_part)
    [ -n "$serial" ] && lotline trace "$serial" --json | grep -q '"characteristic":"force_max"'
}

step_bind() {
    wait_for "$patience_s" "a part with its measures" part_is_whole && lotline units
}

step_trace_part() {
    lotline trace "$(traced_part)"
}

step_write() {
    lotline write plc1.press.setpoint 14.5 && echo &&
        lotline read plc1.press.setpoint | tee "$demo/read.txt" && grep -q '14\.5' "$demo/read.txt"
}

# ------------------------------------------------------------------------- the line

step_past() {
    wait_for "$patience_s" "the past of two days" past_is_told && past_summary
}

# All of its way was polled from the machines.
step_live() {
    live=$(live_since)
    find_board "$live" && say "$board" | tee "$demo/board.txt" && bad_board_since "$live"
}

step_trace_board() {
    lotline trace "$board" --no-curves
}

step_why() {
    wait_for "$patience_s" "a cause" cause_is_found && lotline why --defect "$defect" &&
        lotline why --defect "$defect" --json |
        grep -q '"causes":\[{"kind":"material","name":"lot_f1","operation":"place"'
}

step_where_used() {
    lotline where-used "$(first_cause)" --limit 20000 --csv >"$demo/used.csv" &&
        say "$(($(wc -l <"$demo/used.csv") - 1)) units, $board among them" &&
        grep -q "$board" "$demo/used.csv"
}

press_steps() {
    data=$demo/press-data
    start_with_node press_and_node "$demo/press-node.log"
    say "Meanwhile a press on port $press_port, its node on MQTT $mqtt_port and HTTP $http_port."
    step "Collect: every tag with its latest value" step_collect
    step "Filter by SQL and publish: three messages on plant1/line1/press/hard" step_filter
    step "Store: points in the historian" step_store
    step "Bind: the parts that were in the press" step_bind
    step "Trace: one part" step_trace_part
    step "Write a tag, confirmed by the device, and read it back" step_write
}

line_steps() {
    step "A line that makes boards: two days of its past, told over MQTT" step_past
    step "Live: a board that is made now and fails its test" step_live
    board=$(cat "$demo/board.txt")
    step "Trace: that board, with its panel, lots, people and measures" step_trace_board
    step "Why: the causes of its defect, ranked" step_why
    step "Which others: the units made with that lot" step_where_used
}

once() {
    take_folder
    data=$demo/data
    start_with_node line_and_node "$demo/node.log"
    say "A line, its node on MQTT $mqtt_port and HTTP $http_port."
    press_steps
    data=$demo/data
    line_steps
    say ""
    [ "$failed" = 0 ] || die "a step failed; logs are in $demo"
    say "Everything worked."
}
