"""Kill -9 of a node that follows a whole live plant, at random moments: afterwards each visit of a unit to
a station is told as the ledger has it, or with a status that says what is not known of it.

What can be known is judged by the node's own readings: where a machine's readings have a hole (the
node was down), an edge that lies in it is known no better than the hole is long.
"""

import bisect
import csv
import os
import random
import re
import time

import pytest

from conftest import wait_until
from support.smt import DEVICE_OF, Line, readings, visits

SPEED = 20
GAP_US = 450_000  # the gap_max that the plant's tracks have at this speed
BLIND_US = 1_700_000  # in which the belt makes the distance of two panels
SLACK_US = 220_000  # a poll, and how late a busy host may ask
ANSWER_US = 20_000  # for which an answer may be on its way
STATIONS = ["printer", "spi", "placer_a", "placer_b", "reflow", "aoi", "depanel", "ict", "rework"]
FILES = {"spi": "spi", "aoi": "aoi", "ict": "ict", "rework": "rework"}  # folder: station
STEPS = (
    "SELECT s.unit, s.station, u.serial, s.status, s.evidence, s.revision, epoch_us(s.t_in) AS t_in,"
    " epoch_us(s.t_out) AS t_out FROM steps s JOIN (SELECT unit, arg_max(serial, revision) AS serial"
    " FROM units GROUP BY unit) u ON s.unit = u.unit ORDER BY s.t_in"
)


def let_pass(seconds):
    """Time in which the plant works: what the test is about, and no waiting for anything."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, "the time to pass", timeout_s=seconds + 5)


class Seen:
    """When a machine was looked at."""

    def __init__(self, node, device):
        tag = "entry" if device == "oven" else "cycle"
        self.times = [at for at, _ in readings(node, device, tag)]
        self.holes = [
            (a, b) for a, b in zip(self.times, self.times[1:]) if b - a > GAP_US - SLACK_US / 2
        ]

    def hole(self, at):
        """The hole that a moment lies in, or at whose rim it is; None: somebody looked."""
        for a, b in self.holes:
            if a - SLACK_US <= at <= b + SLACK_US:
                return a, b
        return None

    def around(self, at):
        """From when until when an edge may be told: a busy host may have asked even later."""
        before = self.times[max(bisect.bisect_left(self.times, at) - 1, 0)]
        i = bisect.bisect_left(self.times, at + ANSWER_US)
        after = self.times[min(i, len(self.times) - 1)]
        return min(at - SLACK_US, before), max(at + SLACK_US, after)

    def during(self, t_in, t_out):
        """How often it was looked at in a time."""
        return bisect.bisect_left(self.times, t_out) - bisect.bisect_right(self.times, t_in)


def latest(rows):
    """Of each unit and station the row that holds."""
    best = {}
    for row in rows:
        key = row["unit"], row["station"]
        if key not in best or row["revision"] > best[key]["revision"]:
            best[key] = row
    return list(best.values())


def gap_us(row):
    """The time without readings, as its evidence says."""
    found = re.search(r" gap=(\d+)ms", row["evidence"])
    return int(found[1]) * 1000 if found else 0


def fits(row, t_in, t_out, seen):
    """A row's interval is the visit's, as well as the readings could show it."""
    for told, true in ((row["t_in"], t_in), (row["t_out"], t_out)):
        hole = seen.hole(true)
        low, high = (hole[0] - 2 * SLACK_US, hole[1] + 2 * SLACK_US) if hole else seen.around(true)
        if not low <= told <= high:
            return False
    return True


class Station:
    """A station's visits, as the ledger has them and as the trace has them."""

    def __init__(self, node, ledger, rows, name):
        self.name = name
        self.seen = Seen(node, DEVICE_OF.get(name, name))
        first, last = self.seen.times[0], self.seen.times[-1]
        self.truth = [v for v in visits(ledger, name) if v[0] > first and v[1] < last - 2_000_000]
        self.rows = [row for row in rows if row["station"] == name]
        self.counts = {"whole": 0, "continued": 0, "an edge unknown": 0, "told": 0, "unseen": 0, "unsure": 0}
        self.statuses = {}
        self.problems = []

    def problem(self, text, *what):
        self.problems.append(f"{self.name}: {text}: {what}")

    def judge(self):
        used = set()
        for visit in self.truth:
            found = [
                i for i, row in enumerate(self.rows)
                if (row["serial"] == visit[2] or self.is_unread(row, visit))
                and (fits(row, visit[0], visit[1], self.seen) or self.holds(row, visit))
            ]
            self.judge_visit(visit, [self.rows[i] for i in found])
            if used & set(found):
                twice = [self.rows[i] for i in used & set(found)]
                if any(row["status"] not in ("missing", "inferred") for row in twice):
                    self.problem("one row for two visits", visit, twice)
            used |= set(found)
        begin, end = self.truth[0][0], self.truth[-1][1]
        for i, row in enumerate(self.rows):
            if i in used or row["t_in"] < begin - SLACK_US or row["t_out"] > end + SLACK_US:
                continue
            if row["status"] not in ("exact", "inferred") and self.is_blind(row["t_in"], row["t_out"]):
                self.counts["unsure"] += 1
            elif row["status"] == "exact":
                self.problem("exact, and no such visit", row)
            elif not self.seen.hole(row["t_in"]) and not self.seen.hole(row["t_out"]):
                self.problem("no such visit", row)
            else:
                self.problem("left over", row)

    def is_blind(self, t_in, t_out):
        """Nobody looked at the belt for so long that panels on it may be taken for each other; then the
        rows there may not say that they are sure."""
        return self.name == "reflow" and any(
            b - a > BLIND_US and a < t_out and b > t_in for a, b in self.seen.holes
        )

    def holds(self, row, visit):
        """Nobody looked, and a later scan showed that it was some time in there; or the same unit was there
        before and after a hole, which may have been two visits."""
        from_us = row["t_out"] - gap_us(row) if "begin=gap end=gap" in row["evidence"] else row["t_in"]
        return (
            row["status"] in ("missing", "inferred")
            and gap_us(row) > 0
            and from_us <= visit[0] + SLACK_US
            and row["t_out"] >= visit[1] - SLACK_US
        )

    def is_unread(self, row, visit):
        """Nobody looked when its code was under the scanner, and so it is listed without it."""
        return (
            row["status"] == "missing"
            and "serial=unread" in row["evidence"]
            and self.seen.hole(visit[0]) is not None
        )

    def judge_visit(self, visit, found):
        t_in, t_out, serial, read = visit
        edges = [self.seen.hole(t) for t in (t_in, t_out)]
        inside = [h for h in self.seen.holes if t_in < h[0] and h[1] < t_out]
        looked = self.seen.during(t_in, t_out)
        if edges[0] and edges[0] == edges[1] and not looked:
            self.counts["told" if found else "unseen"] += 1
            if any(row["status"] != "missing" for row in found):
                self.problem("nobody looked, and it is said to be known", visit, found)
            return
        kind = "an edge unknown" if any(edges) else "continued" if inside else "whole"
        self.counts[kind] += 1
        if not found and self.is_blind(t_in, t_out):
            self.counts["unsure"] += 1
            return
        if len(found) != 1:
            near = [r for r in self.rows if r["t_in"] < t_out + 1e6 and r["t_out"] > t_in - 1e6]
            self.problem(f"{len(found)} rows for a visit ({kind}, {looked} readings)", visit,
                         self.seen.holes, near)
            return
        status = found[0]["status"]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        again = "same-as-before" in found[0]["evidence"]  # who was between was not seen
        long = [h for h in inside if h[1] - h[0] > GAP_US + SLACK_US]
        if long and status == "exact" and self.name != "reflow":
            self.problem("exact, and nobody looked for a while", visit, found[0])
        if kind == "whole" and status != "exact" and not (again and self.seen.holes):  # the oven too: its scanner stands at 0 mm
            self.problem("seen whole, and not so said", visit, found[0], self.seen.holes)


