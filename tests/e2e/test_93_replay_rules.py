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
from test_52_belt import BEGIN_MS, CONFIG, ENTRIES, POLL_MS, TOPIC, Belt, speed, steps, zone_values
from test_92_replay import POLLS, TRACK, moment

WINDOW_POLLS = 100  # of the rule `tens`
RULES = """\
rules:
  - name: reflow_row
    sql: >
      SELECT unit_id() AS unit, avg(zone2) AS zone2_avg, max(profile()) AS peak,
      avg(profile()) AS mean, timeabove(profile(), 175) AS above, covered(profile()) AS seen
      FROM "plc1.line" GROUP BY UNITWINDOW('belt1', 'reflow')
    actions: [{trace: {operation: reflow, measures: [zone2_avg, peak, mean, above, seen]}}]
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


class Replay:
    def __init__(self, belt, folder):
        self.belt = belt
        self.folder = folder

    def run(self, text, *options, begin=0, end=POLLS):
        path = self.folder / "change.yaml"
        path.write_text(text)
        return subprocess.run(
            [PROGRAM, "replay", "--data", str(self.belt.node.data), "--from", moment(begin), "--to",
             moment(end), "--tracks", str(path), *options],
            capture_output=True, text=True, timeout=60,
        )

    def json(self, text, *options, **period):
        done = self.run(text, "--json", *options, **period)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    belt = Belt(POLLS, speed, ENTRIES)
    belt.node = Node(folder, CONFIG[: CONFIG.index("rules:")] + RULES)
    stored = ("SELECT (SELECT count(*) FROM measures) m, (SELECT count(*) FROM verdicts) v,"
              " (SELECT count(*) FROM history WHERE stream = 'tens' AND tag = 'n') t")
    want = {"m": len(MEASURES) * len(ENTRIES), "v": len(ENTRIES), "t": POLLS // WINDOW_POLLS - 1}
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


def test_unchanged_rules_change_nothing(replay):
    answer = replay.json(RULES)
    print(answer["rules"])
    assert answer["results"] == [] and answer["rows"] == []
