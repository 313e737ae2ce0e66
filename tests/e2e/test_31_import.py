"""Values of a group's past, published on place/device/group/import.

The device does not answer: what is in the historian can only have come by MQTT.
"""

import base64
import collections
import json
import random
import threading
import time

import pytest

from conftest import wait_until
from support.importer import Importer
from support.mqtt import Party
from support.press import LISTEN, POLL_US, job_config, ledger_units

GROUP = "plant1/line1/press/plc1/press"
TOPIC = GROUP + "/import"
BEGIN_MS = 1_700_000_000_000
TAKEN, NO_TOKEN, NO_GROUP, NOT_UNDERSTOOD = 0, 0x87, 0x90, 0x99
CONFIG = f"""\
name: imports
{LISTEN}devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:1
    place: plant1/line1/press
    groups:
      - name: press
        interval: 100ms
        tags:
          - {{name: serial, address: "1!400001.20", type: string}}
          - {{name: state, address: "1!400011", type: uint16}}
          - {{name: force, address: "1!400013", type: float}}
          - {{name: scaled, address: "1!400015", type: int16, scale: 0.1, offset: -40}}
          - {{name: wide, address: "1!400017", type: double}}
          - {{name: big, address: "1!400021", type: uint64}}
          - {{name: running, address: "1!000001", type: bit}}
          - {{name: raw, address: "1!400031.4", type: bytes}}
"""

# Rows of polls that found nobody (quality 3, offline) are of today.
PAST = """\
FROM points p JOIN tags t ON p.tag = t.id
WHERE t.stream = 'plc1.press' AND p.ts < make_timestamp(1750000000000000)"""


def points(node):
    """{(µs, tag): [(stored value, quality), …]}"""
    found = collections.defaultdict(list)
    for row in node.sql(
        f"SELECT epoch_us(p.ts) AS at, t.tag, p.i, p.u, p.d, p.b, p.quality {PAST}"
    ):
        values = [row[c] for c in "iudb" if row[c] is not None]
        found[row["at"], row["tag"]].append((values[0] if values else None, row["quality"]))
    return found


def count(node):
    return node.sql(f"SELECT count(*) AS n {PAST}")[0]["n"]


@pytest.mark.asan
def test_rows_come_into_the_historian_with_their_times_once(start_node):
    node = start_node(CONFIG)
    rows = [
        {"ts": BEGIN_MS, "serial": "P-1 ü", "state": 1, "force": 0.1, "scaled": -27.7,
         "wide": 0.1, "big": 2**64 - 1, "running": True, "raw": {"$bytes": "AAH/"}},
        {"ts": "2023-11-14T22:13:20.000100Z", "force": None, "wide": -2.5, "running": 0},
    ]
    with Importer(node, TOPIC) as importer:
        assert importer.put(rows) == (TAKEN, "")
        assert importer.put({"ts": BEGIN_MS + 1, "state": 0}) == (TAKEN, "")
        assert importer.put([]) == (TAKEN, "")
    wait_until(lambda: count(node) == 12, "the rows")
    first, second, third = BEGIN_MS * 1000, BEGIN_MS * 1000 + 100, BEGIN_MS * 1000 + 1000
    raw = {"$bytes": base64.b64encode(b"\0\1\xff").decode()}
    force = 0.10000000149011612  # 0.1 in 32 bits
    found = points(node)
    assert found[first, "force"][0][0] == pytest.approx(force, rel=1e-9)
    del found[first, "force"]
    assert found == {
        (first, "serial"): [("P-1 ü", 0)],
        (first, "state"): [(1, 0)],
        (first, "scaled"): [(123, 0)],
        (first, "wide"): [(0.1, 0)],
        (first, "big"): [(2**64 - 1, 0)],
        (first, "running"): [(1, 0)],
        (first, "raw"): [(raw, 0)],
        (second, "force"): [(None, 1)],
        (second, "wide"): [(-2.5, 0)],
        (second, "running"): [(0, 0)],
        (third, "state"): [(0, 0)],
    }