def check_steps(node, ledger):
    rows = latest(node.sql(STEPS))
    problems, counts = [], {}
    for name in STATIONS:
        station = Station(node, ledger, rows, name)
        if not station.truth:
            continue
        station.judge()
        print(f"{name}: {station.counts} {station.statuses}")
        problems += station.problems
        for key, n in station.counts.items():
            counts[key] = counts.get(key, 0) + n
    return counts, problems


def file_rows(line):
    """[(station, serial, defect, refdes, result)] of all that was ever dropped in the folders."""
    rows = []
    for folder in FILES:
        for file in sorted((line.files / folder).glob("*.csv")):
            with open(file, newline="") as text:
                rows += [
                    (folder, r["serial"], r["defect"], r["refdes"], r["result"])
                    for r in csv.DictReader(text)
                ]
    return rows


def defects_of(line):
    return sorted((r[1], r[2], r[3]) for r in file_rows(line) if r[2] and r[0] in ("spi", "aoi"))


def check_defects(node, line):
    """What the inspections found, as their files have it, once each; verdicts too."""
    want = defects_of(line)

    def told():
        return sorted(
            (row["serial"], row["defect"], row["position"])
            for row in node.sql(
                "SELECT serial, defect, position FROM defects WHERE station IN ('spi', 'aoi')"
            )
        )

    wait_until(lambda: len(told()) >= len(want), "the findings of all files", timeout_s=20)
    assert told() == want
    verdicts = sorted({(r[0], r[1]) for r in file_rows(line)})

    def judged():
        rows = node.sql("SELECT DISTINCT station, serial FROM verdicts")
        return {(row["station"], row["serial"]) for row in rows}

    wait_until(lambda: judged() >= set(verdicts), "the verdicts of all files", timeout_s=10)
    stored = judged()
    late = [v for v in verdicts if v not in stored]
    assert late == [], "no verdict of these"
    return len(want), len(verdicts)


