"""What a node said of the plant's units against the plant's ledger.

Readings are weighed by time: a second of a visit is so many readings whatever the poll interval. A
reading within NEAR_US of a visit's true begin or end is near it and may be bound either way: the
plant's past has a row a second.

Of the readings of the units that truly were at a station
  right      are bound to that unit with a probability of at least SURE
  missing    are too, by a stay of which the node says that an end of it was not seen
  ambiguous  are bound to it with less, beside others
  none       are bound to nobody, or to others alone
and wrong are all that are bound with at least SURE to a unit that was not there.
"""

import bisect
import collections

NEAR_US = 1_500_000
SURE = 0.95
ALONE = ("ict",)  # stations from which units leave their line
Interval = collections.namedtuple("Interval", "t_in t_out serial number")


def overlap(a, b, c, d):
    return max(0, min(b, d) - max(a, c))


class Truth:
    """{station: its visits in the order of time}."""

    def __init__(self, ledger, ends_us):
        self.visits = collections.defaultdict(list)
        self.of_unit = collections.defaultdict(list)  # {(station, serial): visits}
        for serial, row in ledger.items():
            for number, step in enumerate(row["steps"]):
                t_out = step["t_out"] or ends_us
                visit = Interval(step["t_in"], t_out, serial, number)
                self.visits[step["station"]].append(visit)
                self.of_unit[step["station"], serial].append(visit)
        self.longest = {}
        for station, visits in self.visits.items():
            visits.sort()
            self.longest[station] = max(v.t_out - v.t_in for v in visits)

    def during(self, station, t_in, t_out):
        """The visits that have a moment of it."""
        visits = self.visits[station]
        at = bisect.bisect_left(visits, (t_in - self.longest.get(station, 0),))
        while at < len(visits) and visits[at].t_in < t_out:
            if visits[at].t_out > t_in:
                yield visits[at]
            at += 1

    def outside(self, station, serial, t_in, t_out):
        """How long of it the unit was not there, nor near it."""
        there = sum(overlap(t_in, t_out, v.t_in - NEAR_US, v.t_out + NEAR_US)
                    for v in self.of_unit[station, serial])
        return max(0, t_out - t_in - there)

    def is_there(self, station, serial, t_in, t_out):
        return any(overlap(t_in, t_out, v.t_in, v.t_out) > 0 for v in self.of_unit[station, serial])


def names(stays, truth):
    """{unit: its serial}: what was read of it, or who was mostly where it is said to have been."""
    told = {}
    shared = collections.defaultdict(collections.Counter)
    for s in stays:
        if not s["serial"].startswith("?"):
            told.setdefault(s["unit"], s["serial"])
            continue
        for v in truth.during(s["station"], s["t_in"], s["t_out"]):
            time = overlap(s["t_in"], s["t_out"], v.t_in, v.t_out)
            shared[s["unit"]][v.serial] += time * s["probability"]
    for unit, serials in shared.items():
        told.setdefault(unit, serials.most_common(1)[0][0] if serials else None)
    return told


