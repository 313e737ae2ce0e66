"""A bad day in the plant: what fails is one clear alarm, and nothing else is disturbed."""

import pathlib
import re
import struct
import subprocess
import time

import pytest

from conftest import wait_until
from support.fault_modbus import FaultServer
from support.relay import Relay
from support.smt import Line, readings, visits

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
SPEED = 25


@pytest.fixture
def line(tmp_path, children):
    plant = Line(tmp_path, "--speed", SPEED, "--seed", 3)
    children.append(plant)
    return plant


@pytest.fixture
def relay(line, children):
    server = Relay(line.mes)
    children.append(server)
    return server


def config(line, relay):
    """The plant's own, but that the MES is asked through the relay, and more often."""
    text = line.config().replace(line.mes, f"127.0.0.1:{relay.port}")
    return text.replace("interval: 5s,", "interval: 300ms, timeout: 1s,")


def alarms(node, state="raised"):
    return {a["name"]: a for a in node.get("/alarms") if a["state"] == state}


def lookups_down(node):
    return sorted(name for name in alarms(node) if name.startswith("source."))


def factors(node, rule, name, since="2000-01-01"):
    """How many visits have that factor since then."""
    return node.sql(
        f"SELECT count(*) AS n FROM factors WHERE rule = '{rule}' AND name = '{name}' "
        f"AND value <> '' AND \"at\" > TIMESTAMP '{since}'"
    )[0]["n"]


def now_text():
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


REASONS = {
    "status": "status 500 from http://127.0.0.1:{port}/feeders",
    "garbage": "the answer of http://127.0.0.1:{port}/feeders is not JSON as expected",
    "hang": "no answer from http://127.0.0.1:{port}/feeders within",
}


LINES = "source.aoi_files.lines"


def drop_broken(line):
    """A file of the machine's with a thousand broken lines and a good one."""
    folder = line.files / "aoi"
    wait_until(folder.is_dir, "the folder of the inspection")
    (folder / "bad.part").write_text(
        "ts,serial,test,value,defect,refdes,result\n"
        + "2026-01-01T00:00:00Z,X0000001,visual,0,,,pass\n"
        + 1000 * "yesterday,X0000002,visual,0,,,pass\n"
    )
    return (folder / "bad.part").rename(folder / "aoi-bad.csv")


def broken_lines_are_told(node, path):
    wait_until(lambda: LINES in alarms(node), "the alarm")
    assert list(alarms(node)) == [LINES]
    alarm = alarms(node)[LINES]
    assert alarm["count"] == 1
    assert alarm["text"] == (
        f"{path}, line 3: ts: 'yesterday' is no timestamp; the line was left out, "
        "as were 999 more of this file"
    )
    wait_until(
        lambda: node.sql("SELECT count(*) AS n FROM verdicts WHERE serial = 'X0000001'")[0]["n"],
        "the line that was good",
    )


def test_files_and_lookups(line, relay, start_node):
    """One run for both: a file with broken lines, then an MES that answers wrongly, not in time, or
    not at all, also to a node that was killed and starts."""
    node = start_node(config(line, relay))
    broken_lines_are_told(node, drop_broken(line))
    wait_until(lambda: factors(node, "placer_a_row", "lot_f1"), "a panel with its lots")
    wait_until(lambda: not alarms(node), "the next whole file of the machine")
    for trouble, reason in REASONS.items():
        relay.trouble["/feeders"] = trouble
        wait_until(lambda: alarms(node), f"the alarm of {trouble}")
        since = now_text()
        raised = alarms(node)
        text = raised["source.feeders"]["text"]
        assert re.match(rf"the lookup feeders is down since {TIME}: ", text), text
        assert reason.format(port=relay.port) in text, text
        assert re.search(rf"Meanwhile the \d+ rows that it gave at {TIME} are used", text), text
        if trouble != "garbage":
            wait_until(lambda: factors(node, "print_row", "operator", since), "panels meanwhile")
        assert list(alarms(node)) == ["source.feeders"]
        relay.trouble.clear()
        wait_until(lambda: not alarms(node), f"the alarm of {trouble} to end")

    relay.down()
    down = ["source.feeders", "source.paste", "source.rota"]
    wait_until(lambda: lookups_down(node) == down, "the three lookups' alarms")
    node.kill()
    since = now_text()
    node.start()
    wait_until(lambda: factors(node, "print_row", "operator", since), "an operator")
    wait_until(lambda: factors(node, "print_row", "paste_lot", since), "a lot of paste")
    wait_until(lambda: factors(node, "placer_b_row", "lot_f4", since), "a lot of a feeder")
    assert lookups_down(node) == down
    relay.up()
    wait_until(lambda: not alarms(node), "the alarms to end")
    others = {a["name"] for a in node.get("/alarms")} - {LINES, *down}
    assert all(re.fullmatch(r"rule\.\w+_verdict\.http", name) for name in others), others


STATIONS = ("printer", "spi", "placer_a", "placer_b", "reflow", "aoi")
NEAR_US = 400_000  # a poll, and a percent of the run
SET_CLOCK = pathlib.Path(__file__).parent / "support" / "set_clock.c"


def clock_of(folder):
    """(environment of a process, function that sets its wall clock so many seconds off the real one)."""
    file = folder / "clock"
    library = folder / "set_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, SET_CLOCK], check=True)
    file.write_bytes(struct.pack("<q", 0))

    def put(seconds):
        with open(file, "r+b") as out:
            out.write(struct.pack("<q", int(seconds * 1e6)))

    return {"LD_PRELOAD": str(library), "SET_CLOCK_FILE": str(file)}, put


