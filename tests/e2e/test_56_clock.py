"""A press whose force is told by a device with a clock of its own: whatever that shows, each unit
has its own force and curve, also after a kill. Both devices' values come line by line from files,
each line with its device's time.
"""

import datetime
import subprocess

from conftest import PROGRAM, wait_until

CONFIG = """\
name: line1
listen: {{mqtt: 127.0.0.1:0, http: 127.0.0.1:0}}
streams:
  - {{name: near, source: file, folder: {folder}, pattern: "near*.csv", interval: 20ms, settle: 0s, time: at,
     columns: [{{name: at, type: timestamp}}, {{name: cycle, type: int64}}, {{name: serial}},
               {{name: shot, type: int64}}]}}
  - {{name: far, source: file, folder: {folder}, pattern: "far*.csv", interval: 20ms, settle: 0s, time: at,
     columns: [{{name: at, type: timestamp}}, {{name: force, type: double}}, {{name: trigger, type: int64}}]}}
tracks:
  - name: press1
    station: press
    unit: near.serial
    begin: {{signal: near.cycle, edge: rising}}
    end: {{signal: near.cycle, edge: falling}}
    signals: [far.force]
    clocks: [{{of: far, signal: far.trigger, with: near.shot, delay: 50ms}}]
rules:
  - name: press_row
    sql: >-
      SELECT unit_id() AS unit, max(force) AS peak, min(force) AS least, count(force) AS shots FROM far
      GROUP BY UNITWINDOW('press1', 'press')
    actions: [{{trace: {{operation: pressing, measures: [peak, least, shots]}}}}]
"""
BEGIN = datetime.datetime(2026, 3, 28, 8, 0, tzinfo=datetime.timezone.utc)
UNITS = 16
CYCLE_MS = 6000  # of a unit: 4 s in the press, 2 s until the next
APART_MS = (700, 1300, 200, 1900, 900, 1600, 400)  # when in its cycle each triggers
STEP_UNIT = 10  # in which the far clock is set
DRIFT = 50e-6


def offset_ms(ms):
    """The far clock, less the right time."""
    step = 4000 if ms >= STEP_UNIT * CYCLE_MS + 2500 else 0
    return 5000 + step + ms * DRIFT


def stamp(ms):
    return (BEGIN + datetime.timedelta(milliseconds=ms)).isoformat(timespec="microseconds")


def near_rows(unit):
    for ms in range(unit * CYCLE_MS, (unit + 1) * CYCLE_MS, 100):
        at = ms - unit * CYCLE_MS
        shot = APART_MS[unit % 7] <= at < APART_MS[unit % 7] + 500
        yield f"{stamp(ms)},{int(at < 4000)},U{unit:02},{int(shot)}"


def far_rows(unit):
    """The force is the unit's number while it is there, and 99 while nobody is; 50 ms behind near."""
    for ms in range(unit * CYCLE_MS, (unit + 1) * CYCLE_MS, 100):
        at = ms - unit * CYCLE_MS
        shot = APART_MS[unit % 7] <= at < APART_MS[unit % 7] + 500
        yield f"{stamp(ms + 50 + offset_ms(ms))},{unit if at < 4000 else 99},{int(shot)}"


class Files:
    def __init__(self, folder):
        self.near = folder / "near.csv"
        self.far = folder / "far.csv"
        self.near.write_text("at,cycle,serial,shot\n")
        self.far.write_text("at,force,trigger\n")

    def unit(self, unit):
        for path, rows in ((self.near, near_rows(unit)), (self.far, far_rows(unit))):
            with path.open("a") as file:
                file.write("".join(row + "\n" for row in rows))


def stored(node):
    rows = node.sql("SELECT stream, count(*) AS n FROM points JOIN tags ON points.tag = tags.id "
                    "WHERE tags.tag IN ('cycle', 'force') GROUP BY stream")
    return {row["stream"]: row["n"] for row in rows}


def told(node, files, units):
    for unit in units:
        files.unit(unit)
        rows = (unit + 1) * CYCLE_MS // 100
        wait_until(lambda: stored(node) == {"near": rows, "far": rows}, f"what was told until {unit}")


def measures(node, unit):
    answer = node.request("GET", f"/api/v1/trace/U{unit:02}")
    if answer.status != 200:
        return {}
    return {m["characteristic"]: m["value"] for m in answer.json["measures"]}


def check_unit(node, unit):
    """Its own force for all of its forty readings, and nothing of the time before and after it."""
    own = float(unit)
    wait_until(lambda: measures(node, unit), f"the force of {unit}")
    assert measures(node, unit) == {"peak": own, "least": own, "shots": 40.0}, (unit, measures(node, unit))
    if unit == STEP_UNIT:
        return  # its curve is as long as its clock says
    story = node.get(f"/trace/U{unit:02}")
    step = story["steps"][0]
    assert (step["station"], step["status"]) == ("press", "exact"), step
    curve = next(c for c in story["curves"] if c["signal"] == "far.force")
    begin = (BEGIN.timestamp() * 1000 + unit * CYCLE_MS) * 1000
    assert [value for _, value in curve["points"]] == [own] * 40, curve
    for i, (at, _) in enumerate(curve["points"]):
        assert abs(at - (begin + 50_000 + i * 100_000)) < 1000, (unit, i, at - begin)


def test_a_device_with_another_clock_is_bound_to_the_right_units(tmp_path, start_node):
    folder = tmp_path / "drop"
    folder.mkdir()
    files = Files(folder)
    node = start_node(CONFIG.format(folder=folder))
    told(node, files, range(8))
    node.kill()  # the clock that was found is not forgotten, nor what waits for it
    node.start()
    told(node, files, range(8, UNITS))
    for unit in range(1, UNITS - 2):
        check_unit(node, unit)
    assert "lotline_track_clock_steps_total 1" in node.request("GET", "/metrics", token=False).body.decode()
    assert "track.clock" not in str(node.get("/alarms"))
    rows = node.sql("SELECT serial, clocks FROM steps JOIN units USING (unit)")
    clocks = {row["serial"]: row["clocks"] for row in rows}
    assert clocks["U05"].startswith("far=5001"), clocks  # 5 s, and 1.5 ms in half a minute
    assert clocks["U13"].startswith("far=9003"), clocks

    band = node.get("/trace/U06/band?station=press&signal=far.force")
    assert "6" in str(band), band


def test_a_wrong_clock_is_said_with_its_place(tmp_path):
    config = tmp_path / "wrong.yaml"
    text = CONFIG.format(folder=tmp_path).replace("with: near.shot", "with: far.trigger")
    config.write_text(text)
    done = subprocess.run([PROGRAM, "check", config], capture_output=True, text=True, timeout=30)
    said = done.stdout + done.stderr
    line = 1 + text[: text.index("clocks:")].count("\n")
    assert done.returncode != 0 and f"wrong.yaml:{line}:" in said, said
    assert "the clock of far.trigger may be wrong as well" in said, said