def seen_whole(node, ledger, station):
    """Serials of whose visits no moment lies in a hole; the last ones may still be on their way."""
    seen = Seen(node, DEVICE_OF.get(station, station))
    return {
        serial
        for t_in, t_out, serial, _ in visits(ledger, station)
        if seen.times[0] < t_in and t_out < seen.times[-1] - 4_000_000
        and not any(a < t_out and b > t_in for a, b in seen.holes)
    }


def check_links(node, ledger, problems):
    """No link that the ledger has not; boards and lots of all that was seen."""
    names = "(SELECT DISTINCT unit, serial FROM units)"
    split = {
        (row["parent"], row["child"])
        for row in node.sql(
            f"SELECT DISTINCT u.serial AS parent, l.child FROM links l JOIN {names} u"
            " ON l.parent = u.unit WHERE l.kind = 'split'"
        )
    }
    lots = {
        (row["parent"], row["serial"])
        for row in node.sql(
            f"SELECT DISTINCT l.parent, u.serial FROM links l JOIN {names} u ON l.child = u.unit"
            " WHERE l.kind = 'consumption'"
        )
    }
    panels = {s: row for s, row in ledger.items() if row["kind"] == "panel"}
    for parent, child in split:
        if child not in panels.get(parent, {}).get("children", []):
            problems.append(f"split: {parent} → {child} is not so")
    # Of a visit whose time is not known the lots are those of the time that is told.
    unsure = {row["serial"] for row in node.sql(STEPS) if row["status"] == "missing"}
    for lot, serial in lots:
        row = panels.get(serial)
        if row and serial not in unsure and lot not in {used["lot"] for used in row["consumed"]}:
            problems.append(f"consumed: {lot} → {serial} is not so")
    for serial in seen_whole(node, ledger, "depanel"):
        for child in panels[serial]["children"]:
            if (serial, child) not in split:
                problems.append(f"split: {serial} → {child} is not stored")
    for station in ("printer", "placer_a", "placer_b"):
        for serial in seen_whole(node, ledger, station):
            used = {u["lot"] for u in panels.get(serial, {}).get("consumed", []) if u["station"] == station}
            if any((lot, serial) not in lots for lot in used):
                told = sorted(lot for lot, of in lots if of == serial)
                problems.append(f"consumed at {station}: {used} → {serial} is not stored, but {told}")
    return split, lots


def config_of(line):
    """Fast as the plant is, 0.45 s lie between two cycles: an edge in a longer hole is not known. And its
    books are asked as often within a cycle as at a speed of 1: a lot that was put on since they were
    asked is not known either."""
    text = line.config()
    assert "interval: 5s, lookup: true" in text
    text = text.replace("interval: 5s, lookup: true", f"interval: {5000 // SPEED}ms, lookup: true")
    for begin in ("    speed: {signal: oven.belt.speed}\n", "    begin: {signal: "):
        assert begin in text
        text = text.replace(begin, f"    gap_max: {GAP_US // 1000}ms\n{begin}")
    return text


def live(tmp_path, children, start_node, seed, *options):
    line = Line(tmp_path, "--speed", SPEED, "--seed", seed, *options)
    children.append(line)
    node = start_node(config_of(line))
    wait_until(lambda: node.tag("oven.belt.speed")["quality"] == "good", "the oven to be read")
    return line, node


def kill_at_random(node, chance, rounds, down_s):
    for _ in range(rounds):
        let_pass(chance.uniform(0.5, 5))
        node.kill()
        let_pass(chance.uniform(*down_s))
        node.start()


def settle(node, line):
    """What is on the belt leaves it, and what was read is stored."""
    let_pass(17)
    assert line.stop() == 0, line.output
    ledger = line.ledger()
    count = [-1]

    def quiet():
        before, count[0] = count[0], node.sql("SELECT count(*) AS n FROM steps")[0]["n"]
        return before == count[0] and not let_pass(1)

    wait_until(quiet, "the last steps")
    return ledger


def run_rounds(tmp_path, children, start_node, rounds, down_s, default_seed):
    seed = int(os.environ.get("LOTLINE_SEED", default_seed))
    print("LOTLINE_SEED", seed)
    chance = random.Random(seed)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("defect_rate: 0.05\n")
    line, node = live(tmp_path, children, start_node, "7", "--scenario", scenario)
    kill_at_random(node, chance, rounds, down_s)
    ledger = settle(node, line)
    counts, problems = check_steps(node, ledger)
    print("visits:", counts)
    split, lots = check_links(node, ledger, problems)
    print(len(split), "boards of panels,", len(lots), "lots of units")
    print("findings, verdicts:", check_defects(node, line))
    assert not problems, "\n".join(problems[:20])


def test_units_in_the_line_are_continued_or_listed(tmp_path, children, start_node):
    run_rounds(tmp_path, children, start_node, 5, (0.0, 2.0), default_seed=4)


@pytest.mark.long
def test_thirty_kills(tmp_path, children, start_node):
    run_rounds(tmp_path, children, start_node, 30, (0.0, 4.0), time.time_ns() % 100000)
