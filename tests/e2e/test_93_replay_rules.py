"""`lotline replay` with changed rules: what they would have given over a past period, against what is
stored of them. The belt of test_52_belt.py, whose past is told; each answer is the exact one.
"""

import csv
import io
import json
import re
import subprocess

import pytest

from conftest import PROGRAM, Node, end_all, wait_until
from support.importer import Importer
from support.past import told_past, wait_for_all
from test_32_sources import Mes, config as sources_config, feeder, put, texts
from test_52_belt import CONFIG, ENTRIES, POLL_MS, TOPIC, Belt, speed, zone_values
from test_92_replay import (
    BEGIN_MS, LINE_CONFIG, LINE_TRACK, POLLS, SPARE, TRACK, floor_rows, moment, plant_tracks,
)

WINDOW_POLLS = 100  # of the rule `tens`
RULES = """\
rules:
  - name: reflow_row
    sql: >
      SELECT unit_id() AS unit, avg(zone2) AS zone2_avg, max(profile()) AS peak,
      avg(profile()) AS mean, timeabove(profile(), 175) AS above, covered(profile()) AS seen
      FROM "plc1.line" GROUP BY UNITWINDOW('belt1', 'reflow')
    actions: [{trace: {operation: reflow, measures: [zone2_avg, peak, mean, above, seen]}}]
  - name: zone
    sql: >
      SELECT unit_id() AS unit, max(zone2) AS high FROM "plc1.line"
      GROUP BY UNITWINDOW('belt1', 'reflow')
    actions: [{trace: {operation: zone, station: reflow}}]
  - name: checked
    sql: >
      SELECT unit_id() AS unit, CASE WHEN max(zone2) >= 210 THEN 'hot' ELSE '' END AS found,
      CASE WHEN max(zone2) >= 210 THEN 'fail' ELSE 'pass' END AS said, min(code) AS code
      FROM "plc1.line" GROUP BY UNITWINDOW('belt1', 'cooling')
    actions:
      - trace: {operation: check, measures: [], defects: [found], verdict: said,
                factors: {material: [code]}}
  - name: tens
    sql: SELECT avg(zone2) AS mean, count(*) AS n FROM "plc1.line" GROUP BY TUMBLINGWINDOW(ss, 10)
    actions: [{historian: {}}]
  - name: high
    sql: SELECT mean, n FROM tens WHERE mean > 210
    actions:
      - historian: {}
      - alarm: {severity: major}
      - mqtt: {topic: high/tens}
  - name: opened
    sql: SELECT code AS serial, CASE WHEN speed < 0 THEN 'back' ELSE '' END AS found FROM "plc1.line"
      WHERE speed < 0
    actions: [{trace: {operation: drive, unit: serial, defects: [found]}}]
"""
MEASURES = ("zone2_avg", "peak", "mean", "above", "seen")


def rule(name):
    """One rule's text, as a file of its own."""
    found = re.search(rf"  - name: {name}\n(?:    .*\n)+", RULES)
    return "rules:\n" + found[0]


def second(poll):
    """As answers print it."""
    return moment(poll).replace(".000Z", "Z")


def of_rule(answer, name):
    return [r for r in answer["results"] if r["rule"] == name]


def asked(node, begin, end, path, *options):
    return [PROGRAM, "replay", "--data", str(node.data), "--from", begin, "--to", end, "--tracks",
            str(path), *options]


class Replay:
    def __init__(self, belt, folder):
        self.belt = belt
        self.folder = folder

    def command(self, text, *options, begin=0, end=POLLS):
        path = self.folder / "change.yaml"
        path.write_text(text)
        return asked(self.belt.node, moment(begin), moment(end), path, *options)

    def run(self, text, *options, **period):
        return subprocess.run(self.command(text, *options, **period), capture_output=True,
                              text=True, timeout=60)

    def json(self, text, *options, **period):
        done = self.run(text, "--json", *options, **period)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def zone2(self, code):
        """What zone 2 showed while the unit was there."""
        begin, end = (self.belt.reached_ms(code, mm) / POLL_MS for mm in (1500, 2000))
        return [zone_values(poll)[1] for poll in range(POLLS) if begin <= poll < end]

    def hot(self, limit):
        return [code for code in ENTRIES if max(self.zone2(code)) >= limit]


