"""Genealogy unit by unit: a node's answers held against the plant's ledger. What every panel and board
was made of and became, which lots went into it and where, each of its visits, and what was found,
repaired and tested again. Codes that were not read included; what is promised of these:

* the visit is a unit of its own under a provisional name, `inferred`, with its times, and its lots
  and children hang on it: a board then comes from that visit, and not from the panel's serial;
* the trace of the unit itself does not have that visit, unless an inspection's file says that it
  took place: then it is `recorded`, at the time of the file's rows, and no other visit's.
"""

import calendar
import http.client
import json
import time
import urllib.parse
from collections import Counter

from conftest import wait_until

NEAR_US = 1_100_000  # a row a second
MARGIN_US = 120_000_000  # at the end of the past windows wait for rows that do not come any more
FILED = ("spi", "aoi", "ict", "rework")  # their files name the unit, whatever the scanner read
SYMPTOMS = ("open", "short")  # what the electrical test knows of a defect


class Asker:
    """Asks for traces over one connection."""

    def __init__(self, node):
        host, port = node.ports["http"].rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.headers = {"Authorization": f"Bearer {node.token}"}

    def get(self, path):
        self.connection.request("GET", f"/api/v1{path}", headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:300])
        return json.loads(body)

    def trace(self, key, until):
        """What is told of the time before; what came later may not be whole yet."""
        answer = self.get(f"/trace/{urllib.parse.quote(key)}?curves=false")
        for name, at in (("parents", "at"), ("children", "at"), ("defects", "detected_at")):
            answer[name] = [row for row in answer[name] if micros(row[at]) <= until]
        return answer


def micros(text):
    """RFC 3339 in UTC as µs since 1970."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    second = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return second * 1_000_000 + int(f"{fraction:0<6}"[:6])


def near(a, b):
    return a is not None and abs(micros(a) - b) <= NEAR_US


def said(station, result):
    """The verdict of a visit that ended so; None: it follows from its measures."""
    return {"none": None}.get(result, "rework" if station == "rework" else result)


class Truth:
    """The ledger, as far as what is promised has happened by `until`."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.until = self._quiet(ledger)
        self.begun = self._begun(ledger)
        self.unread = [
            (serial, step)
            for serial, row in ledger.items()
            for step in self.steps(row)
            if not step["read"]
        ]

    def _quiet(self, ledger):
        """A moment MARGIN_US before the end at which no visit ended: told and true times lie on the
        same side of it."""
        ends = sorted(s["t_out"] for row in ledger.values() for s in row["steps"] if s["t_out"])
        until = ends[-1] - MARGIN_US
        while any(abs(end - until) <= 2 * NEAR_US for end in ends):
            until -= NEAR_US
        return until

    def _begun(self, ledger):
        """{station: [(t_in, who began it)]} in order."""
        begun = {}
        for row in ledger.values():
            for s in row["steps"]:
                begun.setdefault(s["station"], []).append((s["t_in"], s["operator"]))
        return {station: sorted(visits) for station, visits in begun.items()}

    def operators(self, step):
        """Who may have been there when the unit left: whoever began it, or took over meanwhile, as
        the visits say that began since, up to the first after it left."""
        since = [v for v in self.begun[step["station"]] if v[0] >= step["t_in"]]
        inside = sum(t_in <= step["t_out"] for t_in, _ in since)
        return {operator for _, operator in since[: inside + 1]}

    def steps(self, row):
        return [s for s in row["steps"] if s["t_out"] and s["t_out"] <= self.until]

    def later(self, row):
        return [s for s in row["steps"] if not s["t_out"] or s["t_out"] > self.until]

    def step_at(self, row, station):
        return next((s for s in self.steps(row) if s["station"] == station), None)

    def counts(self):
        return Counter(s["station"] for row in self.ledger.values() for s in self.steps(row))

    def cut(self, row):
        """The visit in which a panel was cut into boards."""
        return self.step_at(row, "depanel")

    def panel_of(self, row):
        return self.ledger[row["parent"]]

    def board_number(self, row):
        return self.panel_of(row)["children"].index(row["serial"]) + 1

    def found(self, row, board=None):
        """{(defect, position, station)} that the inspections found on a panel (one board of it)."""
        found = set()
        for d in row["defects"]:
            station = "spi" if d["defect"] == "offset_print" else "aoi"
            if self.step_at(row, station) and board in (None, d["board"]):
                found.add((d["defect"], f"{d['board']}.{d['position']}", station))
        return found


