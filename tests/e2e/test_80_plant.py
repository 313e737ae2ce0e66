"""The simulated plant is what its ledger says: what a node reads of its machines, what its MES and
its files tell, and what happens to a unit that is held."""

import csv
import datetime
import json
import urllib.error
import urllib.request

import pytest

from conftest import TOP, wait_until
from support.smt import (
    DEVICE_OF,
    POLL_US,
    SCENARIOS,
    Line,
    path_mm,
    printed_config,
    readings,
    visits,
)

SPEED = "25"
SLACK_US = 60_000  # between a reading's moment in the machine and its acquisition, on a busy host
STATIONS = ["printer", "spi", "placer_a", "placer_b", "aoi", "depanel", "ict"]


def ask(line, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{line.mes}{path}", data=data)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def stop(line):
    """Ends it and gives the whole ledger, units still in the line too."""
    assert line.stop() == 0, line.output
    return line.ledger()


def check_station(node, ledger, station):
    """The cycle bit and the serial say of each moment what the ledger says."""
    device = DEVICE_OF.get(station, station)
    truth = visits(ledger, station)
    edges = [t for t_in, t_out, *_ in truth for t in (t_in, t_out)]
    serials = dict(readings(node, device, "serial"))
    checked = 0
    for at, cycle in readings(node, device, "cycle"):
        if not truth or not truth[0][0] <= at <= truth[-1][1]:
            continue
        if min(abs(at - edge) for edge in edges) <= POLL_US + SLACK_US:
            continue
        inside = [visit for visit in truth if visit[0] <= at < visit[1]]
        assert bool(cycle) is bool(inside), (station, at, cycle, inside)
        checked += 1
        if inside and at in serials:
            assert serials[at] == (inside[0][2] if inside[0][3] else ""), (station, at, inside)
    return checked


def way(speeds, t0, t1):
    """∫ speed dt of the readings, straight between them, in mm."""
    total = 0.0
    for (a, v), (b, w) in zip(speeds, speeds[1:]):
        if t0 <= a and b <= t1:
            total += (v + w) / 2 * (b - a) / 1e6
    return total


def check_belt(node, panel, speeds, entry):
    path = panel["belt"]["path"]
    t_in, t_out = path[0][0], path[-1][0]
    inside = [(at, v) for at, v in speeds if t_in <= at <= t_out]
    told = way(speeds, inside[0][0], inside[-1][0])
    true = path_mm(path, inside[-1][0]) - path_mm(path, inside[0][0])
    assert true > 3000
    # What readings every 100 ms say of ramps, at a belt of 300 mm/s.
    assert told == pytest.approx(true, abs=60 + 0.02 * true), panel["serial"]
    assert path[-1][1] == pytest.approx(3600, abs=1)
    for zone in panel["belt"]["zones"]:
        from_mm = 300 + 375 * (zone["zone"] - 1)
        assert path_mm(path, zone["t_in"]) == pytest.approx(from_mm, abs=1.5)
        assert path_mm(path, zone["t_out"]) == pytest.approx(from_mm + 375, abs=1.5)
    seen = [v for at, v in entry if t_in + POLL_US + SLACK_US <= at <= t_in + 5 * POLL_US]
    assert all(seen), (panel["serial"], seen)
    return told, true


@pytest.mark.asan
def test_a_node_reads_what_the_ledger_says(tmp_path, children, start_node):
    line = Line(tmp_path, "--speed", SPEED, "--scenario", SCENARIOS / "rough_belt.yaml", "--seed", "3")
    children.append(line)
    node = start_node(line.config())
    wait_until(lambda: node.tag("oven.belt.speed")["quality"] == "good", "the oven to be read")

    def boards():
        return [row for row in line.ledger().values() if row["kind"] == "board"]

    wait_until(lambda: len(boards()) >= 24, "six panels of boards", timeout_s=120)
    ledger = stop(line)
    wait_until(lambda: node.sql("SELECT count(*) AS n FROM points")[0]["n"], "points to be stored")
    checked = {station: check_station(node, ledger, station) for station in STATIONS}
    print("readings checked:", checked)
    assert all(count > 40 for station, count in checked.items() if not station.startswith("placer"))
    assert checked["placer_a"] + checked["placer_b"] > 40
    speeds, entry = readings(node, "oven", "speed"), readings(node, "oven", "entry")
    panels = [
        row
        for row in ledger.values()
        if "belt" in row and row["belt"]["path"][0][0] > speeds[0][0]
    ]
    assert len(panels) >= 3
    for panel in panels:
        told, true = check_belt(node, panel, speeds, entry)
        print(f"{panel['serial']}: {told:.0f} mm by the readings, {true:.0f} in truth")
    check_kin(ledger)


def check_kin(ledger):
    """Each panel that was split has its four boards, and each board its panel."""
    boards = {serial: row for serial, row in ledger.items() if row["kind"] == "board"}
    for serial, row in ledger.items():
        if row["kind"] == "panel" and row["status"] == "split":
            assert len(row["children"]) == 4
            for child in row["children"]:
                assert boards.pop(child)["parent"] == serial
    assert not boards


def test_the_same_plant_again_has_the_same_history(tmp_path, children):
    """Deterministic by seed: two runs differ in nothing but their begin."""
    told = []
    for name in ("one", "two"):
        line = Line(tmp_path, "--speed", "800", "--seed", "9", "--panels", "30", name=name)
        children.append(line)
        wait_until(
            lambda: sum(r["kind"] == "board" for r in line.ledger().values()) >= 120, "120 boards"
        )
        rows = stop(line)
        told.append(
            {
                serial: (
                    [(s["station"], s["result"], s["operator"]) for s in row["steps"]],
                    row.get("consumed"),
                    row["defects"],
                )
                for serial, row in rows.items()
            }
        )
    assert told[0] == told[1]
    assert len(told[0]) == 150


def test_its_mes_tells_what_is_valid_when(tmp_path, children):
    line = Line(tmp_path, "--speed", "200", "--panels", "20")
    children.append(line)
    wait_until(lambda: len(line.ledger()) >= 40, "units in the ledger")
    ledger = line.ledger()
    feeders, rota, paste = ask(line, "/feeders"), ask(line, "/rota"), ask(line, "/paste")

    def valid(rows, key, value, at):
        moment = datetime.datetime.fromtimestamp(at / 1e6, datetime.timezone.utc).isoformat()
        found = []
        for row in rows:
            begin = row["from"].replace("Z", "+00:00")
            end = (row["to"] or "9999-01-01T00:00:00Z").replace("Z", "+00:00")
            if row[key] == value and begin <= moment < end:
                found.append(row)
        return found

    checked = 0
    for row in ledger.values():
        for step in row["steps"]:
            (badge,) = valid(rota, "station", step["station"], step["t_in"] + 1000)
            assert badge["operator"] == step["operator"]
            for used in row.get("consumed", []):
                if used["station"] != step["station"]:
                    continue
                rows = paste if used["part"].startswith("PASTE") else feeders
                lots = valid(rows, "station", step["station"], step["t_in"] + 1000)
                assert used["lot"] in [lot["lot"] for lot in lots], (used, lots)
                checked += 1
    assert checked >= 20
    for path in ("/orders", "/routing", "/recipes", "/characteristics", "/operators"):
        assert ask(line, path), path
    assert ask(line, "/rota?since=2999-01-01T00:00:00Z") == [r for r in rota if r["to"] is None]
    for wrong in ("/nothing", "/rota?since=yesterday"):
        with pytest.raises(urllib.error.HTTPError):
            ask(line, wrong)


def test_a_hold_takes_the_unit_out(tmp_path, children):
    line = Line(tmp_path, "--speed", "100")
    children.append(line)
    assert ask(line, "/holds", [{"serial": "P0000003", "reason": "test"}]) == {"taken": 1}

    def held():
        ask(line, "/holds", {"serial": "P0000003"})
        return "P0000003" in line.ledger()

    wait_until(held, "the held panel to leave")
    assert line.ledger()["P0000003"]["status"] == "held"
    assert ask(line, "/holds")[0] == {"serial": "P0000003", "reason": "test"}
    assert ask(line, "/verdicts", {"serial": "B0000001", "verdict": "pass"}) == {"taken": 1}
    assert ask(line, "/verdicts") == [{"serial": "B0000001", "verdict": "pass"}]
    with pytest.raises(urllib.error.HTTPError):
        ask(line, "/holds", [{"serial": "P0000001"}, {"no": 1}])
    assert "P0000001" not in [row["serial"] for row in ask(line, "/holds")]


def test_its_files_are_whole_in_the_end_and_tell_the_defects(tmp_path, children):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("defect_rate: 0.03\n")
    line = Line(tmp_path, "--speed", "400", "--scenario", scenario, "--panels", "40")
    children.append(line)
    wait_until(
        lambda: sum(r["kind"] == "board" for r in line.ledger().values()) >= 150, "150 boards"
    )
    ledger = stop(line)
    told = {}
    for station in ("spi", "aoi", "ict", "rework"):
        for file in (line.files / station).iterdir():
            rows = list(csv.DictReader(file.open()))
            assert rows and None not in rows[-1].values(), file
            for row in rows:
                if row["refdes"]:
                    told.setdefault(row["serial"], []).append((row["defect"], row["refdes"]))
    for serial, row in ledger.items():
        if row["kind"] == "panel" and row["status"] == "split":
            true = [(d["defect"], f"{d['board']}.{d['position']}") for d in row["defects"]]
            assert sorted(told.get(serial, [])) == sorted(true), serial
    assert len(told) > 5


def test_its_scenario_says_what_is_wrong_and_where(tmp_path, children):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("takt: 100s\nfaults:\n  - {fault: gremlins}\n")
    with pytest.raises(AssertionError, match=r"scenario.yaml:3:\d+: "):
        Line(tmp_path, "--scenario", scenario)


def test_the_example_is_what_it_prints():
    example = (TOP / "examples" / "plant.yaml").read_text()
    assert printed_config(5030, "--files", "results") in example
