"""A line with a rack that gives its units out in any order: what is said while nobody knows, what a
scan takes back, and the same over a kill. The gates are coils and registers of a Modbus server of
other people, which the test writes.
"""

import csv
import datetime
import io
import json
import re
import subprocess

from conftest import PROGRAM, wait_until
from support.floor import Floor

CONFIG = """\
name: line1
listen: {{mqtt: 127.0.0.1:0, http: 127.0.0.1:0}}
devices:
  - name: plc
    driver: modbus-tcp
    address: 127.0.0.1:{port}
    groups:
      - name: floor
        interval: 20ms
        tags:
          - {{name: rack, address: "1!00001", type: bit}}
          - {{name: begin, address: "1!00002", type: bit}}
          - {{name: end, address: "1!00003", type: bit}}
          - {{name: checked, address: "1!00004", type: bit}}
          - {{name: code_in, address: "1!400001.8", type: string}}
          - {{name: code_out, address: "1!400011.8", type: string}}
          - {{name: force, address: "1!400021", type: uint16}}
tracks:
  - name: floor
    parts:
      - {{buffer: rack, order: random, to: press}}
      - {{station: press, to: check}}
      - {{station: check}}
    gates:
      - {{signal: plc.floor.rack, into: rack, unit: plc.floor.code_in}}
      - {{signal: plc.floor.begin, into: press}}
      - {{signal: plc.floor.end, out_of: press}}
      - {{signal: plc.floor.checked, out_of: check, unit: plc.floor.code_out}}
rules:
  - name: pressing
    sql: >-
      SELECT unit_id() AS unit, max(force) AS peak, 'r1' AS ram FROM "plc.floor"
      GROUP BY UNITWINDOW('floor', 'press')
    actions: [{{trace: {{operation: pressing, measures: [peak], factors: {{machine: [ram]}}}}}}]
"""


class RackFloor(Floor):
    COILS = {"rack": 0, "begin": 1, "end": 2, "checked": 3}
    HOLDING = {"code_in": 0, "code_out": 10, "force": 20}

    def press(self, force):
        self.pulse("begin")
        self.show("force", force)
        self.show("force", 0)
        self.pulse("end")


def trace(node, serial):
    answer = node.request("GET", f"/api/v1/trace/{serial}")
    return answer.json if answer.status == 200 else {"steps": [], "measures": []}


def steps(node, serial):
    """{station: (status, probability)} of a unit."""
    return {s["station"]: (s["status"], round(s["probability"], 2))
            for s in trace(node, serial)["steps"]}


def peaks(node, serial):
    return [m["value"] for m in trace(node, serial)["measures"]]


def check_possible(node):
    """Of A and B one was in the press: what is only possible is said so everywhere."""
    for serial, other in ("AB", "BA"):
        (step,) = [s for s in trace(node, serial)["steps"] if s["station"] == "press"]
        others = [(o["serial"], round(o["probability"], 2)) for o in step["others"]]
        assert others == [(other, 0.5)], others
        text = node.command("trace", serial).stdout
        half = r"possible, (50|49\.9) %"
        assert re.search(rf"{half}; it may have been {other} \({half}\)", text), text
        rows = list(csv.DictReader(io.StringIO(node.command("trace", serial, "--csv").stdout)))
        said = {(r["what"], r["name"]): r["probability"] for r in rows if r["station"] == "press"}
        for what in (("measure", "peak"), ("other", other)):
            assert round(float(said[what]), 2) == 0.5, said
    for query in ("from=ram%3Dr1", "station=press"):
        answer = node.get(f"/containment?{query}")
        assert {u["serial"] for u in answer["units"]} == {"A", "B"}
        assert (answer["count"], answer["certain"], answer["possible"]) == (2, 0, 2)
        assert round(answer["expected"], 2) == 1
    text = node.command("where-used", "ram=r1").stdout
    assert re.search(r"0 certain, 2 possible: (1|0\.99\d) of the 2 are to be expected", text), text
    rows = node.get("/units?station=press")
    assert sorted((u["serial"], round(u["probability"], 2)) for u in rows) == [("A", 0.5), ("B", 0.5)]