RESULTS = {"reflow_row": 5 * len(ENTRIES), "zone": len(ENTRIES)}


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    belt = Belt(POLLS, speed, ENTRIES)
    text = CONFIG[: CONFIG.index("rules:")] + RULES
    belt.node = Node(folder, text.replace("tracks:\n", SPARE + "tracks:\n", 1))
    stored = ("SELECT (SELECT count(*) FROM measures) m, (SELECT count(*) FROM verdicts) v,"
              " (SELECT count(*) FROM history WHERE stream = 'tens' AND tag = 'n') t")
    want = {"m": sum(RESULTS.values()), "v": len(ENTRIES), "t": POLLS // WINDOW_POLLS - 1}
    try:
        with Importer(belt.node, TOPIC) as importer:
            importer.put_all([belt.row(i) for i in range(belt.polls)])
        wait_until(lambda: belt.node.sql(stored)[0] == want, "the results of all rules")
        yield Replay(belt, folder)
    finally:
        end_all([belt.node])


def counts(answer):
    names = ("same", "changed", "moved", "added", "removed")
    return {r["rule"]: {k: r[k] for k in names if r[k]} for r in answer["rules"]}


@pytest.mark.asan
def test_unchanged_rules_change_nothing(replay):
    answer = replay.json(RULES)
    windows = [200 + k for k in range(POLLS // WINDOW_POLLS - 1)]
    back = sum(speed(poll) < 0 for poll in range(POLLS))
    assert answer["results"] == [] and answer["rows"] == []
    assert counts(answer) == {
        "reflow_row": {"same": 5 * len(ENTRIES)},
        "zone": {"same": len(ENTRIES)},
        "checked": {"same": 2 * len(ENTRIES) + len(replay.hot(210))},
        "tens": {"same": 2 * len(windows)},
        "high": {"same": 2 * sum(mean > 210 for mean in windows)},
        "opened": {"same": back},
    }
    assert all(r["replayed"] and not r["new"] and not r["errors"] for r in answer["rules"])


def test_another_threshold_of_a_defect(replay):
    """The unit that was hot is not any more; what was said of the others stays."""
    hot, still = replay.hot(210), replay.hot(215)
    assert len(hot) == 1 and not still
    answer = replay.json(rule("checked").replace("210", "215"))
    stay = replay.belt.node.sql(
        "SELECT epoch_ms(t_out)::BIGINT AS ms FROM steps JOIN units USING (unit)"
        f" WHERE serial = '{hot[0]}' AND steps.station = 'cooling'")[0]["ms"]
    like = {"rule": "checked", "serial": hot[0], "station": "cooling", "operation": "check",
            "type": "", "position": "", "at_before": moment((stay - BEGIN_MS) / POLL_MS)}
    assert answer["results"] == [
        {**like, "change": "removed", "kind": "defect", "name": "hot", "value_before": "",
         "value_after": None, "at_after": None},
        {**like, "change": "changed", "kind": "verdict", "name": "", "value_before": "fail",
         "value_after": "pass", "at_after": like["at_before"]},
    ]
    assert counts(answer) == {
        "checked": {"same": 2 * len(ENTRIES) - 1, "changed": 1, "removed": 1}}


def test_another_aggregate(replay):
    answer = replay.json(rule("zone").replace("max(zone2)", "min(zone2)"))
    seen = {r["serial"]: (r["value_before"], r["value_after"]) for r in answer["results"]}
    want = {code: (max(replay.zone2(code)), min(replay.zone2(code))) for code in ENTRIES}
    assert seen == {code: (str(a), str(b)) for code, (a, b) in want.items() if a != b} and seen
    for row in answer["results"]:
        assert (row["change"], row["kind"], row["name"]) == ("changed", "measure", "high")
        assert (row["station"], row["operation"]) == ("reflow", "zone")
        assert row["at_before"] == row["at_after"]


def test_what_reads_a_changed_rule_changes_too(replay):
    """One degree more in each window: one window more is above 210, and all others have that."""
    answer = replay.json(rule("tens").replace("avg(zone2)", "avg(zone2) + 1"))
    ends = {k: second((k + 1) * WINDOW_POLLS) for k in range(POLLS // WINDOW_POLLS - 1)}
    tens = of_rule(answer, "tens")
    assert [(r["change"], r["name"], r["at_before"], r["value_before"], r["value_after"])
            for r in tens] == [
        ("changed", "mean", at, str(200 + k), str(201 + k)) for k, at in ends.items()]
    assert {r["at_after"]: (r["change"], r["value_after"]) for r in of_rule(answer, "high")
            if r["name"] == "mean"} == {
        at: ("added" if k == 10 else "changed", str(201 + k)) for k, at in ends.items() if k >= 10}
    assert {r["rule"] for r in answer["rules"]} == {"tens", "high"}
    assert next(r for r in answer["rules"] if r["rule"] == "high")["left_out"] == {
        "alarm": 4, "mqtt": 4}


def test_moved_tracks_change_what_rules_say_of_their_units(replay):
    answer = replay.json(TRACK.replace("from_mm: 1000, to_mm: 2500}", "from_mm: 1100, to_mm: 2500}", 1))
    assert {r["rule"] for r in answer["rules"]} == {"reflow_row", "zone", "checked"}
    assert {(r["rule"], r["change"]) for r in answer["results"]} == {("reflow_row", "changed")}
    assert {r["serial"] for r in answer["results"] if r["name"] == "mean"} == set(ENTRIES)


def test_a_part_of_the_time(replay):
    """What lies around it does not matter: the window that ends first in it is whole."""
    changed = rule("tens").replace("avg(zone2)", "avg(zone2) + 1")
    answer = replay.json(changed, "--lead", "1s", begin=405, end=705)
    assert [r["at_before"] for r in of_rule(answer, "tens")] == [
        second(500), second(600), second(700)]


def test_twice_the_same_bytes_in_every_form(replay):
    changed = RULES.replace("210", "205").replace("max(zone2) AS high", "min(zone2) AS high")
    for form in (["--json"], ["--csv"], ["--csv", "--results"], []):
        first, second = (replay.run(changed, *form) for _ in range(2))
        assert first.returncode == 0, first.stderr
        assert first.stdout == second.stdout
    assert "Rule zone: 4 rows; results:" in first.stdout
    rows = list(csv.DictReader(io.StringIO(replay.run(changed, "--csv", "--results").stdout)))
    assert {(r["rule"], r["change"]) for r in rows} >= {("zone", "changed"), ("high", "added")}


def test_nothing_is_done_and_nothing_is_written(replay):
    node = replay.belt.node
    tables = ("SELECT (SELECT count(*) FROM points) p, (SELECT count(*) FROM steps) s,"
              " (SELECT count(*) FROM measures) m, (SELECT count(*) FROM defects) d,"
              " (SELECT count(*) FROM tags) t, (SELECT max(seq) FROM positions) seq")
    before = node.sql(tables), node.get("/alarms"), node.get("/rules")
    loud = rule("opened").replace("opened", "loud").replace(
        "actions: [", "actions: [{alarm: {name: loud}}, {mqtt: {topic: a/b}},"
        " {http: {url: 'http://127.0.0.1:1/x'}}, {historian: {}}, ")
    answer = replay.json(loud)
    back = sum(speed(poll) < 0 for poll in range(POLLS))
    (said,) = answer["rules"]
    assert said["new"] and said["rows"] == back
    assert said["left_out"] == {"alarm": back, "mqtt": back, "http": back}
    assert counts(answer) == {"loud": {"added": 3 * back}}  # a defect and two columns
    assert (node.sql(tables), node.get("/alarms"), node.get("/rules")) == before


def test_a_long_answer_is_cut_and_says_so(replay):
    done = replay.run("rules: [{name: all, sql: 'SELECT * FROM plc1.line', actions: [{historian: {}}]}]",
                      "--json")
    answer = json.loads(done.stdout)
    assert counts(answer) == {"all": {"added": 7 * POLLS}} and len(answer["results"]) == 10000
    assert answer["results_truncated"] is True
    assert "more results" in replay.run(
        "rules: [{name: all, sql: 'SELECT * FROM plc1.line', actions: [{historian: {}}]}]").stderr


@pytest.mark.parametrize(
    "text, said",
    [
        (rule("tens").replace("avg(", "maxi("), "change.yaml:3:17: there is no function maxi"),
        (rule("high").replace("mean > 210", "meen > 210"), "change.yaml:3:"),
        (rule("high").replace("FROM tens", "FROM twenties"), "change.yaml:3:"),
        (rule("checked").replace("defects: [found]", "defects: [lost]"), "change.yaml:8:"),
        (rule("zone").replace("'belt1'", "'belt9'"), "change.yaml:3:"),
        (rule("tens").replace("historian", "historial"), "change.yaml:4:"),
        ("characteristics: []\n", "there are no tracks in it and no rules"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(replay, text, said):
    done = replay.run(text)
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_a_period_without_values_is_said(replay):
    done = replay.run(rule("tens"), begin=9000, end=9100)
    assert done.returncode != 0
    assert "no values of the streams that the rules read" in done.stderr


def test_what_is_not_stored_cannot_be_replayed(replay):
    text = "rules: [{name: spare, sql: 'SELECT code FROM plc9.spare', actions: [{historian: {}}]}]"
    (said,) = replay.json(text)["rules"]
    assert not said["replayed"] and "no value of plc9.spare was ever stored" in said["why"]


def test_whose_asker_leaves_and_whose_node_is_killed_leaves_nothing(replay):
    node = replay.belt.node
    first = replay.run(RULES.replace("210", "205"), "--json").stdout
    gone = subprocess.Popen(replay.command(RULES), stdout=subprocess.DEVNULL)
    gone.kill()
    gone.wait()
    for _ in range(3):
        before = sorted(p.name for p in node.data.iterdir() if p.name != "run.json")
        cut = subprocess.Popen(replay.command(RULES.replace("210", "205"), "--json"),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        node.kill()
        out = cut.communicate(timeout=60)[0].decode()
        assert out in ("", first)
        node.start()
        assert sorted(p.name for p in node.data.iterdir() if p.name != "run.json") == before
        assert replay.run(RULES.replace("210", "205"), "--json").stdout == first


# ---------------------------------------------------------------------------------------- lookups


def test_a_lookup_is_as_of_the_rows_time_or_is_not_replayed(start_node, tmp_path, children):
    mes = Mes()
    children.append(mes)
    drop = tmp_path / "drop"
    drop.mkdir()
    mes.body = {"data": {"items": [feeder("f1", "A", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
                                   feeder("f1", "B", "2026-02-01T00:00:00Z")]}}
    text = sources_config(drop, mes.url) + """\
  - name: insp_other
    sql: SELECT serial, lookup('always', 'line', feeder) AS line FROM insp
    actions: [{historian: {}}]
"""
    text = text.replace("rules:\n", f"""\
  - {{name: always, source: http, url: "{mes.url}", interval: 100ms, rows: data.items, lookup: true,
      key: feeder, columns: {{feeder: string, line: string}}}}
rules:
""", 1)
    node = start_node(text, environment={"MES_TOKEN": "x"})
    lines = [f"2026-01-{day:02d}T12:00:00Z,S{day},f1,0\n" for day in (5, 31)]
    lines += [f"2026-02-{day:02d}T12:00:00Z,S{day + 31},f1,0\n" for day in (1, 9)]
    put(drop, "one.csv", "at,serial,feeder,offset\n" + "".join(lines))
    wait_until(lambda: len(texts(node, "insp_lot", "lot")) == 4, "the file's rows")
    path = tmp_path / "rules.yaml"
    rules = text[text.index("rules:\n  - name: insp_lot"):]

    def answer(change, begin="2026-01-02T00:00:00Z"):
        path.write_text(change)
        done = subprocess.run(asked(node, begin, "2026-03-01T00:00:00Z", path, "--json"),
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    same = answer(rules)
    assert same["results"] == [] and counts(same)["insp_lot"] == {"same": 8}
    said = next(r for r in same["rules"] if r["rule"] == "insp_other")
    assert not said["replayed"] and "always does not say since when" in said["why"]
    changed = answer(rules.replace("SELECT serial, lookup('feeders', 'lot', feeder)",
                                   "SELECT serial, lower(lookup('feeders', 'lot', feeder))"))
    assert [(r["value_before"], r["value_after"]) for r in changed["results"]] == [
        ("A", "a"), ("A", "a"), ("B", "b"), ("B", "b")]
    early = answer(rules, "2025-12-01T00:00:00Z")
    said = next(r for r in early["rules"] if r["rule"] == "insp_lot")
    assert not said["replayed"] and "begin at 2026-01-01T00:00:00Z, later than" in said["why"]


# ------------------------------------------------------------------------- lines, a simulated plant


def test_a_line_that_took_back_what_it_said(start_node, tmp_path):
    """Units that were somewhere else after all: the results of both sides are the last word."""
    rules = """\
rules:
  - name: pressed
    sql: SELECT unit_id() AS unit, count(*) AS polls FROM "plc1.floor" GROUP BY UNITWINDOW('floor', 'press')
    actions: [{trace: {operation: press}}]
"""
    node = start_node(LINE_CONFIG + rules)
    with Importer(node, "plant1/line1/floor/plc1/floor/import") as importer:
        importer.put_all(list(floor_rows()))
    held = "SELECT serial, count(*) n FROM steps JOIN units USING (unit) WHERE units.station = 'press' GROUP BY 1"
    wait_until(lambda: len(node.sql("SELECT * FROM steps WHERE station = 'check'")) >= 2, "both checked")
    wait_until(lambda: len(node.sql("SELECT DISTINCT unit FROM measures")) == len(node.sql(held)), "measures")
    path = tmp_path / "line.yaml"
    path.write_text(LINE_TRACK + rules)
    done = subprocess.run(asked(node, moment(0), moment(200), path, "--json"), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["results"] == [] and answer["rows"] == []
    assert counts(answer) == {"pressed": {"same": 2}}  # one for each unit, none for what was taken back


def test_a_plants_rules_give_the_same_again(tmp_path, children, start_node):
    """An hour of a whole plant: unit windows, curves, lookups, files of inspections, genealogy."""
    node, ledger = told_past(tmp_path, children, start_node, "1h", "zone_drift", 7)
    wait_for_all(node, ledger)
    span = node.sql("SELECT min(t_out)::VARCHAR AS a, max(t_out)::VARCHAR AS b FROM steps")[0]
    begin, end = (at.replace(" ", "T") + "Z" for at in (span["a"], span["b"]))
    text = node.config.read_text()
    path = tmp_path / "all.yaml"
    path.write_text(plant_tracks(text) + text[text.index("rules:"):])
    done = subprocess.run(asked(node, begin, end, path, "--json"), capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    print(answer["rules"])
    assert answer["results"] == []
    assert all(r["replayed"] for r in answer["rules"])
    assert sum(r["same"] for r in answer["rules"]) > 1000


# ------------------------------------------------------------- rows that are put together again


def historian_rule(name, sql):
    return f'  - {{name: {name}, sql: "{sql}", actions: [{{historian: {{}}}}]}}\n'


def test_lines_of_one_moment_are_told_apart_or_not_replayed(start_node, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    rules = "rules:\n" + historian_rule("copy", "SELECT serial, feeder, offset FROM insp")
    node = start_node(sources_config(drop) + rules)
    lines = ["2026-01-05T12:00:00Z,S1,f1,1\n", "2026-01-05T12:00:00Z,S2,f2,2\n",
             "2026-02-05T12:00:00Z,S3,,3\n", "2026-02-05T12:00:00Z,S4,f4,4\n"]
    put(drop, "one.csv", "at,serial,feeder,offset\n" + "".join(lines))
    wait_until(lambda: len(texts(node, "copy", "serial")) == 4, "the file's rows")
    path = tmp_path / "rules.yaml"

    def answer(begin, end, sql):
        path.write_text("rules:\n" + historian_rule("copy", sql))
        done = subprocess.run(asked(node, begin, end, path, "--json"), capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    january = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    same = answer(*january, "SELECT serial, feeder, offset FROM insp")
    assert same["results"] == [] and counts(same) == {"copy": {"same": 6}}
    one = answer(*january, "SELECT serial, feeder, offset FROM insp WHERE feeder = 'f2'")
    assert [(r["change"], r["name"], r["value_before"]) for r in one["results"]] == [
        ("removed", "feeder", "f1"), ("removed", "offset", "1"), ("removed", "serial", "S1")]  # the whole row
    (said,) = answer("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "SELECT serial FROM insp")["rules"]
    assert not said["replayed"] and "several of its stored rows have one time" in said["why"]


SCANS = """\
streams:
  - {name: scans, source: mqtt, topic: scans/+, format: json}
rules:
"""


def test_messages_without_declared_columns(start_node, tmp_path):
    rule_of_scans = historian_rule("big", "SELECT code, n FROM scans WHERE n > 2")
    node = start_node("name: n\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n" + SCANS + rule_of_scans)
    rows = [{"code": f"C{n}", "n": n} if n % 2 else {"n": n} for n in range(6)]
    with Importer(node, "scans/1") as importer:
        for row in rows:
            assert importer.put(row)[0] == 0
    stored = "SELECT count(*) n, min(ts)::VARCHAR a, max(ts)::VARCHAR b FROM history WHERE stream = 'big' AND tag = 'n'"
    wait_until(lambda: node.sql(stored)[0]["n"] == 3, "the rows of the rule")
    path = tmp_path / "rules.yaml"

    def answer(sql):
        path.write_text("rules:\n" + historian_rule("big", sql))
        done = subprocess.run(asked(node, "1h", "0s", path, "--json"), capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    same = answer("SELECT code, n FROM scans WHERE n > 2")
    assert same["results"] == [] and counts(same) == {"big": {"same": 5}}
    more = answer("SELECT code, n FROM scans WHERE n > 1")
    assert [(r["change"], r["name"], r["value_after"]) for r in more["results"]] == [("added", "n", "2")]
