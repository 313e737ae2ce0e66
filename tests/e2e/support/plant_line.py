"""The plant as one line: the panels' from the printer to where they are cut, and the boards' around
the electrical test. What the gates are is what the plant's light barriers and its oven show; who is
where is the tracker's to say.
"""

import datetime
import re

from conftest import Node, free_port, wait_until
from support.smt import SCENARIOS, Line

SCENARIO = SCENARIOS / "not_ideal.yaml"
DECIDED_US = 30_000_000  # before the end of the past
RATE = 1  # rows a second of its past
TRACKS = """\
tracks:
  - name: smt
    grace: 300s
    parts:
      - {station: printer, time_min: 29s, time_max: 57s, to: to_spi}
      - {buffer: to_spi, time_min: 5s, to: spi}
      - {station: spi, time_min: 18s, time_max: 37s, to: [lane_a, lane_b]}
      - {buffer: lane_a, time_min: 5s, to: placer_a}
      - {buffer: lane_b, time_min: 5s, to: placer_b}
      - {station: placer_a, time_min: 98s, time_max: 177s, to: to_oven}
      - {station: placer_b, time_min: 98s, time_max: 177s, to: to_oven}
      - {buffer: to_oven, time_min: 4s, to: oven}
      - {belt: oven, length_mm: 3600, speed: {signal: oven.belt.speed}, to: to_aoi,
         places: [{station: reflow, from_mm: 0, to_mm: 3600}]}
      - {buffer: to_aoi, time_min: 5s, to: aoi}
      - {station: aoi, time_min: 21s, time_max: 43s, to: to_depanel}
      - {buffer: to_depanel, time_min: 5s, to: depanel}
      - {station: depanel, time_min: 14s, time_max: 30s}
    gates:
      - {signal: printer.run.eye_in, into: printer, unit: printer.run.serial, debounce: 4s}
      - {signal: printer.run.eye_out, out_of: printer, debounce: 4s}
      - {signal: spi.run.eye_in, into: spi, unit: spi.run.serial, debounce: 4s}
      - {signal: spi.run.eye_out, out_of: spi, debounce: 4s}
      - {signal: placer_a.run.eye_in, into: placer_a, unit: placer_a.run.serial, debounce: 4s}
      - {signal: placer_b.run.eye_in, into: placer_b, unit: placer_b.run.serial, debounce: 4s}
      - {signal: placer_a.run.eye_out, out_of: placer_a, debounce: 4s}
      - {signal: placer_b.run.eye_out, out_of: placer_b, debounce: 4s}
      - {signal: oven.belt.entry, into: oven, unit: oven.belt.serial, debounce_mm: 250}
      - {signal: oven.belt.exit, out_of: oven, debounce_mm: 250}
      - {signal: aoi.run.eye_in, into: aoi, unit: aoi.run.serial, debounce: 4s}
      - {signal: aoi.run.eye_out, out_of: aoi, debounce: 4s}
      - {signal: depanel.run.eye_in, into: depanel, unit: depanel.run.serial, debounce: 4s}
      - {signal: depanel.run.eye_out, out_of: depanel, debounce: 4s}
    odds: {missed: 0.02, spurious: 0.005, removed: 0.001, appeared: 0.001}
  - name: boards
    grace: 300s
    parts:
      - {station: ict, entry: true, time_min: 9s, time_max: 20s, to: [out, to_rework]}
      - {buffer: to_rework, time_min: 5s, to: rework}
      - {station: rework, time_min: 25s, time_max: 50s, to: back}
      - {buffer: back, time_min: 5s, to: ict}
    gates:
      - {signal: ict.run.eye_in, into: ict, unit: ict.run.serial, debounce: 4s}
      - {signal: ict.run.eye_out, out_of: ict, into: out, debounce: 4s}
      - {signal: ict.run.eye_reject, out_of: ict, into: to_rework, debounce: 4s}
      - {signal: rework_bench.run.eye_in, into: rework, unit: rework_bench.run.serial, debounce: 4s}
      - {signal: rework_bench.run.eye_out, out_of: rework, debounce: 4s}
    odds: {missed: 0.02, spurious: 0.005, removed: 0.001, appeared: 0.001}
"""
STATIONS = {
    "smt": ("printer", "spi", "placer_a", "placer_b", "reflow", "aoi", "depanel"),
    "boards": ("ict", "rework"),
}
STAYS = """\
SELECT s.unit, s.track, s.station, s.visit, s.status, s.probability, s.evidence,
  epoch_us(s.t_in) AS t_in, epoch_us(s.t_out) AS t_out, u.serial
FROM (SELECT unit, track, station, visit, arg_max(status, revision) AS status,
        arg_max(probability, revision) AS probability, arg_max(evidence, revision) AS evidence,
        arg_max(t_in, revision) AS t_in, arg_max(t_out, revision) AS t_out,
        arg_max(retracted, revision) AS retracted
      FROM steps GROUP BY ALL) s
JOIN (SELECT unit, station, visit, arg_max(serial, revision) AS serial FROM units GROUP BY ALL) u
  ON u.unit = s.unit AND u.station = s.station AND u.visit = s.visit
WHERE NOT s.retracted ORDER BY s.t_in
"""