REFUSED = [
    (b'{"ts": 1700000000000, "state": 1', "not closed"),
    (b"5", "an object, or an array of objects"),
    ({"state": 1}, "row 1: it has no time"),
    ({"ts": 1_700_000_000, "state": 1}, "before 1980"),
    ({"ts": "2150-01-01T00:00:00Z", "state": 1}, "in the future"),
    ([{"ts": BEGIN_MS, "state": 1}, {"ts": BEGIN_MS, "x": 1}], 'row 2: the group has no tag "x"'),
    ([{"ts": BEGIN_MS, "state": 1}, {"ts": BEGIN_MS, "state": 1.5}], "row 2: state: "),
    ({"ts": BEGIN_MS, "state": 65536}, "state: the device holds raw values from 0 to 65535"),
    ({"ts": BEGIN_MS, "scaled": 1.25}, "scaled: 1.25 lies between two raw values"),
    ({"ts": BEGIN_MS, "serial": "x" * 21}, "serial: the device holds at most 20 bytes"),
    ({"ts": BEGIN_MS, "force": "1"}, "force: the value must be a number"),
]


@pytest.mark.asan
def test_a_message_is_refused_whole_and_in_words(start_node):
    node = start_node(CONFIG)
    with Importer(node, TOPIC) as importer:
        for payload, words in REFUSED:
            reason, said = importer.put(payload)
            assert (reason, words in said) == (NOT_UNDERSTOOD, True), (payload, said)
            assert words in node.output
        assert importer.put({"ts": BEGIN_MS}, topic=GROUP + "s/import")[0] == NO_GROUP
        assert importer.put({"ts": BEGIN_MS, "state": 1})[0] == TAKEN
    wait_until(lambda: count(node) == 1, "the one row that was good")
    metrics = node.request("GET", "/metrics", token=False).body.decode()
    assert f"lotline_stream_imports_refused_total {len(REFUSED)}\n" in metrics
    assert "lotline_stream_import_rows_total 1\n" in metrics


def test_it_needs_a_token(start_node):
    node = start_node(CONFIG)
    with Importer(node, TOPIC, token="") as importer:
        assert importer.put({"ts": BEGIN_MS, "state": 1})[0] == NO_TOKEN
        assert importer.put({"ts": BEGIN_MS}, topic="elsewhere")[0] != NO_TOKEN
    with Importer(node, TOPIC, token="not the token") as importer:
        assert importer.connack[1][1] == 0x86
    with Party(node, "old", version=4, user="x", password=node.token) as old:
        old.publish(TOPIC, json.dumps({"ts": BEGIN_MS, "nope": 1}))  # is acknowledged, and said
        old.publish(TOPIC, json.dumps({"ts": BEGIN_MS, "state": 2}))
    wait_until(lambda: count(node) == 1, "the row with a token")
    assert points(node) == {(BEGIN_MS * 1000, "state"): [(2, 0)]}
    assert 'no tag "nope"' in node.output


def test_the_past_is_no_news_on_the_groups_topic(start_node):
    node = start_node(CONFIG)
    now_ms = int(time.time() * 1000)
    with Party(node) as party, Importer(node, TOPIC) as importer:
        party.subscribe(GROUP)
        importer.put([{"ts": BEGIN_MS, "state": 1}])
        importer.put([{"ts": now_ms, "state": 7}])
        seen = wait_until(
            lambda: [m for m in [json.loads(party.next().payload)] if m["state"] is not None],
            "the new row",
        )
        assert (seen[0]["ts"], seen[0]["state"]) == (now_ms, 7)


# ------------------------------------------------------------------------------------- a kill -9

ROWS, MESSAGES = 20, 3000


def message(number):
    """Rows that no other message has."""
    at = BEGIN_MS + number * ROWS
    return [{"ts": at + k, "big": at + k, "state": k} for k in range(ROWS)]


