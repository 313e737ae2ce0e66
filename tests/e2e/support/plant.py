"""An edge that polls ten thousand counters and a hub behind a bad link, with the two ledgers.

The counter ledger is what the Modbus server served, the journal ledger what the edge said it had
committed (`lotline journal dump`, taken after every kill, before the restart, so before anything
can be trimmed). `Audit` holds both against the hub's historian.
"""

import calendar
import json
import random
import subprocess
import time
from dataclasses import dataclass, field

from conftest import PROGRAM, Node, wait_until
from support.small_disk import SmallDiskNode
from support.counters import (
    ALL_THERE,
    CounterServer,
    devices_config,
    interval_us,
    stored_polls_sql,
    stream_of_unit,
)
from support.counter_server import REGISTERS
from support.proxy import Proxy
from support.publisher import Publisher, value_of

LINGER_US = 200_000
MESSAGES_A_SECOND = 200
EDGE, HUB = "edge1", "hub1"
LEDGER_TOPIC = "ledger/messages"


def wall_us():
    return time.time_ns() // 1000


@dataclass
class Life:
    """From a start of the edge to its end, and how far its log came."""

    start_us: int
    end_us: int = 0
    last_us: dict = field(default_factory=dict)  # stream → time of its last committed record


def journal_records(data):
    result = subprocess.run(
        [PROGRAM, "journal", "dump", "--data", data], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def record_us(record):
    """The record's time as µs since 1970 (RFC 3339, UTC)."""
    text = record["time"].rstrip("Z")
    whole, _, fraction = text.partition(".")
    parsed = time.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return int(calendar.timegm(parsed)) * 1_000_000 + int(f"{fraction:0<6}"[:6])


class Plant:
    """`disks` gives a node a small file system of its own: {"edge": "64m"}."""

    def __init__(
        self,
        folder,
        children,
        seed,
        drop_puback=0.0,
        disks=None,
        journal="segment: 64M",
        messages_a_second=MESSAGES_A_SECOND,
    ):
        self.disks = disks or {}
        self.journal = journal
        self.random = random.Random(seed)
        print(f"plant seed {seed}")
        self.counters = CounterServer(folder)
        children.append(self.counters)
        self.hub = self._node(folder, children, HUB, "hub", self._hub_config())
        self.proxy = Proxy(self.hub.mqtt(), seed, drop_puback)
        self.edge = self._node(folder, children, EDGE, "edge", self._edge_config())
        self.lives = [Life(wall_us())]
        self.edge_records = {}  # (epoch, seq) → stream
        self.hub_records = {}  # the hub's own (epoch, seq) → (stream, origin epoch, origin seq)
        self.publisher = Publisher(lambda: self.edge.mqtt(), LEDGER_TOPIC, 1, messages_a_second)
        self.publisher.start()

    def _node(self, folder, children, name, role, config):
        if role in self.disks:
            node = SmallDiskNode(folder, config, name, self.disks[role])
        else:
            node = Node(folder, config, name)
        children.append(node)
        return node

    def _hub_config(self):
        return (
            f"name: {HUB}\nlisten: {{mqtt: 127.0.0.1:0, http: 127.0.0.1:0}}\n"
            f"journal: {{{self.journal}}}\n"
        )

    def _edge_config(self):
        return (
            f"name: {EDGE}\nlisten: {{mqtt: 127.0.0.1:0, http: 127.0.0.1:0}}\n"
            "modules: [gateway, stream, broker, alarm, api]\n"
            f"journal: {{{self.journal}}}\n"
            f'uplink: {{to: "mqtt://127.0.0.1:{self.proxy.port}", ack_timeout: 1s,'
            ' streams: ["*"]}\n'
            "streams:\n"
            f'  - {{name: ledger, source: mqtt, topic: "{LEDGER_TOPIC}", format: json}}\n'
            + devices_config(self.counters.port, linger=f"{LINGER_US // 1000}ms")
        )

    # ------------------------------------------------------------------- what happens to it

    def run_for_polls(self, count):
        """Goes on until so many more polls were served."""
        until = self.counters.polls() + count
        wait_until(lambda: self.counters.polls() >= until, f"{count} more polls", timeout_s=120)

    def kill_edge(self):
        self.edge.kill()
        self.lives[-1].end_us = wall_us()
        self.read_edge_journal()

    def start_edge(self):
        self.lives.append(Life(wall_us()))
        self.edge.start()

    def kill_hub(self):
        self.hub.kill()
        self.read_hub_journal()

    def start_hub(self):
        self.hub.start()
        self.proxy.target = self.hub.mqtt()

    def read_edge_journal(self):
        """Called at a life's end, and after the last one for what still lingered."""
        for record in journal_records(self.edge.data):
            key = record["epoch"], record["seq"]
            if key not in self.edge_records:
                self.edge_records[key] = record["stream"]
                if record_us(record) <= self.lives[-1].end_us:
                    self.lives[-1].last_us[record["stream"]] = record_us(record)

    def read_hub_journal(self):
        for record in journal_records(self.hub.data):
            if record["node"] == EDGE:
                key = record["epoch"], record["seq"]
                origin = record["origin_epoch"], record["origin_seq"]
                self.hub_records[key] = (record["stream"], *origin)

    def skipped(self):
        return sum(device["skipped"] for device in self.edge.get("/devices"))

    def served_now(self):
        return self.counters.served()

    # ------------------------------------------------------------------- the end of the run

    def finish(self):
        """Ends the load and the faults; what was committed may now arrive."""
        self.publisher.stop()
        self.counters.kill()
        self.lives[-1].end_us = wall_us()
        self.proxy.drop_puback = 0.0
        self.proxy.restore()
        self.read_edge_journal_when_quiet()

    def read_edge_journal_when_quiet(self):
        """What lingers in the edge is committed once rows are there that say the device is gone."""

        def counters_are_in():
            status = {d["device"]: d["state"] for d in self.edge.get("/devices")}
            return all(state != "online" for state in status.values())

        wait_until(counters_are_in, "the edge to see that its devices are gone")
        before = len(self.edge_records)
        self.read_edge_journal()
        wait_until(lambda: self._grew(before), "one more commit at the edge")

    def _grew(self, before):
        self.read_edge_journal()
        return len(self.edge_records) > before

    def settle(self, patience_s=90):
        """Waits until the ledgers agree with the hub; fails with what does not."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                problems = Audit(self).problems()
            except AssertionError as refused:  # the historian opens its file again
                problems = [str(refused)]
            if not problems:
                return
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(problems[:40]))


def check_audit_sees(audit):
    """It finds a lost poll, a value too many, a batch that came twice, a lost message."""
    assert not list(audit.problems())
    unit = min(audit.stored)
    middle = sorted(audit.stored[unit])[2]  # in the midst of the first life
    whole = audit.stored[unit].pop(middle)
    assert any(f"{middle}" in problem for problem in audit.missing()), "a hole"
    audit.stored[unit][middle] = (whole[0] + 1, whole[1])
    assert list(audit.values()), "a value too many"
    audit.stored[unit][middle] = (whole[0], (whole[1][0] ^ 1, whole[1][1]))
    assert list(audit.values()), "a register that is another's"
    audit.stored[unit][middle] = whole
    key = min(audit.plant.hub_records)
    audit.plant.hub_records[-1, -1] = audit.plant.hub_records[key]
    assert list(audit.batches()), "a batch twice"
    del audit.plant.hub_records[-1, -1]
    audit.plant.publisher.acked.add(-1)
    assert list(audit.messages()), "a lost message"
    audit.plant.publisher.acked.discard(-1)


class Audit:
    """One comparison of the ledgers with what the hub has."""

    def __init__(self, plant):
        self.plant = plant
        plant.read_hub_journal()
        self.served = plant.counters.served()
        self.stored = self._stored_counters()

    def problems(self):
        return [
            *self.batches(),
            *self.values(),
            *self.missing(),
            *self.messages(),
        ]

    def batches(self):
        """Every batch of the edge's journal is in the hub's log once."""
        origins = {}
        for stream, epoch, seq in self.plant.hub_records.values():
            origins.setdefault((epoch, seq), []).append(stream)
        for key, streams in origins.items():
            if len(streams) > 1:
                yield f"batch {key} of {streams[0]} is {len(streams)} times in the hub's log"
        for key, stream in self.plant.edge_records.items():
            if key not in origins:
                yield f"batch {key} of {stream} was committed at the edge and is not in the hub"
            elif origins[key][0] != stream:
                yield f"batch {key} of {stream} arrived as {origins[key][0]}"

    def _stored_counters(self):
        """{unit: {counter: (values, (which registers))}} in the hub's historian."""
        return {
            unit: {
                row["counter"]: (row["n"], (row["low"], row["high"]))
                for row in self.plant.hub.sql(stored_polls_sql(EDGE, unit))
            }
            for unit in self.served
        }

    def values(self):
        """What is stored was served, whole, and once."""
        for unit, counters in self.stored.items():
            served = {counter for counter, _ in self.served.get(unit, [])}
            for counter, (values, registers) in counters.items():
                if counter not in served:
                    yield f"unit {unit}: counter {counter} is stored {values} times, never served"
                elif values != REGISTERS or registers != ALL_THERE:
                    yield f"unit {unit}: poll {counter} has {values} values, registers {registers}"

    def missing(self):
        """What is missing was served behind a life's last commit, with nothing stored after it."""
        if not self.served:
            yield "the counter server served nothing"
        for unit, polls in self.served.items():
            stored = self.stored.get(unit, {})
            for life in self.plant.lives:
                yield from self._missing_in(life, unit, polls, stored)

    def _missing_in(self, life, unit, polls, stored):
        mine = [(c, t) for c, t in polls if life.start_us <= t <= life.end_us]
        present = [c for c, _ in mine if c in stored]
        missing = [(c, t) for c, t in mine if c not in stored]
        if not missing:
            return
        if present and missing[0][0] < present[-1]:
            yield f"unit {unit}: polls {missing[:5]} are missing, {present[-1]} is there"
        stream = stream_of_unit(unit)
        # A cycle that was under way when the last batch was closed was served before its time.
        bound = life.last_us.get(stream, life.start_us) - interval_us(unit) - LINGER_US
        early = [(c, t) for c, t in missing if t < bound]
        if early:
            yield f"unit {unit} ({stream}): polls {early[:5]} before the last commit are missing"

    def messages(self):
        """Every acknowledged message is there; an unacknowledged one at most twice."""
        publisher = self.plant.publisher
        rows = self.plant.hub.sql(
            "SELECT t.tag, COALESCE(p.i, CAST(p.u AS BIGINT), CAST(p.d AS BIGINT)) AS v,"
            " count(*) AS n FROM points p JOIN tags t ON p.tag = t.id"
            f" WHERE t.node = '{EDGE}' AND t.stream = 'ledger' GROUP BY 1, 2"
        )
        count = {(row["tag"], row["v"]): row["n"] for row in rows}
        sent = {value_of(publisher.number, seq): seq for seq in publisher.sent}
        for seq in publisher.acked:
            value = value_of(publisher.number, seq)
            if not count.get(("seq", seq)) or not count.get(("value", value)):
                yield f"message {seq} was acknowledged and is not in the hub"
        for (tag, v), n in count.items():
            if tag == "value" and v not in sent:
                yield f"a message with value {v} was never sent"
            elif tag == "value" and not (n == count.get(("seq", sent[v])) and n <= 2):
                yield f"message {sent[v]}: value {n} times, seq {count.get(('seq', sent[v]))}"
