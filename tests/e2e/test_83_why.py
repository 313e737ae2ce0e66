"""The causes of defects, from files of a line's past to the ranked answer: on the command line and
over REST, for a line where one lot is bad, for one where nothing is, and for one with other names.
"""

import csv
import datetime
import json
import random

import pytest

from conftest import wait_until

UNITS = 1500
BEGIN = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(days=1)

CONFIG = """\
name: line1
listen: {{mqtt: 127.0.0.1:0, http: 127.0.0.1:0}}
streams:
  - {{name: {press}s, source: file, folder: {folder}, pattern: "press.csv", interval: 50ms, settle: 200ms,
     time: at, columns: [{{name: at, type: timestamp}}, {{name: serial}}, {{name: {operator}}},
     {{name: {fixture}}}, {{name: {lot}}}, {{name: {force}, type: double}}]}}
  - {{name: {inspect}s, source: file, folder: {folder}, pattern: "inspect.csv", interval: 50ms, settle: 200ms,
     time: at, columns: [{{name: at, type: timestamp}}, {{name: serial}}, {{name: defect}},
     {{name: result}}, {{name: depth, type: double}}]}}
rules:
  - name: press_row
    sql: SELECT serial, {operator}, {fixture}, {lot}, {force} FROM {press}s
    actions:
      - trace: {{operation: {press}, unit: serial, measures: [{force}], consumes: [{lot}],
                factors: {{man: [{operator}], machine: [{fixture}]}}}}
  - name: inspect_row
    sql: SELECT serial, defect, result, depth FROM {inspect}s
    actions:
      - trace: {{operation: {inspect}, unit: serial, measures: [depth], defects: [defect], verdict: result}}
"""
PLAIN = {n: n for n in ("press", "inspect", "operator", "fixture", "lot", "force")}
OTHER = {"press": "zz_op", "inspect": "aa_op", "operator": "who", "fixture": "a_thing", "lot": "zlot",
         "force": "m1"}


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def make(folder, seed, bad_lot, names=PLAIN, prefix=""):
    """A day of a press: three operators in shifts, two fixtures by turns, a lot every 120 units."""
    rnd = random.Random(seed)
    pressed, inspected = [], []
    drift = 0.0
    for i in range(UNITS):
        drift = 0.99 * drift + 0.2 * rnd.gauss(0, 1)
        at = BEGIN + datetime.timedelta(seconds=50 * i)
        later = at + datetime.timedelta(seconds=20)
        lot = i // 120
        bad = rnd.random() < (0.3 if lot == bad_lot else 0.012)
        serial = f"{prefix}S{i:05}"
        pressed.append((at.isoformat(), serial, f"{prefix}op{i // 480}", f"{prefix}F{rnd.randrange(2)}",
                        f"{prefix}L{lot}", f"{20 + drift:.3f}"))
        # What the test itself measures would explain everything.
        inspected.append((later.isoformat(), serial, "scratch" if bad else "",
                          "fail" if bad else "pass", f"{(9 if bad else 1) + rnd.random():.3f}"))
    write(folder / "press.csv",
          ("at", "serial", names["operator"], names["fixture"], names["lot"], names["force"]), pressed)
    write(folder / "inspect.csv", ("at", "serial", "defect", "result", "depth"), inspected)


def start(start_node, tmp_path, name, seed, bad_lot, names=PLAIN, prefix=""):
    folder = tmp_path / f"{name}_files"
    folder.mkdir()
    make(folder, seed, bad_lot, names, prefix)
    node = start_node(CONFIG.format(folder=folder, **names), name=name)

    def stored():
        rows = node.sql("SELECT (SELECT count(*) FROM verdicts) AS v, (SELECT count(*) FROM factors) AS f")
        return rows[0] == {"v": UNITS, "f": 2 * UNITS}

    wait_until(stored, "the day to be stored", timeout_s=60)
    return node


def why(node, *arguments):
    return json.loads(node.command("why", "--defect", "scratch", "--json", *arguments, check=True).stdout)


def test_the_bad_lot_is_the_cause_whatever_it_is_called(start_node, tmp_path):
    node = start(start_node, tmp_path, "plain", 1, bad_lot=5)
    answer = why(node)
    print(answer)
    assert answer["operation"] == "inspect"
    assert answer["result"] == "causes"
    assert answer["bad"] + answer["good"] == UNITS
    top = answer["causes"][0]
    assert (top["status"], top["kind"], top["name"], top["operation"], top["value"]) == (
        "cause", "material", "lot", "press", "L5")
    assert top["bad_with"] + top["good_with"] == 120
    assert top["bad_with"] + top["bad_without"] == answer["bad"]
    assert top["risk_difference"]["low"] > 0.1
    begin = datetime.datetime.fromisoformat(top["since"].replace("Z", "+00:00"))
    assert abs((begin - BEGIN).total_seconds() - 5 * 120 * 50) < 20 * 50
    assert ("lot", "L5", "L4") in [(c["name"], c["value"], c.get("before")) for c in top["changed"]]
    assert all(cause["name"] != "depth" for cause in answer["causes"])
    assert node.get("/why?defect=scratch&operation=inspect")["causes"][0]["value"] == "L5"
    text = node.command("why", "--defect", "scratch", check=True).stdout
    print(text)
    assert text.startswith("The cause is lot L5 at press")
    assert "1. cause  [material]" in text and "set in " in text
    other = start(start_node, tmp_path, "other", 1, bad_lot=5, names=OTHER, prefix="Q")
    assert [(c["status"], c["strength"], c["bad_with"], c["good_with"], c["p_shift"]) for c in
            why(other)["causes"]] == [
        (c["status"], c["strength"], c["bad_with"], c["good_with"], c["p_shift"]) for c in answer["causes"]]


def test_nothing_wrong_is_an_answer_and_so_is_too_little(start_node, tmp_path):
    node = start(start_node, tmp_path, "none", 2, bad_lot=None)
    answer = why(node)
    assert answer["result"] == "none"
    assert answer["text"].startswith("No factor explains this")
    assert all(cause["status"] == "suspect" for cause in answer["causes"])
    few = why(node, "--until", (BEGIN + datetime.timedelta(hours=6)).isoformat().replace("+00:00", "Z"))
    assert few["result"] == "inconclusive"
    assert few["causes"] == []


@pytest.mark.asan
def test_what_cannot_be_asked_is_said(start_node, tmp_path):
    node = start(start_node, tmp_path, "none", 3, bad_lot=None)
    wrong = node.command("why", "--defect", "scartch")
    assert wrong.returncode == 3, wrong
    assert "there are scratch" in wrong.stderr
    assert node.command("why").returncode == 2
    assert "--defect NAME" in node.command("why").stderr
    late = node.request("GET", "/api/v1/why?defect=scratch&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z")
    assert late.status == 400 and "since is not before until" in late.json["detail"]
