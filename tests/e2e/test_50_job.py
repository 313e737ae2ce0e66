"""The press's job, end to end: each value bound to the unit that was in the press.

The press's ledger says what really happened; the node is asked by REST, by `lotline trace` and by
SQL. The same is done once more against a server of other people that plays a recorded cycle.
"""

import datetime
import json
import time

import pytest

from conftest import wait_until
from support.bank import PymodbusServer
from support.press import (
    FORCE_LOWER,
    FORCE_UPPER,
    POLL_US,
    delayed,
    job_config,
    ledger_units,
    played_units,
    record_cycles,
)

UNITS = 6
SLACK_US = 60_000  # between a reading's moment in the machine and its acquisition, on a busy host


def wall_us():
    return time.time_ns() // 1000


def micros(text):
    """RFC 3339 (UTC) as µs since 1970."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(microseconds=1)


class Unit:
    """One unit as the node tells it."""

    def __init__(self, node, serial):
        self.trace = node.get(f"/trace/{serial}")
        (self.step,) = self.trace["steps"]
        self.t_in, self.t_out = micros(self.step["t_in"]), micros(self.step["t_out"])

    def measure(self, name):
        (found,) = [m for m in self.trace["measures"] if m["characteristic"] == name]
        return found


def readings(node):
    """(µs, signal, value) of all good numbers of the press, by their own acquisition time."""
    rows = node.sql(
        "SELECT epoch_us(p.ts) AS at, t.tag, COALESCE(p.d, p.u) AS value"
        " FROM points p JOIN tags t ON p.tag = t.id"
        " WHERE t.stream = 'plc1.press' AND p.quality = 0 AND t.tag <> 'serial' ORDER BY 1"
    )
    return [(row["at"], row["tag"], row["value"]) for row in rows]


def bound_to(intervals, at):
    for serial, (t_in, t_out) in intervals.items():
        if t_in <= at < t_out:
            return serial
    return None


def polls_after(points, moment):
    """When the press was next read. The very next answer may have been made just before it."""
    return [at for at, tag, _ in points if tag == "state" and at >= moment][:2]


def check_times(unit, truth, points):
    assert unit.t_in in polls_after(points, truth["t_in"]), (unit.step, truth)
    assert unit.t_out in polls_after(points, truth["t_out"]), (unit.step, truth)
    assert unit.step["status"] == "exact"
    assert unit.step["station"] == "press"


def check_measure(unit, truth, points):
    measure = unit.measure("force_max")
    inside = [v for at, tag, v in points if tag == "force" and unit.t_in <= at < unit.t_out]
    assert measure["value"] == pytest.approx(max(inside), rel=1e-6)
    assert 0.7 * truth["force_max"] <= measure["value"] <= truth["force_max"] * (1 + 1e-6)
    assert (measure["lower"], measure["upper"]) == (FORCE_LOWER, FORCE_UPPER)
    assert measure["uom"] == "kN"
    assert measure["ok"] is (FORCE_LOWER <= measure["value"] <= FORCE_UPPER)


def check_curve(unit, points):
    (curve,) = [c for c in unit.trace["curves"] if c["signal"].endswith("force")]
    inside = [(at, v) for at, tag, v in points if tag == "force" and unit.t_in <= at < unit.t_out]
    shown = [(micros(at) if isinstance(at, str) else at, v) for at, v in curve["points"]]
    assert [v for _, v in shown] == pytest.approx([v for _, v in inside])
    assert [at for at, _ in shown] == [at for at, _ in inside]


def check_binding(units, truth, points):
    """Every reading belongs to the unit that the ledger says was in the press at its time."""
    told = {serial: (unit.t_in, unit.t_out) for serial, unit in units.items()}
    real = {serial: (row["t_in"], row["t_out"]) for serial, row in truth.items()}
    edges = sorted(t for interval in real.values() for t in interval)
    first, last = edges[0] - POLL_US, edges[-1] + POLL_US
    wrong, near, bound = [], [], 0
    for at, tag, value in points:
        if not first <= at <= last:
            continue
        mine, wanted = bound_to(told, at), bound_to(real, at)
        bound += wanted is not None
        if min(abs(at - edge) for edge in edges) <= POLL_US + SLACK_US:
            near += [(at, tag, value, mine, wanted)] if mine != wanted else []
        elif mine != wanted:
            wrong.append((at, tag, value, mine, wanted))
    print(f"{bound} readings, {len(truth)} units; within a poll of a boundary {len(near)} differ:")
    for row in near:
        print("  ", *row)
    assert not wrong, wrong[:10]
    assert bound >= 4 * len(truth)


def check_job(node, truth):
    def all_through():
        return all(node.request("GET", f"/api/v1/trace/{s}").status == 200 for s in truth)

    wait_until(all_through, "the units to be traced")
    wait_until(
        lambda: all(node.get(f"/trace/{s}")["measures"] for s in truth), "the units' measures"
    )
    units = {serial: Unit(node, serial) for serial in truth}
    points = readings(node)
    for serial, unit in units.items():
        assert unit.trace["serial"] == serial
        check_times(unit, truth[serial], points)
        check_measure(unit, truth[serial], points)
        check_curve(unit, points)
        assert unit.trace["verdict"] == truth[serial]["result"]
    check_binding(units, truth, points)
    return units


def truth_since(units, start_us):
    """The units that began well after the node was up."""
    return {s: row for s, row in units.items() if row["t_in"] > start_us + 5 * POLL_US}


def check_command_line(node, serial, trace):
    shown = node.command("trace", serial, check=True).stdout
    for word in (serial, "press", "force_max", "kN", trace["verdict"]):
        assert word in shown, (word, shown)
    again = json.loads(node.command("trace", serial, "--json", check=True).stdout)
    assert again == trace
    missing = node.command("trace", "PRS-999999")
    assert missing.returncode == 3, missing
    assert "PRS-999999" in missing.stderr


@pytest.mark.asan
def test_press_is_traced_as_its_ledger_says(tmp_path, start_node, start_press):
    ledger = tmp_path / "press.jsonl"
    _, port = start_press("--ledger", ledger, "--seed", "7")
    node = start_node(job_config(port))
    wait_until(lambda: node.tag("plc1.press.state")["quality"] == "good", "the press to be read")
    start_us = wall_us()
    wait_until(lambda: ledger.exists() and truth_since(ledger_units(ledger), start_us), "a unit")
    wait_until(lambda: len(truth_since(ledger_units(ledger), start_us)) >= UNITS, f"{UNITS} units")
    truth = truth_since(ledger_units(ledger), start_us)
    units = check_job(node, truth)
    serial = next(iter(truth))
    check_command_line(node, serial, units[serial].trace)
    listed = {row["serial"]: row for row in node.get("/units")}
    for serial, row in truth.items():
        assert listed[serial]["verdict"] == row["result"]


def test_recorded_press_played_by_pymodbus(tmp_path, children, start_node, start_press):
    press, port = start_press("--seed", "11")
    script = record_cycles(port, 4)
    press.stop()
    server = PymodbusServer(tmp_path, delayed(script, 3_000_000))
    children.append(server)
    node = start_node(job_config(server.port))
    wait_until(lambda: node.tag("plc1.press.state")["quality"] == "good", "the play to be read")
    start_us = wall_us()
    wait_until(server.played, "the end of the play")
    truth = truth_since(played_units(server.ledger()), start_us)
    assert len(truth) >= 3
    check_job(node, truth)


def test_job_survives_a_kill(tmp_path, start_node, start_press):
    """Units before and after a kill are traced once each; ids do not change."""
    ledger = tmp_path / "press.jsonl"
    _, port = start_press("--ledger", ledger, "--speed", "2")
    node = start_node(job_config(port))
    wait_until(lambda: len(node.get("/units")) >= 2, "two units")
    before = {row["serial"]: row["unit"] for row in node.get("/units")}
    node.kill()
    node.start()
    wait_until(lambda: len(node.get("/units")) >= len(before) + 2, "two more units")
    rows = node.get("/units")
    after = {row["serial"]: row["unit"] for row in rows}
    assert len(rows) == len(after), "a unit is listed twice"
    assert before.items() <= after.items()
