"""The plant's past, told afterwards: the same broker, streams and tracks make its history, and
what is found in it is what the ledger says."""

import json
import subprocess

import pytest

from conftest import PROGRAM, free_port, wait_until
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


def told_past(tmp_path, children, start_node, past, scenario, seed):
    """A node with all of the plant's configuration, to which two plant days were told."""
    mqtt = free_port()
    line = Line(
        tmp_path,
        *("--backfill", past, "--mqtt", f"127.0.0.1:{mqtt}", "--wait-mes", 3, "--seed", seed),
        *("--token-file", tmp_path / "node" / "data" / "admin.token"),
        *("--scenario", SCENARIOS / f"{scenario}.yaml"),
    )
    children.append(line)
    node = start_node(line.config(listen=f"listen: {{mqtt: 127.0.0.1:{mqtt}, http: 127.0.0.1:0}}\n"))
    wait_until(lambda: "the past is told" in line.output, "the past", timeout_s=240)
    assert line.stop() == 0, line.output
    return node, line.ledger()


def wait_for_links(node, kind, at_least):
    def there():
        rows = node.sql(
            f"SELECT count(DISTINCT parent || ' ' || child) AS n FROM links WHERE kind = '{kind}'"
        )
        return rows[0]["n"] >= at_least

    wait_until(there, f"{at_least} links of {kind}", timeout_s=120)


@pytest.mark.parametrize(
    "scenario, defect, cause, where",
    [
        ("zone_drift", "cold_solder", "zone5", "reflow"),
        ("operator_setup", "offset_print", "operator", "print"),
    ],
)
def test_the_true_cause_comes_first(tmp_path, children, start_node, scenario, defect, cause, where):
    node, ledger = told_past(tmp_path, children, start_node, "2d", scenario, "5")
    panels = {serial: row for serial, row in ledger.items() if row["status"] == "split"}
    check_genealogy(node, panels)
    true = sum(d["defect"] == defect for row in panels.values() for d in row["defects"])
    assert true > 100

    def told():
        rows = node.sql(f"SELECT count(*) AS n FROM defects WHERE defect = '{defect}'")
        return rows[0]["n"] >= 0.98 * true

    wait_until(told, "the defects", timeout_s=60)
    answer = json.loads(node.command("why", "--defect", defect, "--json", check=True).stdout)
    first = answer["causes"][0]
    print(json.dumps(first, indent=1)[:1500])
    assert cause in json.dumps(first) and where in json.dumps(first)


def check_genealogy(node, panels):
    """Every board's panel, and every lot of a panel, are the ledger's."""
    want = {(serial, child) for serial, row in panels.items() for child in row["children"]}
    wait_for_links(node, "split", len(want) - 8)
    wait_for_links(node, "consumption", 5 * (len(panels) - 2))
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
