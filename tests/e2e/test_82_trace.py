"""Units that are known by messages alone: genealogy, defects, containment, the bad ones of a time;
on the command line and over REST, and after a kill.
"""

import csv
import io
import json
import subprocess

import pytest

from conftest import PROGRAM, wait_until

pytestmark = pytest.mark.asan

CONFIG = """\
name: line1
listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}
streams:
  - {name: prints, source: mqtt, topic: line/print, format: json,
     columns: {serial: string, operator: string, nozzle: int64, paste: string}}
  - {name: cuts, source: mqtt, topic: line/cut, format: json,
     columns: {serial: string, b1: string, b2: string, kg1: double, kg2: double}}
  - {name: tests, source: mqtt, topic: line/test, format: json,
     columns: {serial: string, ohm: double, defect: string, refdes: string, result: string}}
characteristics:
  - {name: ohm, lower: 9, upper: 11, uom: Ohm}
rules:
  - name: print_row
    sql: SELECT serial, operator, nozzle, paste FROM prints
    actions:
      - trace: {operation: print, unit: serial, station: printer, measures: [],
                factors: {man: [operator], machine: [nozzle]}, consumes: [paste]}
  - name: cut_row
    sql: SELECT serial, b1, b2, kg1, kg2 FROM cuts
    actions:
      - trace: {operation: cut, unit: serial, children: [b1, b2], quantity: [kg1, kg2], measures: []}
  - name: test_row
    sql: SELECT serial, ohm, defect, refdes, result FROM tests
    actions:
      - trace: {operation: test, unit: serial, measures: [ohm], defects: [defect],
                position: refdes, verdict: result}
"""


def publish(node, topic, **members):
    node.post("/publish", {"topic": f"line/{topic}", "payload": json.dumps(members), "qos": 1})


@pytest.fixture
def line(start_node):
    node = start_node(CONFIG)
    publish(node, "print", serial="P1", operator="ann", nozzle=3, paste="LOT-7")
    publish(node, "cut", serial="P1", b1="B1", b2="B2", kg1=0.333, kg2=0.334)
    publish(node, "test", serial="P1", defect="bridge", refdes="2.C17", result="fail")
    publish(node, "test", serial="B1", ohm=10.5, result="pass")
    publish(node, "test", serial="B2", ohm=8.5, defect="open", refdes="R1", result="2")
    publish(node, "print", serial="P2", operator="bob", nozzle=4, paste="LOT-7")
    wait_until(lambda: len(forward(node, "from=LOT-7")["units"]) == 4, "the history of the line")
    wait_until(lambda: node.get("/trace/B2")["defects"], "the test of B2")
    return node


def forward(node, query):
    return node.get(f"/containment?{query}")


def named(rows, *members):
    return [tuple(row[m] for m in members) for row in rows]


def test_a_board_has_its_panels_story(line):
    good = line.get("/trace/B1")
    assert good["verdict"] == "pass", good
    assert good["defects"] == []
    assert ("man", "operator", "ann", "P1") in named(good["factors"], "kind", "name", "value", "of")
    assert named(good["parents"], "parent", "child", "kind", "position") == [
        ("P1", "B1", "split", "1"),
        ("LOT-7", "P1", "consumption", None),
    ]
    bad = line.get("/trace/B2")
    assert bad["verdict"] == "fail"
    assert set(named(bad["defects"], "defect", "position", "of")) == {
        ("bridge", "2.C17", "P1"),
        ("open", "R1", "B2"),
    }
    assert [m["ok"] for m in bad["measures"]] == [False]
    assert {s["status"] for s in bad["steps"]} == {"recorded"}