def wait_for_all(node, truth):
    """Until each row that the comparison looks for is stored; nothing is missing then, or late."""
    want = truth.counts()
    ends = f"to_timestamp({(truth.until + NEAR_US) / 1e6})::TIMESTAMP"
    asked = {
        "visits": f"SELECT station AS k, count(DISTINCT unit) AS n FROM steps WHERE t_out <= {ends}"
        " GROUP BY 1",
        "rows": "SELECT s.station AS k, count(DISTINCT f.unit) AS n FROM factors f JOIN steps s ON"
        f" f.unit = s.unit WHERE f.kind = 'order' AND f.\"at\" <= {ends} GROUP BY 1",
        "files": "SELECT station AS k, count(DISTINCT (serial, decided_at)) AS n FROM verdicts"
        f" WHERE serial <> '' AND decided_at <= {ends} GROUP BY 1",
    }

    def missing():
        left = []
        for name, sql in asked.items():
            told = {row["k"]: row["n"] for row in node.sql(sql)}
            stations = FILED if name == "files" else want
            left += [(name, s, told.get(s, 0), want[s]) for s in stations if told.get(s, 0) < want[s]]
        return left

    def stored():
        left = missing()
        if left:
            raise ValueError(f"(what, where, stored, true): {left}")
        return True

    wait_until(stored, "the past to be stored", timeout_s=180)