def test_a_scan_behind_the_rack_takes_back_what_was_said(tmp_path, start_node, children):
    floor = RackFloor(tmp_path)
    children.append(floor.server)
    node = floor.node = start_node(CONFIG.format(port=floor.server.port))
    for code in "AB":
        floor.show("code_in", code)
        floor.pulse("rack")
    floor.press(20)  # one of them
    for serial in "AB":
        said = wait_until(lambda: steps(node, serial).get("press"), f"{serial} in the press")
        assert said == ("ambiguous", 0.5), (serial, said)
        wait_until(lambda: peaks(node, serial) == [20], "the force, which may be its")

    check_possible(node)

    node.kill()  # nobody knows yet which it was, and the node must not forget that
    node.start()
    floor.show("code_out", "B")
    floor.pulse("checked")
    wait_until(lambda: steps(node, "B").get("press") == ("inferred", 1.0), "B, which it was")
    wait_until(lambda: "press" not in steps(node, "A"), "A, which is taken back")
    assert peaks(node, "A") == []
    assert peaks(node, "B")[-1] == 20
    wait_until(lambda: node.get("/containment?from=ram%3Dr1")["certain"] == 1, "B alone, for certain")
    assert [u["serial"] for u in node.get("/containment?from=ram%3Dr1")["units"]] == ["B"]
    assert all(s["others"] == [] for s in trace(node, "B")["steps"] if s["station"] == "press")
    assert "to be expected" not in node.command("where-used", "ram=r1").stdout

    floor.press(30)
    floor.show("code_out", "A")
    floor.pulse("checked")
    wait_until(lambda: steps(node, "A").get("check", [""])[0] == "exact", "A at its check")
    assert steps(node, "A")["press"] == ("inferred", 1.0)
    wait_until(lambda: peaks(node, "A") == [30], "A's own force")


INSPECT = """\
  - name: inspect_row
    sql: SELECT serial, defect, result FROM inspects
    actions: [{{trace: {{operation: inspect, unit: serial, defects: [defect], verdict: result}}}}]
streams:
  - {{name: inspects, source: file, folder: {folder}, pattern: "inspect.csv", interval: 50ms, settle: 200ms,
     time: at, columns: [{{name: at, type: timestamp}}, {{name: serial}}, {{name: defect}}, {{name: result}}]}}
"""


def test_why_counts_in_part_whom_nobody_can_tell_apart(tmp_path, start_node, children):
    """Twelve units go through the rack in twos, which nobody can tell apart, four go alone."""
    floor = RackFloor(tmp_path)
    children.append(floor.server)
    config = (CONFIG + INSPECT).format(port=floor.server.port, folder=tmp_path)
    node = floor.node = start_node(config)
    serials = [f"U{i:02}" for i in range(16)]
    turns = [serials[i:i + 2] for i in range(0, 12, 2)] + [[serial] for serial in serials[12:]]
    for turn in turns:
        for code in turn:
            floor.show("code_in", code)
            floor.pulse("rack")
        for code in turn:
            floor.press(20 + int(code[1:]))
            floor.pulse("checked")
    for serial in serials[:12]:
        wait_until(lambda: steps(node, serial).get("press") == ("ambiguous", 0.5), f"{serial} pressed")
    for serial in serials[12:]:
        wait_until(lambda: steps(node, serial).get("press", ["", 0])[1] == 1, f"{serial} pressed")
        wait_until(lambda: peaks(node, serial), f"the force of {serial}")
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    bad = serials[::2]  # one of each two
    rows = [f"{now},{s},{'dent' if s in bad else ''},{'fail' if s in bad else 'pass'}" for s in serials]
    (tmp_path / "inspect.csv").write_text("\n".join(["at,serial,defect,result"] + rows) + "\n")
    wait_until(lambda: node.sql("SELECT count(*) AS n FROM verdicts")[0]["n"] == 16, "the verdicts")

    def why(*options):
        return node.command("why", "--defect", "dent", *options, check=True).stdout

    answer = json.loads(why("--json"))
    assert (answer["bad"], answer["good"], answer["weighted"]) == (8, 8, 12), answer
    assert answer["result"] == "none", answer
    assert "Of 12 units something counts in part" in why()
    assert node.get("/why?defect=dent")["weighted"] == 12


def test_a_wrong_line_is_said_with_its_place(tmp_path):
    config = tmp_path / "wrong.yaml"
    gate = "      - {signal: plc.floor.end, out_of: press}\n"
    text = CONFIG.format(port=502)
    assert gate in text
    config.write_text(text.replace(gate, ""))
    done = subprocess.run([PROGRAM, "check", config], capture_output=True, text=True, timeout=30)
    said = done.stdout + done.stderr
    line = 1 + text[: text.index("{station: press")].count("\n")
    assert done.returncode != 0 and f"wrong.yaml:{line}:9" in said, said
    assert "no gate sees units go from press to check" in said, said