class Stubborn(threading.Thread):
    """Publishes all messages, and those without PUBACK again after a lost connection."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.missing = collections.deque(range(MESSAGES))
        self.sent_twice = set()
        self.acked = 0

    def one_connection(self):
        in_flight = {}
        try:
            with Importer(self.node, TOPIC) as importer:
                while self.missing or in_flight:
                    while self.missing and len(in_flight) < 16:
                        in_flight[importer.next_id + 1] = self.missing.popleft()
                        importer.send(message(in_flight[importer.next_id + 1]))
                    packet_id, reason, _ = importer.acked() or (None, None, None)
                    if packet_id is None:
                        break
                    if reason:
                        self.missing.append(in_flight[packet_id])
                        self.sent_twice.add(in_flight[packet_id])
                    else:
                        self.acked += 1
                    del in_flight[packet_id]
        except (OSError, KeyError, ValueError, EOFError):
            pass
        self.sent_twice.update(in_flight.values())
        self.missing.extendleft(sorted(in_flight.values(), reverse=True))

    def run(self):
        while self.missing:
            self.one_connection()


def test_what_was_acknowledged_survives_kills(start_node):
    """At least once: a message that got its PUBACK is there once, one that was sent again may be
    there as often as it was sent."""
    node = start_node(CONFIG)
    dice = random.Random(31)
    stubborn = Stubborn(node)
    stubborn.start()
    for _ in range(4):
        goal = min(stubborn.acked + dice.randrange(50, 250), MESSAGES - 200)
        wait_until(lambda: stubborn.acked >= goal, "some messages")
        node.kill()
        node.start()
    stubborn.join(120)
    assert not stubborn.is_alive()
    whole = MESSAGES * ROWS
    seen = f"SELECT p.u AS value, count(*) AS n {PAST} AND t.tag = 'big' GROUP BY 1"
    wait_until(lambda: len(node.sql(seen)) == whole, "all rows")
    wrong = f"SELECT count(*) AS n {PAST} AND t.tag = 'big' AND epoch_us(p.ts) <> p.u * 1000"
    assert node.sql(wrong)[0]["n"] == 0
    more = {(row["value"] - BEGIN_MS) // ROWS for row in node.sql(seen) if row["n"] > 1}
    assert more <= stubborn.sent_twice
    assert stubborn.acked >= MESSAGES


# --------------------------------------------------------------------------- as if it were polled

UNITS = 4


def record(node, ledger):
    """What the group publishes while some units pass."""
    with Party(node) as party:
        party.subscribe(GROUP)
        wait_until(lambda: ledger.exists() and len(ledger_units(ledger)) >= UNITS + 1, "units")
        wait_until(lambda: len(node.get("/units")) >= UNITS, "the units to be traced")
        return [party.next().payload for _ in range(party.messages.qsize())]


def traces(node, serials):
    def through():
        found = [node.request("GET", f"/api/v1/trace/{s}") for s in serials]
        return all(a.status == 200 and a.json["measures"] for a in found) and found

    return [a.json for a in wait_until(through, "the units' measures")]


def micros(node, text):
    return node.sql(f"SELECT epoch_us(TIMESTAMPTZ '{text}') AS us")[0]["us"]


def test_what_was_recorded_makes_the_same_presences(tmp_path, start_node, start_press):
    ledger = tmp_path / "press.jsonl"
    press, port = start_press("--ledger", ledger, "--seed", "5", "--speed", "2")
    polled = start_node(job_config(port), name="polled")
    recorded = record(polled, ledger)
    press.stop()
    places = "    place: plant1"
    config = job_config(1).replace(places, "    enabled: false\n" + places, 1)
    imported = start_node(config, name="imported")
    with Importer(imported, TOPIC) as importer:
        importer.put_all(recorded)
    wait_until(lambda: len(imported.get("/units")) >= UNITS - 1, "the units")
    serials = [row["serial"] for row in imported.get("/units")]
    known = {row["serial"] for row in polled.get("/units")}
    assert len(serials) >= UNITS - 1 and set(serials) <= known
    for before, after in zip(traces(polled, serials), traces(imported, serials)):
        assert (after["serial"], after["verdict"]) == (before["serial"], before["verdict"])
        (was,), (is_now,) = before["steps"], after["steps"]
        assert is_now["status"] == was["status"]
        for edge in ("t_in", "t_out"):
            # The topic carries a row's time, the stream each value's own.
            assert abs(micros(imported, is_now[edge]) - micros(imported, was[edge])) <= POLL_US
        values = [{m["characteristic"]: m["value"] for m in t["measures"]} for t in (before, after)]
        assert values[0] == values[1]


# ---------------------------------------------------------------------------------------- blocks

BLOCK = 10_000  # a second of it
BLOCKS = f"""\
tracks:
  - {{name: press1, station: press, unit: plc1.press.serial, signals: [plc1.press],
     begin: {{signal: plc1.press.running}}, end: {{signal: plc1.press.running, edge: falling}}}}
