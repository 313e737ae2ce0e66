"""The plant's past, told afterwards: the same broker, streams and tracks make its history, and
what is found in it is what the ledger says."""

import json
import subprocess

from conftest import PROGRAM, free_port, wait_until
from support.past import told_past, wait_for_all
from support.smt import LISTEN, SCENARIOS, Line, printed_devices, visits

PAST = "4h"
ROW_US = 1_000_000  # a row a second
SLACK_US = 100_000
STATIONS = ["printer", "spi", "placer_a", "placer_b", "reflow", "aoi", "depanel", "ict", "rework"]


def told_steps(node):
    return node.sql(
        "SELECT s.station, u.serial, s.status, epoch_us(s.t_in) AS t_in, epoch_us(s.t_out) AS t_out"
        " FROM steps s JOIN units u ON s.unit = u.unit ORDER BY 4"
    )


def missing_visits(rows, want):
    """Of each station those that are not stored; what ended just now may still be on its way."""
    told = {(row["station"], row["serial"]) for row in rows}
    return {station: [v for v in truth if (station, v[2]) not in told]
            for station, truth in want.items()}


def test_the_past_is_traced_as_the_ledger_says(tmp_path, children, start_node):
    port = free_port() % 20000 + 20000  # the others follow
    node = start_node(f"name: line1\n{LISTEN}{printed_devices(port)}")
    host, mqtt = node.mqtt()
    options = ["--backfill", PAST, "--mqtt", f"{host}:{mqtt}", "--token-file"]
    line = Line(tmp_path, *options, node.data / "admin.token", "--scenario",
                SCENARIOS / "zone_drift.yaml")
    children.append(line)
    wait_until(lambda: "the past is told" in line.output, "the past", timeout_s=120)
    assert line.stop() == 0, line.output
    ledger = line.ledger()
    want = {station: visits(ledger, station) for station in STATIONS}

    def stored():
        rows = told_steps(node)
        missing = missing_visits(rows, want)
        return all(len(left) <= 2 for left in missing.values()) and (rows, missing)

    rows, missing = wait_until(stored, "every visit but two a station", timeout_s=60)
    for station, truth in want.items():
        told = [row for row in rows if row["station"] == station]
        by_serial = {}
        for row in told:
            by_serial.setdefault(row["serial"], []).append(row)
        for t_in, t_out, serial, _ in truth:
            near = [
                row
                for row in by_serial.get(serial, [])
                if abs(row["t_in"] - t_in) <= ROW_US + SLACK_US
                and abs(row["t_out"] - t_out) <= ROW_US + SLACK_US
            ]
            assert len(near) == 1 or (serial, t_in) in [(m[2], m[0]) for m in missing[station]], (
                station, serial, t_in, t_out, by_serial.get(serial),
            )
            assert all(row["status"] == "exact" for row in near), near
    print({station: len(truth) for station, truth in want.items()})
    assert len(want["ict"]) > 400


def test_a_past_without_a_token_is_refused_and_said(tmp_path, start_node):
    node = start_node(f"name: line1\n{LISTEN}{printed_devices(5030)}")
    host, mqtt = node.mqtt()
    nobody = tmp_path / "token"
    nobody.write_text("not the token\n")
    result = subprocess.run(
        [PROGRAM, "sim", "plant", "--port", "0", "--backfill", "1h", "--live", "no", "--mqtt",
         f"{host}:{mqtt}", "--token-file", nobody],
        capture_output=True, text=True, timeout=60,
    )
    assert result.returncode == 1
    assert "the broker refused" in result.stderr


def test_its_genealogy_and_its_cause_are_the_ledgers(tmp_path, children, start_node):
    node, ledger = told_past(tmp_path, children, start_node, "2d", "zone_drift", "5")
    wait_for_all(node, ledger)
    panels = {serial: row for serial, row in ledger.items() if row["status"] == "split"}
    check_genealogy(node, panels)
    answer = json.loads(node.command("why", "--defect", "cold_solder", "--json", check=True).stdout)
    first = answer["causes"][0]
    print(json.dumps(first, indent=1)[:1500])
    assert (first["status"], first["name"], first["operation"]) == ("cause", "zone5", "reflow")


def check_genealogy(node, panels):
    """Every board's panel, and every lot of a panel, are the ledger's."""
    want = {(serial, child) for serial, row in panels.items() for child in row["children"]}
    names = "(SELECT DISTINCT unit, serial FROM units)"
    told = {
        (row["parent"], row["child"])
        for row in node.sql(
            f"SELECT DISTINCT u.serial AS parent, l.child FROM links l JOIN {names} u"
            " ON l.parent = u.unit WHERE l.kind = 'split'"
        )
    }
    late = want - told
    assert len(late) <= 8, sorted(late)[:10]  # the last ones, still on their way
    lots = {
        (row["parent"], row["serial"])
        for row in node.sql(
            f"SELECT DISTINCT l.parent, u.serial FROM links l JOIN {names} u ON l.child = u.unit"
            " WHERE l.kind = 'consumption'"
        )
    }
    true = {(used["lot"], serial) for serial, row in panels.items() for used in row["consumed"]}
    wrong = {(lot, serial) for lot, serial in lots - true if serial in panels}
    assert not wrong, sorted(wrong)[:10]
    assert len(true - lots) <= 0.002 * len(true), sorted(true - lots)[:10]