def test_containment(line):
    answer = forward(line, "from=LOT-7")
    assert {u["serial"] for u in answer["units"]} == {"P1", "P2", "B1", "B2"}
    assert answer["count"] == 4 and not answer["truncated"]
    assert answer["possible"] == 0 and {u["probability"] for u in answer["units"]} == {1}
    answer = forward(line, "from=nozzle%3D3")
    assert named(answer["units"], "serial", "depth") == [("P1", 0), ("B1", 1), ("B2", 1)]
    answer = forward(line, "from=LOT-7&limit=2")
    assert answer["count"] == 2 and answer["truncated"] and "limit" in answer["reason"]
    assert forward(line, "from=LOT-7&until=2020-01-01T00:00:00Z")["units"] == []


def test_questions_that_make_no_sense_are_refused(line):
    for query in ("", "?from=a&station=b", "?from=a&since=noon", "?from=a&limit=0", "?from=a&depth=99"):
        answer = line.request("GET", f"/api/v1/containment{query}")
        assert answer.status == 400, (query, answer.status, answer.body)
    assert line.request("GET", "/api/v1/trace/NOBODY").status == 404
    assert line.request("GET", "/api/v1/units?verdict=purple").status == 400


def test_as_of_an_earlier_moment(line):
    answer = line.request("GET", "/api/v1/trace/B2?as_of=2020-01-01T00:00:00Z")
    assert answer.status == 404


def test_bad_units(line):
    rows = line.get("/units?verdict=bad")
    assert {(u["serial"], u["verdict"]) for u in rows} == {("P1", "fail"), ("B2", "fail")}
    publish(line, "test", serial="B2", ohm=10, result="pass")
    wait_until(lambda: line.get("/trace/B2")["measures"][-1]["ok"], "the second test")


def test_command_line(line):
    text = line.command("trace", "B2").stdout
    for word in ("B2", "fail", "bridge", "2.C17", "ann", "LOT-7", "DEFECT", "MADE FROM"):
        assert word in text, text
    rows = list(csv.DictReader(io.StringIO(line.command("trace", "B2", "--csv").stdout)))
    assert {row["what"] for row in rows} == {"step", "measure", "defect", "factor", "parent"}
    assert json.loads(line.command("trace", "B2", "--json").stdout)["serial"] == "B2"
    rows = list(csv.DictReader(io.StringIO(line.command("where-used", "LOT-7", "--csv").stdout)))
    assert {row["serial"] for row in rows} == {"P1", "P2", "B1", "B2"}
    table = line.command("where-used", "nozzle=4", "--since", "1h").stdout
    assert "P2" in table and "P1" not in table
    table = line.command("where-used", "P1").stdout
    assert "0.667 of it went on" in table and "0.333" in table, table
    table = line.command("trace", "P1").stdout
    assert "QUANTITY" in table and "0.334" in table, table
    cut = line.command("where-used", "LOT-7", "-n", "1")
    assert "not complete" in cut.stderr
    assert "B2" in line.command("units", "--verdict", "bad", "--since", "1h").stdout
    assert line.command("trace", "B2", "--since", "1h").returncode == 2
    assert line.command("trace", "NOBODY").returncode == 3


def test_a_kill_loses_no_relative(line):
    before = forward(line, "from=LOT-7")["units"]
    line.kill()
    line.start()
    wait_until(lambda: forward(line, "from=LOT-7")["units"] == before, "the same containment")


def test_a_wrong_column_is_said_with_those_there_are(tmp_path):
    wrong = CONFIG.replace("defects: [defect]", "defects: [defects]")
    path = tmp_path / "wrong.yaml"
    path.write_text(wrong)
    answer = subprocess.run(
        [str(PROGRAM), "check", "-c", str(path)], capture_output=True, text=True, timeout=60
    )
    said = answer.stdout + answer.stderr
    assert answer.returncode == 1
    line = 1 + [i for i, text in enumerate(wrong.splitlines()) if "[defects]" in text][0]
    assert f"wrong.yaml:{line}:" in said and "did you mean defect?" in said, said
    assert "its columns are serial, ohm, defect, refdes, result" in said, said