rules:
  - name: press_row
    sql: SELECT unit_id() AS unit, count(force) AS n, min(force) AS low, max(force) AS high,
      covered(force) AS covered FROM "plc1.press" GROUP BY UNITWINDOW('press1')
    actions: [{{trace: {{operation: press, measures: [n, low, high, covered]}}}}]
"""


def block(second, edges, serials):
    """10,000 samples in a second, stamped once; the force counts them."""
    rows = [{"force": second * BLOCK + i} for i in range(BLOCK)]
    rows[0] |= {"ts": BEGIN_MS + second * 1000, "step_us": 100}
    for at, running in edges:
        rows[at]["running"] = running
    for at, serial in serials:
        rows[at]["serial"] = serial
    return rows


def test_case_30_each_sample_of_a_burst_is_its_units(start_node):
    node = start_node(CONFIG + BLOCKS)
    with Importer(node, TOPIC) as importer:
        for rows in (
            block(0, [(0, False), (2500, True)], [(2500, "B-1")]),
            block(1, [(4321, False), (4322, True)], [(4322, "B-2")]),
            block(2, [(1, False)], []),
            block(3, [(9000, True)], []),
        ):
            assert importer.put(rows) == (TAKEN, "")
    wait_until(lambda: len(node.get("/units")) == 2, "the units")
    values = {}
    for answer in traces(node, ["B-1", "B-2"]):
        (step,) = answer["steps"]
        values[answer["serial"]] = (
            micros(node, step["t_in"]) - BEGIN_MS * 1000,
            micros(node, step["t_out"]) - BEGIN_MS * 1000,
            {m["characteristic"]: m["value"] for m in answer["measures"]},
        )
    assert values == {
        "B-1": (250_000, 1_432_100, {"n": 11_821, "low": 2500, "high": 14_320, "covered": 1}),
        "B-2": (1_432_200, 2_000_100, {"n": 5679, "low": 14_322, "high": 20_000, "covered": 1}),
    }


# ---------------------------------------------------------------------------------------- how fast

TAGS, VALUES_MIN_PER_S = 20, 400_000


def wide_config():
    tags = "".join(
        f'          - {{name: t{i}, address: "1!4{2 * i + 1:05}", type: {kind}}}\n'
        for i, kind in enumerate(["float", "int16, scale: 0.1"] * (TAGS // 2))
    )
    device = CONFIG.split("        tags:\n")[0]
    device = device.replace("    place:", "    enabled: false\n    place:")
    return device + "        tags:\n" + tags


def wide_rows(first, rows, dice):
    def value(i):
        return round(dice.uniform(0, 100), 3) if i % 2 == 0 else dice.randrange(30000) / 10

    return [
        {"ts": BEGIN_MS + (first + k) * 100, **{f"t{i}": value(i) for i in range(TAGS)}}
        for k in range(rows)
    ]


@pytest.mark.bench
@pytest.mark.parametrize("rows, messages", [(1, 5000), (100, 1000), (1000, 100)])
def test_one_publisher_is_fast_enough(start_node, rows, messages):
    """Values a second until all PUBACKs are there (on disk), and until the historian has them."""
    node = start_node(wide_config())
    dice = random.Random(rows)
    payloads = [
        json.dumps(wide_rows(n * rows, rows, dice), separators=(",", ":")).encode()
        for n in range(messages)
    ]
    values = rows * messages * TAGS
    with Importer(node, TOPIC) as importer:
        began = time.monotonic()
        importer.put_all(payloads)
        acked_s = time.monotonic() - began
    wait_until(lambda: count(node) == values, "all values in the historian", 120)
    stored_s = time.monotonic() - began
    size = sum(map(len, payloads)) / values
    print(
        f"{rows} rows a message, {size:.1f} bytes a value:"
        f" {values / acked_s:,.0f} values/s acknowledged, {values / stored_s:,.0f} in the historian"
    )
    assert rows == 1 or values / acked_s >= VALUES_MIN_PER_S
