"""Who is on a line now and was on it before, over REST: a floor whose gates the test shows, held
against what it did.
"""

import datetime

import pytest

from conftest import wait_until
from support.floor import BELT_MM, BeltFloor


@pytest.fixture
def floor(tmp_path, start_node, children):
    floor = BeltFloor(tmp_path)
    children.append(floor.server)
    floor.node = start_node(floor.config())
    return floor


def state(floor):
    return floor.node.get("/lines/floor")


def unit(floor, serial):
    return floor.unit(serial)


def stays(floor, begin, end):
    return floor.node.get(f"/lines/floor/stays?from={begin}&to={end}")


def moment(offset_s):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return now.isoformat().replace("+00:00", "Z")


def test_a_line_is_told_with_its_units_gates_and_those_that_are_missing(floor):
    begin = moment(-1)
    [line] = floor.node.get("/lines")
    assert [(p["part"], p["kind"]) for p in line["parts"]] == [
        ("infeed", "belt"), ("press", "station"), ("check", "station"), ("repair", "buffer")]
    assert line["parts"][0]["length_mm"] == BELT_MM
    assert line["parts"][0]["places"] == [{"station": "print", "from_mm": 500, "to_mm": 1500}]
    ways = {(w["from"], w["into"]): line["gates"][w["gate"]]["signal"] for w in line["ways"]}
    assert ways == {
        (None, "infeed"): "plc.floor.enter", ("infeed", "press"): "plc.floor.begin",
        ("press", "check"): "plc.floor.end", ("check", None): "plc.floor.good",
        ("check", "repair"): "plc.floor.bad", ("repair", "check"): "plc.floor.back"}
    assert state(floor)["units"] == []

    # On the belt it moves with it, and stands when it stands.
    floor.show("code_in", "A")
    floor.pulse("enter")
    a = wait_until(lambda: unit(floor, "A"), "A on the belt")
    assert (a["part"], a["came"]) == ("infeed", "seen") and a["probability"] > 0.95
    floor.carry("A", BELT_MM)
    floor.pulse("begin")
    wait_until(lambda: unit(floor, "A")["part"] == "press", "A in the press")
    assert "mm" not in unit(floor, "A")
    floor.pulse("end")
    wait_until(lambda: unit(floor, "A")["part"] == "check", "A in its check")
    gates = {g["signal"]: g for g in state(floor)["gates"]}
    assert [gates[f"plc.floor.{g}"]["pulses"] for g in ("enter", "begin", "end", "good")] == [
        1, 1, 1, 0]
    assert gates["plc.floor.enter"]["last"] and gates["plc.floor.good"]["last"] is None

    # What is stored of it.
    found = wait_until(lambda: [s for s in stays(floor, begin, moment(60))["stays"]
                                if s["serial"] == "A" and s["station"] == "press"], "A's stays")
    assert found[0]["status"] == "inferred" and found[0]["probability"] > 0.95
    told = stays(floor, begin, moment(60))
    assert [s["station"] for s in told["stays"] if s["serial"] == "A"] == ["print", "press"]
    assert told["count"] == len(told["stays"]) and not told["truncated"]
    short = floor.node.get(f"/lines/floor/stays?from={begin}&to={moment(60)}&limit=1")
    assert short["count"] == 1 and short["truncated"]
    assert stays(floor, moment(-3600), moment(-1800))["stays"] == []

    # Somebody carries B from the belt to the way out.
    floor.show("code_in", "B")
    floor.pulse("enter")
    wait_until(lambda: unit(floor, "B"), "B on the belt")
    floor.show("code_out", "B")
    floor.pulse("good")
    breach = wait_until(lambda: state(floor)["breaches"], "B to be missed")[0]
    assert (breach["serial"], breach["part"], breach["kind"]) == ("B", "infeed", "moved")
    assert breach["since"] < breach["at"]
    assert unit(floor, "B") is None


def test_what_is_no_line_is_said(floor):
    answer = floor.node.request("GET", "/api/v1/lines/nothing")
    assert answer.status == 404 and "GET /lines" in answer.json["detail"]
    answer = floor.node.request("GET", f"/api/v1/lines/floor/stays?from={moment(0)}&to={moment(-9)}")
    assert answer.status == 400 and "from is later than to" in answer.json["detail"]