def presences(node, station):
    """[(t_in, t_out, serial, status)] of a station, in order."""
    rows = node.sql(
        "SELECT epoch_us(s.t_in) AS a, epoch_us(s.t_out) AS b, u.serial AS serial, s.status AS status"
        " FROM steps s JOIN (SELECT unit, max(serial) AS serial FROM units GROUP BY unit) u"
        f" ON s.unit = u.unit WHERE s.station = '{station}' ORDER BY s.t_in"
    )
    return [(row["a"], row["b"], row["serial"], row["status"]) for row in rows]


def panels_through(node, count):
    """So many more have come out of the oven."""
    goal = len(presences(node, "reflow")) + count
    wait_until(lambda: len(presences(node, "reflow")) >= goal, f"{count} panels more")


def test_a_clock_that_is_set_is_one_alarm_and_no_visit_is_lost(line, start_node, tmp_path):
    environment, clock_set = clock_of(tmp_path)
    node = start_node(line.config(), environment=environment)
    panels_through(node, 1)
    clock_set(-5)
    alarm = wait_until(lambda: alarms(node).get("clock"), "the alarm")
    assert re.match(
        r"the clock of this node was set back by 5\.0 s: it shows \S+Z where it would have shown \S+Z\. "
        r"The times of values do not jump: they are up to 5\.0 s ahead of it and come nearer by 1 %",
        alarm["text"],
    ), alarm
    panels_through(node, 1)
    clock_set(0)
    wait_until(lambda: "set forward by 5.0 s" in alarms(node)["clock"]["text"], "the other way")
    wait_until(lambda: not alarms(node), "the alarm to end: times and clock agree again")
    assert [(a["name"], a["count"]) for a in node.get("/alarms")] == [("clock", 2)]
    times = [at for at, _ in readings(node, "oven", "speed")]
    assert max(b - a for a, b in zip(times, times[1:])) < 1_000_000, "polls went on"
    line.stop()

    began = times[0] + 1_000_000  # all devices answer by then; who came before was not seen to come
    compared = 0
    for station in STATIONS:
        seen = {}
        came = {serial: t_in for t_in, _, serial, _ in visits(line.ledger(), station)}
        for t_in, t_out, serial, status in presences(node, station):
            assert serial not in seen, f"{serial} was at {station} twice"
            known = status in ("exact", "inferred")
            assert known or came.get(serial, began) < began, (station, serial, status)
            seen[serial] = (t_in, t_out)
        for t_in, t_out, serial, _ in visits(line.ledger(), station):
            if t_in < began or t_out > max(b for _, b in seen.values()):
                continue
            assert serial in seen, f"{serial} was not seen at {station}"
            assert abs(seen[serial][0] - t_in) < NEAR_US and abs(seen[serial][1] - t_out) < NEAR_US
            compared += 1
    assert compared > 12


BENCH = """\
  - name: bench
    driver: modbus-tcp
    address: 127.0.0.1:{port}
    place: plant1/smt/line1/bench
    groups:
      - name: run
        interval: 100ms
        tags:
          - {{name: serial, address: "1!400001.20", type: string}}
          - {{name: cycle, address: "1!400011", type: uint16}}
"""
BENCH_TRACK = """\
  - name: bench
    station: bench
    unit: bench.run.serial
    begin: {signal: bench.run.cycle, edge: rising}
    end: {signal: bench.run.cycle, edge: falling}
    signals: [bench.run]
"""


class Bench(FaultServer):
    """One more station, where somebody scans what the test says."""

    def __init__(self):
        super().__init__()
        self.scan("")

    def scan(self, serial, cycle=0):
        text = serial.encode().ljust(20, b"\0")
        self.written.update({(1, i): text[2 * i] << 8 | text[2 * i + 1] for i in range(10)})
        self.written[1, 10] = cycle


def test_a_serial_at_two_places_at_once_is_one_alarm(line, start_node, children):
    bench = Bench()
    children.append(bench)
    text = line.config().replace("\ntracks:\n", BENCH.format(port=bench.port) + "\ntracks:\n" + BENCH_TRACK)
    node = start_node(text)
    in_oven = wait_until(
        lambda: [v for _, v in readings(node, "oven", "serial") if v][-1:], "a panel in the oven"
    )[0]
    bench.scan(in_oven, 1)
    wait_until(lambda: node.tag("bench.run.cycle")["value"] == 1, "the cycle of the bench")
    scanned = time.monotonic()
    wait_until(lambda: time.monotonic() - scanned > 2, "the bench to work for two seconds")
    bench.scan("")
    wait_until(lambda: presences(node, "bench"), "the visit at the bench")
    node.kill()
    node.start()
    alarm = wait_until(lambda: alarms(node).get("serial.twice"), "the alarm, when it leaves the oven")
    assert re.fullmatch(
        rf"the serial {in_oven} was at two places at once: at bench from \S+Z to \S+Z, and at reflow "
        r"from \S+Z to \S+Z\. Two units bear it, or a scanner shows an old code; the latter visit is "
        r"kept as ambiguous\. Find the units and see what is on their labels",
        alarm["text"],
    ), alarm
    assert (alarm["source"], alarm["count"]) == (in_oven, 1)
    wait_until(lambda: len(presences(node, "reflow")) > 1, "the next panel")
    doubtful = node.sql("SELECT station, evidence FROM steps WHERE status = 'ambiguous'")
    assert [row["station"] for row in doubtful] == ["reflow"]
    assert doubtful[0]["evidence"].endswith(" twice=bench")
    assert list(alarms(node)) == ["serial.twice"]