def us_of(text):
    """µs since 1970 of an RFC 3339 time."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(moment.timestamp() * 1_000_000)


class PlantLine:
    """A past of the plant, told to a node that follows it as a line; what both said of it."""

    def __init__(self, folder, children, past, seed, scenario=SCENARIO):
        mqtt = free_port()
        self.breaches = {}  # {(track, unit, part, kind, at): breach}
        self.plant = Line(
            folder,
            *("--backfill", past, "--rate", RATE, "--mqtt", f"127.0.0.1:{mqtt}", "--seed", seed),
            *("--token-file", folder / "node" / "data" / "admin.token", "--scenario", scenario),
        )
        children.append(self.plant)
        devices = self.plant.config_file.read_text().partition("\ntracks:")[0]
        listen = f"listen: {{mqtt: 127.0.0.1:{mqtt}, http: 127.0.0.1:0}}\n"
        self.node = Node(folder, f"name: line1\n{listen}{devices}\n{TRACKS}")
        children.append(self.node)
        wait_until(self._is_told, "the past", timeout_s=600)
        assert self.plant.stop() == 0, self.plant.output
        self.ledger = self.plant.ledger()
        wait_until(self._has_decided, "the line to decide it")
        self.stays = wait_until(self._is_stored, "its stays to be stored")

    def _is_told(self):
        self._look()
        return "the past is told" in self.plant.output

    def _look(self):
        """The line shows the newest 64 breaches: each is kept that is seen."""
        for track in STATIONS:
            for b in self.node.get(f"/lines/{track}")["breaches"]:
                self.breaches[track, b["unit"], b["part"], b["kind"], b["at"]] = b

    def _metric(self, name):
        text = self.node.request("GET", "/metrics").body.decode()
        return int(re.search(rf"^lotline_track_{name} (\d+)", text, re.M).group(1))

    def breach_count(self):
        return self._metric("lost_total") + self._metric("ghosts_total")

    def alarm_count(self):
        """How often `line.units` was raised."""
        return sum(a["count"] for a in self.node.get("/alarms") if a["name"] == "line.units")

    def _has_decided(self):
        """All that was shown but the last seconds, for which the line waits for their codes."""
        self._look()
        self.ends_us = max(row["t"] for row in self.ledger.values())
        ats = [self.node.get(f"/lines/{track}")["at"] for track in STATIONS]
        return all(at and us_of(at) > self.ends_us - DECIDED_US for at in ats)

    def _is_stored(self):
        told = self._metric("presences_total")
        stored = self.node.sql("SELECT count(*) AS n FROM steps")[0]["n"]
        return told == stored and self.node.sql(STAYS)