class Comparison:
    """One pass over all units; `problems` is what differs, `seen` how much was compared."""

    def __init__(self, node, truth):
        self.asker = Asker(node)
        self.truth = truth
        self.problems = []
        self.seen = Counter()
        self.provisional = {}  # (station, t_in of the ledger) → the row of its visit

    def differ(self, serial, what, *more):
        self.problems.append((serial, what, *more))

    # -------------------------------------------------------------------- codes that were not read

    def find_unread(self, node):
        """Each visit without a code is one unit, and there is none besides."""
        rows = node.sql(
            "SELECT s.unit, s.station, s.status, s.evidence, epoch_us(s.t_in) AS t_in,"
            " epoch_us(s.t_out) AS t_out, u.serial FROM steps s JOIN units u ON s.unit = u.unit AND"
            " s.station = u.station WHERE starts_with(u.serial, '?')"
        )
        left = {row["unit"]: row for row in rows}
        for serial, step in self.truth.unread:
            mine = [
                row
                for row in left.values()
                if row["station"] == step["station"]
                and abs(row["t_in"] - step["t_in"]) <= NEAR_US
                and abs(row["t_out"] - step["t_out"]) <= NEAR_US
            ]
            if len(mine) != 1 or mine[0]["status"] != "inferred":
                self.differ(serial, "unread", step, mine)
                continue
            self.provisional[step["station"], step["t_in"]] = mine[0]
            del left[mine[0]["unit"]]
            self.seen[f"unread at {step['station']}"] += 1
        for row in left.values():
            if row["t_out"] <= self.truth.until:
                self.differ(row["serial"], "provisional and nobody's", row)

    def compare_unread(self, serial, step):
        """The provisional unit: its one visit, its lots, its children; and the list has it."""
        if (step["station"], step["t_in"]) not in self.provisional:
            return
        unit = self.provisional[step["station"], step["t_in"]]["unit"]
        row = self.truth.ledger[serial]
        answer = self.asker.trace(unit, self.truth.until)
        if [(s["station"], s["unit"]) for s in answer["steps"]] != [(step["station"], unit)]:
            self.differ(serial, "steps of the unread", step, answer["steps"])
        self.compare_step(serial, row, step, answer["steps"][0], file=False)
        self.compare_lots(serial, row, answer, [step])
        self.compare_children(serial, row, answer, step if step["station"] == "depanel" else None)
        at = urllib.parse.quote(answer["steps"][0]["t_out"])
        listed = self.asker.get(f"/units?station={step['station']}&since={at}&until={at}")
        rows = listed if isinstance(listed, list) else listed["units"]
        if [(r["unit"], r["status"]) for r in rows] != [(unit, "inferred")]:
            self.differ(serial, "the list of units", step, rows)

    # ------------------------------------------------------------------------------------- visits

    def compare_step(self, serial, row, step, told, file=True):
        """A visit as the machine saw it; file: what the inspection said was said of it."""
        self.seen[step["station"]] += 1
        want = {
            "recipe": str(row["recipe_rev"]),
            "order": row["order"],
            "result": None if step["result"] == "none" else step["result"],
        }
        got = {key: told[key] for key in want}
        if got != want or told["operator"] not in self.truth.operators(step):
            self.differ(serial, step["station"], got, told["operator"], want, step)
        self.seen["the operator changed meanwhile"] += told["operator"] != step["operator"]
        verdict = said(step["station"], step["result"])
        if file and verdict and told["verdict"] != verdict:
            self.differ(serial, f"verdict at {step['station']}", told["verdict"], verdict)

    def compare_recorded(self, serial, step, told):
        self.seen[f"{step['station']}, from its file"] += 1
        verdict = said(step["station"], step["result"])
        if told["verdict"] != verdict or told["unit"]:
            self.differ(serial, f"recorded at {step['station']}", told, verdict)

    def compare_steps(self, serial, row, answer):
        """Each visit once, in its order; and nothing that did not happen."""
        own = [s for s in answer["steps"] if s["of"] == serial]
        times = [micros(s["t_in"]) for s in own]
        if times != sorted(times):
            self.differ(serial, "the order of visits", times)
        for step in self.truth.steps(row):
            if not step["read"] and step["station"] not in FILED:
                continue
            begins = step["t_in"] if step["read"] else step["t_out"]
            status = ("exact", "inferred") if step["read"] else ("recorded",)
            mine = [
                s
                for s in own
                if s["station"] == step["station"]
                and s["status"] in status
                and near(s["t_in"], begins)
                and near(s["t_out"], step["t_out"])
            ]
            if len(mine) != 1:
                self.differ(serial, "visit", step, own)
                continue
            own.remove(mine[0])
            if mine[0]["status"] == "inferred":
                self.compare_again(serial, step, mine[0])
            if step["read"]:
                self.compare_step(serial, row, step, mine[0])
            else:
                self.compare_recorded(serial, step, mine[0])
        later = [s["station"] for s in self.truth.later(row)]
        for s in own:
            if s["station"] not in later or micros(s["t_out"]) <= self.truth.until - NEAR_US:
                self.differ(serial, "a visit that was not", s)

    def compare_again(self, serial, step, told):
        """The code that was read is the one of the visit before: it may be an old one."""
        if "same-as-before" not in told["evidence"]:
            self.differ(serial, "inferred", step, told)
        self.seen["the same unit twice in a row"] += 1

    # ---------------------------------------------------------------------------------- genealogy

    def compare_lots(self, serial, row, answer, steps):
        """What went into a panel during these visits, and in which of them."""
        told = Counter(
            (link["parent"], at)
            for link in answer["parents"]
            if link["kind"] == "consumption"
            for at in [s["station"] for s in steps if near(link["at"], s["t_out"])] or [None]
        )
        there = [s["station"] for s in steps]
        used = row.get("consumed", [])
        want = Counter({(u["lot"], u["station"]) for u in used if u["station"] in there})
        if told != want:
            self.differ(serial, "lots", told, want)
        self.seen["lots"] += len(want)

    def compare_children(self, serial, row, answer, cut):
        told = [(link["child"], link["kind"], link["position"]) for link in answer["children"]]
        want = [(child, "split", f"{i + 1}") for i, child in enumerate(row["children"])] if cut else []
        if sorted(told) != sorted(want):
            self.differ(serial, "children", told, want)
        self.seen["children"] += len(want)

    def compare_panel(self, serial, row, answer):
        read = [s for s in self.truth.steps(row) if s["read"]]
        cut = self.truth.cut(row)
        self.compare_lots(serial, row, answer, read)
        self.compare_children(serial, row, answer, cut if cut and cut["read"] else None)
        found = {(d["defect"], d["position"], d["station"]) for d in answer["defects"]}
        if found != self.truth.found(row) or len(found) != len(answer["defects"]):
            self.differ(serial, "defects", answer["defects"], self.truth.found(row))
        self.seen["defects of panels"] += len(found)

    def compare_board(self, serial, row, answer, panel_answer):
        """Its panel and what was done to that; or the one visit in which it was cut."""
        panel = self.truth.panel_of(row)
        cut = self.truth.cut(panel)
        visit = self.provisional.get(("depanel", cut["t_in"]), {"serial": None})
        parent = panel["serial"] if cut["read"] else visit["serial"]
        up = [link for link in answer["parents"] if link["child"] == serial]
        number = self.truth.board_number(row)
        got = [(link["parent"], link["kind"], link["position"]) for link in up]
        if got != [(parent, "split", f"{number}")] or not near(up[0]["at"], cut["t_out"]):
            self.differ(serial, "parent", up, parent)
        inherited = [(s["station"], s["t_in"]) for s in answer["steps"] if s["of"] != serial]
        steps = panel_answer["steps"] if cut["read"] else []
        want = [(s["station"], s["t_in"]) for s in steps]
        if cut["read"] and inherited != want:
            self.differ(serial, "steps of its panel", inherited, want)
        if not cut["read"] and [s for s, _ in inherited] != ["depanel"]:
            self.differ(serial, "steps of its panel", inherited, "depanel")
        self.compare_board_lots(serial, answer, panel_answer, cut)
        self.compare_findings(serial, row, answer, self.truth.found(panel, number), cut["read"])
        if answer["children"]:
            self.differ(serial, "children of a board", answer["children"])
        self.seen["boards"] += 1

    def compare_board_lots(self, serial, answer, panel_answer, cut):
        told = sorted(x["parent"] for x in answer["parents"] if x["kind"] == "consumption")
        want = sorted(x["parent"] for x in panel_answer["parents"]) if cut["read"] else []
        if told != want:
            self.differ(serial, "lots of its panel", told, want)

    def compare_findings(self, serial, row, answer, of_panel, whole):
        """Of its panel's defects those on this board alone; each failed test has its symptom; and
        who was repaired and passed is not told to have failed at last."""
        of_panel = of_panel if whole else set()
        told = {
            (d["defect"], d["position"], d["station"]) for d in answer["defects"] if d["of"] != serial
        }
        if told != of_panel:
            self.differ(serial, "defects of its panel", told, of_panel)
        for s in answer["steps"]:
            if s["of"] != serial and s["station"] in ("spi", "aoi"):
                bad = any(station == s["station"] for _, _, station in of_panel)
                if s["verdict"] != ("fail" if bad else "pass"):
                    self.differ(serial, f"its panel's verdict at {s['station']}", s, of_panel)
        tests = [s for s in self.truth.steps(row) if s["station"] == "ict"]
        symptoms = [d for d in answer["defects"] if d["of"] == serial]
        at = Counter(answer["steps"][d["step"]]["t_out"] for d in symptoms)
        failed = [s for s in tests if s["result"] == "fail"]
        if len(symptoms) != len(failed) or not all(d["defect"] in SYMPTOMS for d in symptoms):
            self.differ(serial, "symptoms", symptoms, failed)
        for step in failed:
            if sum(n for t, n in at.items() if near(t, step["t_out"])) != 1:
                self.differ(serial, "a test's symptom", step, symptoms)
        if tests and tests[-1]["result"] == "pass" and len(tests) > 1:
            self.seen["repaired"] += 1
        self.seen["failed tests"] += len(failed)

    # ------------------------------------------------------------------------------------ the pass

    def run(self, node):
        self.find_unread(node)
        panels = {}
        for serial, row in sorted(self.truth.ledger.items()):
            if row["kind"] != "panel" or not self.known(row):
                continue
            panels[serial] = self.asker.trace(serial, self.truth.until)
            self.compare_steps(serial, row, panels[serial])
            self.compare_panel(serial, row, panels[serial])
            self.seen["panels"] += 1
        for serial, row in sorted(self.truth.ledger.items()):
            if row["kind"] == "board" and self.known(row):
                answer = self.asker.trace(serial, self.truth.until)
                self.compare_steps(serial, row, answer)
                panel = panels.get(row["parent"], {"steps": [], "parents": []})
                self.compare_board(serial, row, answer, panel)
        for serial, step in self.truth.unread:
            self.compare_unread(serial, step)
        return self

    def known(self, row):
        """Something of it was read, or stands in a file."""
        return any(s["read"] or s["station"] in FILED for s in self.truth.steps(row))


def check_all(node, ledger, at_least):
    """Waits until everything is stored, and compares all of it; at least so much was compared."""
    truth = Truth(ledger)
    wait_for_all(node, truth)
    done = Comparison(node, truth).run(node)
    print(json.dumps(done.seen, indent=1, sort_keys=True))
    kinds = Counter(problem[1] for problem in done.problems)
    text = "\n".join(str(problem)[:900] for problem in done.problems[:12])
    assert not done.problems, f"{len(done.problems)} differences: {dict(kinds)}\n{text}"
    for what, n in at_least.items():
        assert done.seen[what] >= n, (what, done.seen[what], n)
    return truth