class Score:
    def __init__(self, ledger, stays, ends_us):
        self.truth = Truth(ledger, ends_us)
        self.stays = [s for s in stays if s["station"] in self.truth.visits and s["t_out"] <= ends_us]
        self.who = names(stays, self.truth)
        self.time = collections.Counter()
        self.by_station = collections.defaultdict(collections.Counter)
        self.wrong_visits = set()  # of which readings are another unit's, or were given to it wrongly
        self.wrong = []
        self.visits = 0
        self._readings(ends_us)
        self._wrong()
        self.brier = self._brier(self.stays)

    def serial(self, stay):
        own = stay["serial"]
        return own if not own.startswith("?") else self.who.get(stay["unit"])

    def _readings(self, ends_us):
        mine = collections.defaultdict(list)
        for s in self.stays:
            mine[s["station"], self.serial(s)].append(s)
        for station, visits in self.truth.visits.items():
            for v in visits:
                a, b = v.t_in + NEAR_US, v.t_out - NEAR_US
                if v.t_out > ends_us or a >= b:
                    continue
                self.visits += 1
                said = [s for s in mine[station, v.serial] if overlap(a, b, s["t_in"], s["t_out"])]
                self._visit(station, a, b, said)

    def _visit(self, station, a, b, said):
        edges = sorted({a, b, *(min(max(s[k], a), b) for s in said for k in ("t_in", "t_out"))})
        for x, y in zip(edges, edges[1:]):
            here = [s for s in said if s["t_in"] <= x < s["t_out"]]
            sure = sum(s["probability"] for s in here)
            missing = any(s["status"] == "missing" for s in here)
            kind = "none" if not here else "ambiguous" if sure < SURE else "missing" if missing else "right"
            self.by_station[station][kind] += y - x
            self.by_station[station]["readings"] += y - x
            self.time[kind] += y - x
            self.time["readings"] += y - x

    def _wrong(self):
        for s in self.stays:
            serial = self.serial(s)
            if s["probability"] < SURE:
                continue
            off = self.truth.outside(s["station"], serial, s["t_in"], s["t_out"])
            if not off:
                continue
            kind = "late" if s["status"] == "missing" and self.truth.is_there(
                s["station"], serial, s["t_in"], s["t_out"]) else "wrong"
            self.time[kind] += off
            self.by_station[s["station"]][kind] += off
            if kind == "wrong":
                met = list(self.truth.during(s["station"], s["t_in"], s["t_out"]))
                own = [v for v in met if v.serial == serial]
                self.wrong_visits.update((s["station"], v) for v in own or met)
            self.wrong.append((kind, off, s, serial))

    def _brier(self, stays):
        off = [(s["probability"] - self.truth.is_there(s["station"], self.serial(s), s["t_in"],
                                                       s["t_out"])) ** 2 for s in stays]
        return sum(off) / len(off)

    def share(self, kind, station=None):
        time = self.by_station[station] if station else self.time
        return time[kind] / time["readings"]

    def worst_run(self):
        """The most visits one behind the other at a station with readings bound wrong."""
        worst = 0
        for station, visits in self.truth.visits.items():
            run = 0
            for v in visits:
                run = run + 1 if (station, v) in self.wrong_visits else 0
                worst = max(worst, run)
        return worst

    def _told(self, breaches):
        """{serial: what the breaches say of it}"""
        told = collections.defaultdict(set)
        for b in breaches:
            serial = b["serial"] or self.who.get(b["unit"])
            told[serial].add("put on" if b["kind"] == "appeared" else "taken off")
        return told

    def unseen(self, ledger, breaches, ends_us):
        """(how often a gate missed a unit, [those of which neither a stay's evidence nor a breach
        tells]). A visit that both of its gates missed can be known only where others follow."""
        told, missed, silent = self._told(breaches), 0, []
        mine = collections.defaultdict(list)
        for s in self.stays:
            mine[s["station"], self.serial(s)].append(s)
        for serial, row in ledger.items():
            for step in row["steps"]:
                if not step["t_out"] or step["t_out"] > ends_us:
                    continue
                pulses = step.get("pulses") or [row["belt"]["entry"], row["belt"]["exit"]]
                here = [s["evidence"] for s in mine[step["station"], serial]
                        if overlap(s["t_in"], s["t_out"], step["t_in"], step["t_out"])]
                for seen, word in zip(pulses, ("entry=unseen", "exit=unseen")):
                    if seen or (not any(pulses) and step["station"] in ALONE):
                        continue
                    missed += 1
                    if not any(word in evidence for evidence in here) and not told[serial]:
                        silent.append((serial, step["station"], word))
        return missed, silent

    def silent(self, ledger, breaches):
        """Units that were taken off or put on by hand, and of which no breach tells: (what, serial).
        What no gate ever saw is nothing to a line."""
        told = self._told(breaches)
        hands = []
        for serial, row in ledger.items():
            seen = any(any(step.get("pulses", [])) for step in row["steps"])
            if row["status"] == "removed" and seen:
                hands.append(("taken off", serial))
            if row["kind"] == "panel" and seen and row["steps"][0]["station"] != "printer":
                hands.append(("put on", serial))
        return hands, [(what, serial) for what, serial in hands if what not in told[serial]]
