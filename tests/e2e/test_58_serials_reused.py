"""A counter gives the serials, and begins anew: who bore a serial is told by time."""

import datetime

from conftest import wait_until
from support.importer import Importer
from support.press import LISTEN

TOPIC = "plant1/line1/press/plc1/press/import"
BEGIN_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
CONFIG = f"""\
name: around
{LISTEN}devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:1
    enabled: false
    place: plant1/line1/press
    groups:
      - name: press
        interval: 100ms
        tags:
          - {{name: count, address: "1!400011", type: uint16}}
          - {{name: running, address: "1!000001", type: bit}}
          - {{name: force, address: "1!400013", type: float}}
tracks:
  - {{name: press1, station: press, unit: plc1.press.count, signals: [plc1.press], gap_max: 2s,
     begin: {{signal: plc1.press.running}}, end: {{signal: plc1.press.running, edge: falling}}}}
characteristics:
  - {{name: peak, upper: 50}}
rules:
  - name: pressed
    sql: SELECT unit_id() AS unit, max(force) AS peak, covered(force) AS known FROM "plc1.press" GROUP BY UNITWINDOW('press1')
    actions: [{{trace: {{operation: press, measures: [peak], covered: known}}}}]
historian:
  serials_reused:
    - {{match: "[0-9]*", after: 12h}}
"""


def pressed(begin_ms, count, force):
    """A second in the press."""
    rows = [{"ts": begin_ms + i * 100, "running": 2 <= i < 12, "count": count, "force": force} for i in range(20)]
    return rows


def told(node, path):
    answer = node.get(path)
    return (
        answer["verdict"],
        [m["value"] for m in answer["measures"]],
        [b["this"] for b in answer["bearers"]],
    )


def moment(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_case_26_a_counter_that_begins_anew_gives_a_serial_to_another_unit(start_node):
    node = start_node(CONFIG)
    with Importer(node, TOPIC) as importer:
        # 7 is pressed twice within the hours that a unit may be left alone; a day later another 7.
        importer.put(pressed(BEGIN_MS, 7, 80))
        importer.put(pressed(BEGIN_MS + 5000, 8, 20))
        importer.put(pressed(BEGIN_MS + 10 * HOUR_MS, 7, 30))
        importer.put(pressed(BEGIN_MS + 34 * HOUR_MS, 7, 90))
    wait_until(lambda: len(node.get("/units")) == 4, "the visits")
    wait_until(lambda: told(node, "/trace/7")[1] == [90], "the measures")
    assert told(node, "/trace/7") == ("fail", [90], [False, True])
    first = f"/trace/7?at={moment(BEGIN_MS + HOUR_MS)}"
    assert told(node, first) == ("pass", [80, 30], [True, False])
    assert told(node, "/trace/8") == ("pass", [20], [])
    assert [m["covered"] for m in node.get("/trace/8")["measures"]] == [1]
    old, new = (node.get(path)["unit"] for path in (first, "/trace/7"))
    assert told(node, f"/trace/{old}") == ("pass", [80, 30], [True, False])
    bad = node.get("/units?verdict=bad")
    assert [(u["serial"], u["unit"]) for u in bad] == [("7", new)]
    said = node.command("trace", "7", "--at", moment(BEGIN_MS), "--no-curves", check=True).stdout
    assert "SERIAL BORNE" in said and said.index("pass") < said.index("SERIAL BORNE")
    node.kill()
    node.start()
    wait_until(lambda: told(node, "/trace/7") == ("fail", [90], [False, True]), "the same after a kill")
