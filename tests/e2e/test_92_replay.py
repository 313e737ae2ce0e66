"""`lotline replay`: a past period through changed tracks, against what the node's tables hold.

The belt of test_52_belt.py, whose values come as those of its past, is replayed unchanged (nothing
differs) and changed (a place moved: just its visits move, by what the belt needs for that way).
"""

import csv
import io
import json
import re
import subprocess
from datetime import datetime, timezone

import pytest

from conftest import PROGRAM, Node, Process, end_all, free_port, wait_until
from support.importer import Importer
from support.press import JOB, LISTEN, job_config
from support.past import told_past, wait_for_all
from test_52_belt import BEGIN_MS, CONFIG, ENTRIES, POLL_MS, TOPIC, Belt, speed, steps

POLLS = 1500
SPARE = """\
  - name: plc9
    driver: modbus-tcp
    address: 127.0.0.1:1
    enabled: false
    place: plant1/line1/spare
    groups:
      - {name: spare, interval: 1s, tags: [{name: code, address: "1!400001.10", type: string}]}
"""
TRACK = CONFIG[CONFIG.index("tracks:") : CONFIG.index("rules:")]


def moment(poll):
    at = datetime.fromtimestamp((BEGIN_MS + poll * POLL_MS) / 1000, timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def ms(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


class Replay:
    def __init__(self, belt, folder):
        self.belt = belt
        self.folder = folder

    def file(self, text):
        path = self.folder / "tracks.yaml"
        path.write_text(text)
        return path

    def run(self, text, *options, begin=0, end=POLLS):
        return subprocess.run(
            [PROGRAM, "replay", "--data", str(self.belt.node.data), "--from", moment(begin), "--to",
             moment(end), "--tracks", str(self.file(text)), *options],
            capture_output=True, text=True, timeout=60,
        )

    def json(self, text, *options, **period):
        done = self.run(text, "--json", *options, **period)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    belt = Belt(POLLS, speed, ENTRIES)
    belt.node = Node(folder, CONFIG.replace("tracks:\n", SPARE + "tracks:\n", 1))
    try:
        with Importer(belt.node, TOPIC) as importer:
            importer.put_all([belt.row(i) for i in range(belt.polls)])
        wait_until(lambda: len(steps(belt.node)) == 2 * len(ENTRIES), "the steps of all units")
        yield Replay(belt, folder)
    finally:
        end_all([belt.node])


def counts(answer):
    return {k: answer[k] for k in ("same", "moved", "status", "unit", "new", "gone") if answer[k]}


def test_unchanged_tracks_change_nothing(replay):
    answer = replay.json(TRACK)
    assert answer["rows"] == []
    assert counts(answer) == {"same": 2 * len(ENTRIES)}
    assert answer["values"] == 4 * POLLS  # entry, exit, code, speed
    said = replay.run(TRACK)
    assert f"{2 * len(ENTRIES)} same, 0 with other times" in said.stdout


def test_a_moved_place_moves_its_visits_alone(replay):
    answer = replay.json(TRACK.replace("from_mm: 1000, to_mm: 2500}", "from_mm: 1100, to_mm: 2500}", 1))
    assert counts(answer) == {"same": len(ENTRIES), "moved": len(ENTRIES)}
    known = steps(replay.belt.node)
    for row in answer["rows"]:
        code = row["serial_before"]
        step = known[code, "reflow"]
        assert (row["change"], row["track"], row["station"]) == ("moved", "belt1", "reflow")
        assert row["serial_after"] == code
        assert ms(row["t_in_before"]) == step["t_in"] // 1000
        assert row["t_out_before"] == row["t_out_after"]
        reached = replay.belt.reached_ms(code, 1100) + BEGIN_MS
        assert abs(ms(row["t_in_after"]) - reached) <= POLL_MS, row
    assert [r["serial_before"] for r in answer["rows"]] == list(ENTRIES)


def test_twice_the_same_bytes_in_every_form(replay):
    changed = TRACK.replace("from_mm: 2500, to_mm: 3000", "from_mm: 2600, to_mm: 3000")
    for form in (["--json"], ["--csv"], []):
        first, second = (replay.run(changed, *form) for _ in range(2))
        assert first.returncode == 0, first.stderr
        assert first.stdout == second.stdout and "cooling" in first.stdout
    rows = list(csv.DictReader(io.StringIO(replay.run(changed, "--csv").stdout)))
    assert {(r["change"], r["station"]) for r in rows} == {("moved", "cooling")}


def test_another_signal_gives_other_units(replay):
    """The speed in place of the code: every unit is called 100 or so, or nobody."""
    answer = replay.json(TRACK.replace("unit: plc1.line.code", "unit: plc1.line.zone1"))
    assert counts(answer)["unit"] == 2 * len(ENTRIES)
    assert {r["serial_before"] for r in answer["rows"]} == set(ENTRIES)
    assert not {r["serial_after"] for r in answer["rows"]} & set(ENTRIES)


def test_a_new_track_gives_new_visits_and_says_so(replay):
    done = replay.run(TRACK.replace("belt1", "belt7"))
    assert done.returncode == 0
    assert f"{2 * len(ENTRIES)} new" in done.stdout
    assert "track belt7 is new" in done.stderr


def test_a_part_of_the_time_needs_only_its_lead(replay):
    """What is on the belt at the begin is known from the lead; what ends before it is left out."""
    known = steps(replay.belt.node)
    begin = 700
    ended = [k for k, s in known.items() if s["t_out"] >= (BEGIN_MS + begin * POLL_MS) * 1000]
    assert 0 < len(ended) < len(known)
    answer = replay.json(TRACK, begin=begin)
    assert answer["rows"] == [] and answer["same"] == len(ended)
    assert replay.json(TRACK, "--lead", "0s", begin=begin)["rows"] != []


def test_nothing_is_written(replay):
    counts_of = "SELECT (SELECT count(*) FROM points) p, (SELECT count(*) FROM steps) s," \
        " (SELECT count(*) FROM units) u, (SELECT max(seq) FROM positions) seq"
    before = replay.belt.node.sql(counts_of)
    replay.json(TRACK.replace("belt1", "belt8"))
    assert replay.belt.node.sql(counts_of) == before


@pytest.mark.parametrize(
    "change, period, said",
    [
        (("place", "place"), (-9000, -8000), "older than what is kept"),
        (("place", "place"), (9000, 9100), "there are no values"),
        (("plc1.line.code", "plc9.spare.code"), (0, POLLS), "no value of plc9.spare.code was ever"),
        (("plc1.line.code", "plc1.line.cod"), (0, POLLS), "tracks.yaml:3:"),
        (("from_mm: 1000", "from_mm: much"), (0, POLLS), "tracks.yaml:6:"),
        (("tracks:", "track:"), (0, POLLS), "tracks.yaml:1:1:"),
        (("place", "place"), (100, 100), "from is not before to"),
    ],
)
def test_what_is_wrong_is_said(replay, change, period, said):
    done = replay.run(TRACK.replace(*change), begin=period[0], end=period[1])
    assert done.returncode != 0
    assert said in done.stderr, done.stderr


# ------------------------------------------------------------------------------- a simulated plant


def plant_tracks(config):
    """The part of the plant's configuration that says its tracks."""
    text = config[config.index("\ntracks:") + 1 :]
    return re.split(r"\n(?=[a-z])", text)[0] + "\n"


def test_a_plants_past_is_the_same_again(tmp_path, children, start_node):
    """An hour of nine stations and a belt. Nothing differs but what was there when the telling
    ended."""
    node, ledger = told_past(tmp_path, children, start_node, "1h", "zone_drift", 7)
    wait_for_all(node, ledger)
    span = node.sql("SELECT min(t_out)::VARCHAR AS a, max(t_out)::VARCHAR AS b FROM steps")[0]
    begin, end = (at.replace(" ", "T") + "Z" for at in (span["a"], span["b"]))
    file = tmp_path / "tracks.yaml"
    file.write_text(plant_tracks(node.config.read_text()))
    asked = [PROGRAM, "replay", "--data", str(node.data), "--from", begin, "--to", end,
             "--tracks", str(file), "--json"]
    first, second = (
        subprocess.run(asked, capture_output=True, text=True, timeout=60) for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    answer = json.loads(first.stdout)
    print({k: v for k, v in answer.items() if k != "rows"})
    for row in answer["rows"]:
        print(row)
    assert counts(answer) == {"same": node.sql("SELECT count(*) n FROM steps")[0]["n"] - 1}


LINE_TRACK = """\
tracks:
  - name: floor
    parts:
      - {buffer: rack, order: random, to: press}
      - {station: press, to: check}
      - {station: check}
    gates:
      - {signal: plc1.floor.rack, into: rack, unit: plc1.floor.code_in}
      - {signal: plc1.floor.begin, into: press}
      - {signal: plc1.floor.end, out_of: press}
      - {signal: plc1.floor.checked, out_of: check, unit: plc1.floor.code_out}
"""
LINE_CONFIG = f"""\
name: floor
{LISTEN}devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:1
    enabled: false
    place: plant1/line1/floor
    groups:
      - name: floor
        interval: 100ms
        tags:
          - {{name: rack, address: "1!000001", type: bit}}
          - {{name: begin, address: "1!000002", type: bit}}
          - {{name: end, address: "1!000003", type: bit}}
          - {{name: checked, address: "1!000004", type: bit}}
          - {{name: code_in, address: "1!400001.8", type: string}}
          - {{name: code_out, address: "1!400011.8", type: string}}
{LINE_TRACK}"""


def floor_rows():
    """A and B go into a rack; B is pressed, nobody knows yet whom that is, and then read; then A."""
    pulses = {10: "rack", 20: "rack", 30: "begin", 50: "end", 70: "checked", 80: "begin",
              100: "end", 120: "checked"}
    for poll in range(200):
        row = {name: pulses.get(poll) == name for name in ("rack", "begin", "end", "checked")}
        row["code_in"] = "" if poll < 5 else "A" if poll < 15 else "B"
        row["code_out"] = "" if poll < 65 else "B" if poll < 110 else "A"
        yield {"ts": BEGIN_MS + poll * POLL_MS, **row}


def test_a_line_comes_back_with_what_a_scan_took_back(tmp_path, start_node):
    node = start_node(LINE_CONFIG)
    with Importer(node, "plant1/line1/floor/plc1/floor/import") as importer:
        importer.put_all(list(floor_rows()))
    held = "SELECT station FROM (SELECT * FROM steps QUALIFY row_number() OVER" \
        " (PARTITION BY unit, station, visit ORDER BY revision DESC) = 1) WHERE NOT retracted"
    wait_until(lambda: sum(r["station"] == "check" for r in node.sql(held)) == 2, "both checked")
    assert node.sql("SELECT count(*) n FROM steps WHERE retracted")[0]["n"] > 0
    file = tmp_path / "line.yaml"
    file.write_text(LINE_TRACK)
    asked = [PROGRAM, "replay", "--data", str(node.data), "--from", moment(0), "--to", moment(200),
             "--tracks", str(file), "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == [] and counts(answer) == {"same": len(node.sql(held))}
    file.write_text(LINE_TRACK.replace("order: random", "order: fifo"))
    answer = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    assert answer["rows"], "first in, first out says that A was pressed first"


def test_what_was_polled_is_the_same_again(tmp_path, children, start_node):
    """A press polled live: each value has its own acquisition time, not that of its cycle."""
    port = free_port()
    children.append(Process([PROGRAM, "sim", "press", "--port", port, "--speed", "8"],
                            tmp_path / "press.log"))
    node = start_node(job_config(port))
    seen = lambda: node.sql(  # noqa: E731
        "SELECT count(*) n, min(t_out)::VARCHAR a, max(t_out)::VARCHAR b FROM steps")[0]
    wait_until(lambda: seen()["n"] >= 10, "visits")
    span = seen()
    begin, end = (span[k].replace(" ", "T") + "Z" for k in "ab")
    file = tmp_path / "tracks.yaml"
    file.write_text(JOB[: JOB.index("characteristics:")])
    done = subprocess.run(
        [PROGRAM, "replay", "--data", str(node.data), "--from", begin, "--to", end, "--tracks",
         str(file), "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    print(answer)
    assert answer["rows"] == [] and counts(answer) == {"same": span["n"] - 1}
