"""Where panels are on the oven's belt: the path in a track's presences, and the ledger's.

A moment within one poll interval, plus 5 mm of belt, of a zone's edge is near it: what is read then
may be bound either way."""

import bisect

INTERVAL_US = 20_000
ZONES = [(300 + 375 * k, 675 + 375 * k) for k in range(8)]
NEAR_MM = 5.0
ROUGH = """\
stops: {per_hour: 30, length: 30s}
ramps: {per_hour: 20, length: 60s, size: 0.6}
reversals: {per_hour: 15, size: 50}
"""  # a scenario
PATHS_RULE = """
rules:
  - name: paths
    sql: SELECT serial, station, status, evidence, path FROM "presence.reflow"
    actions: [{mqtt: {topic: paths, qos: 1, rows: single}}]
"""  # before the rules of the plant


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def decode_path(data):
    """[(µs, mm)], as src/model/path.h has it."""
    assert data[0] == 1
    count_bytes = 1 if data[1] < 128 else 2
    at = int.from_bytes(data[1 + count_bytes : 9 + count_bytes], "little")
    numbers = list(varints(data[9 + count_bytes :]))
    points, um = [], 0
    for step, way in zip([0] + numbers[1::2], numbers[0::2]):
        at += step
        um += (way >> 1) ^ -(way & 1)
        points.append((at, um / 1000))
    return points


def zone_of(mm):
    return next((k for k, (a, b) in enumerate(ZONES) if mm is not None and a <= mm < b), None)


class Way:
    """A unit's path, straight between its points."""

    def __init__(self, path):
        self.times = [at for at, _ in path]
        self.mm = [mm for _, mm in path]

    def at(self, us):
        i = bisect.bisect_right(self.times, us) - 1
        if i < 0 or i + 1 >= len(self.times):
            return None
        part = (us - self.times[i]) / (self.times[i + 1] - self.times[i])
        return self.mm[i] + (self.mm[i + 1] - self.mm[i]) * part

    def is_near(self, edge, us):
        """Within a poll interval and NEAR_MM of the moment at which the unit is at that edge."""
        around = [self.at(us + k * INTERVAL_US) for k in (-1, 0, 1)]
        around = [mm for mm in around if mm is not None]
        return bool(around) and min(around) - NEAR_MM <= edge <= max(around) + NEAR_MM
