"""Kill -9 of a node to which a past is being told: the plant keeps what was not acknowledged, dials
again and sends it again; and at the end nothing is lost and nothing is there twice, unit by unit.
"""

import os
import random
import re
import socket
import time

import pytest

from conftest import wait_until
from support.genealogy import Truth, check_all, wait_for_all
from support.mqtt import PATIENCE_S, Raw, packet
from support.past import told_past
from support.smt import Line

GONE, BACK, TOLD = "has gone", "the past goes on", "the past is told"
ALIVE_S = (0.05, 0.5)  # from the moment that rows come until the kill
TABLES = ("units", "steps", "links", "measures", "defects", "factors")
SAME = 1e-9  # of a value: the sums may be made in another order


def let_pass(seconds):
    """Time in which the past is told: what the test is about, and no waiting for anything."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, "the time to pass", timeout_s=seconds + 5)


def killer(chance, kills):
    """Kills the node at random moments at which the past is being told."""

    def kill_all(node, line):
        for n in range(kills):
            wait_until(lambda: line.output.count(BACK) >= n, "the past to go on")
            let_pass(chance.uniform(*ALIVE_S))
            assert TOLD not in line.output, "the past is too short to be killed in"
            node.kill()
            wait_until(lambda: line.output.count(GONE) > n, "the plant to notice")
            node.start()

    return kill_all


def check_nothing_twice(node):
    """No row is there again that says the same of the same."""
    for table in TABLES:
        columns = ", ".join(
            f'"{row["column_name"]}"'
            for row in node.sql(
                f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}' AND"
                " column_name NOT IN ('known_at', 'revision')"
            )
        )
        twice = node.sql(f"SELECT {columns}, count(*) AS n FROM {table} GROUP BY ALL HAVING n > 1")
        assert twice == [], table


def measures(node, truth):
    """{(serial, operation, what): [(since the begin, number, text)]} of what was done by `until`:
    measures and factors, of units that lack a code too."""
    begin = first_visit(truth)
    rows = node.sql(
        "SELECT if(m.serial = '', u.serial, m.serial) AS serial, m.operation, m.what, m.number,"
        " m.text, epoch_us(m.t) AS t FROM (SELECT unit, serial, operation, characteristic AS what,"
        " value AS number, '' AS text, measured_at AS t FROM measures UNION ALL SELECT unit, serial,"
        ' operation, kind || name, number, value, "at" FROM factors) m LEFT JOIN (SELECT DISTINCT'
        f" unit, serial FROM units) u ON m.unit = u.unit WHERE epoch_us(m.t) <= {truth.until}"
    )
    told = {}
    for row in rows:
        # The number of a unit without a code is the node's own.
        serial = "?" if row["serial"].startswith("?") else row["serial"]
        told.setdefault((serial, row["operation"], row["what"]), []).append(
            (round((row["t"] - begin) / 1e6), row["number"], row["text"])
        )
    return {key: sorted(values, key=lambda v: v[0]) for key, values in told.items()}


def is_same(a, b):
    """The times are whole seconds of two nodes' lives, whose rows lie by chance."""
    if abs(a[0] - b[0]) > 2 or (a[1] is None) != (b[1] is None):
        return False
    if a[1] is None:
        return a[2] == b[2]
    return abs(a[1] - b[1]) <= SAME * max(1, abs(b[1]))


def check_measures(told, want, seconds, at_least):
    """Each measure and factor of a past that was told to a node that nobody killed, and no other."""
    compared, problems = 0, []
    for key in sorted(told.keys() | want.keys()):
        a, b = ([v for v in side.get(key, []) if v[0] < seconds] for side in (told, want))
        compared += len(b)
        if len(a) != len(b) or not all(is_same(x, y) for x, y in zip(a, b)):
            problems.append((key, a, b))
    print("measures and factors:", compared)
    assert not problems, (len(problems), problems[:10])
    assert compared >= at_least


def first_visit(truth):
    return min(step["t_in"] for row in truth.ledger.values() for step in row["steps"])


def span(truth):
    """Seconds from the first visit to where it may not be whole any more."""
    return (truth.until - first_visit(truth)) / 1e6 - 5


def check_killed(tmp_path, children, start_node, past, kills, seed, at_least):
    print("LOTLINE_SEED", seed)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("unread: 0.01\ndefect_rate: 0.01\n")
    told = (tmp_path, children, start_node, past, scenario, 3, "--rate", 2)
    whole, ledger = told_past(*told, name="whole")
    truth = Truth(ledger)
    wait_for_all(whole, truth)
    want = measures(whole, truth)
    whole.kill()
    node, ledger = told_past(*told, meanwhile=killer(random.Random(seed), kills))
    truth_killed = check_all(node, ledger, at_least)
    check_nothing_twice(node)
    seconds = min(span(truth), span(truth_killed))
    check_measures(measures(node, truth_killed), want, seconds, 8 * at_least["panels"])


class Taker(Raw):
    """What a broker sees of a publisher that dialled."""

    def __init__(self, listener):
        self.socket, _ = listener.accept()
        self.socket.settimeout(PATIENCE_S)
        head, self.connect = self.packet()
        assert head == 0x10
        self.send(packet(0x20, b"\0\0\0"))

    @property
    def clean_start(self):
        return bool(self.connect[7] & 2)

    @property
    def client(self):
        length = 13 + self.connect[10]  # behind the properties, and its own length
        return self.connect[length : length + self.connect[length - 1]]

    def published(self):
        """(DUP, identifier, topic and payload); None: it said goodbye."""
        head, body = self.packet()
        if head == 0xE0:
            return None
        assert head & 0xF7 == 0x32, head
        at = 2 + int.from_bytes(body[:2], "big")
        return bool(head & 8), body[at : at + 2], (body[:at], body[at + 2 :])

    def acknowledge(self, messages):
        self.send(b"".join(packet(0x40, message[1]) for message in messages))


def test_what_is_not_acknowledged_goes_again_marked_and_in_its_order(tmp_path, children):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        host, port = listener.getsockname()
        line = Line(tmp_path, "--backfill", "2h", "--mqtt", f"{host}:{port}", "--live", "no")
        children.append(line)
        with Taker(listener) as broker:
            assert broker.clean_start
            client = broker.client
            first = [broker.published() for _ in range(16)]
            broker.acknowledge(first[:3])
            first += [broker.published() for _ in range(3)]
        assert not any(dup for dup, _, _ in first)
        everything = [message[2] for message in first]
        with Taker(listener) as broker:
            assert not broker.clean_start and broker.client == client != b""
            again = [broker.published() for _ in range(16)]
            assert again == [(True, *message[1:]) for message in first[3:]]
            broker.acknowledge(again)
            while (message := broker.published()) is not None:
                assert not message[0]
                everything.append(message[2])
                broker.acknowledge([message])
        assert line.child.wait(PATIENCE_S) == 0, line.output
    assert line.output.count(GONE) == line.output.count(BACK) == 1
    told = re.search(r"in (\d+) messages", line.output)
    assert int(told[1]) == len(everything) == len(set(everything)), line.output


def test_a_past_survives_three_kills(tmp_path, children, start_node):
    seed = int(os.environ.get("LOTLINE_SEED", 1))
    check_killed(tmp_path, children, start_node, "5h", 3, seed, {"panels": 140, "boards": 500})


@pytest.mark.long
def test_a_day_survives_fifteen_kills(tmp_path, children, start_node):
    seed = int(os.environ.get("LOTLINE_SEED", time.time_ns() % 100000))
    least = {"panels": 700, "boards": 2500}
    check_killed(tmp_path, children, start_node, "24h", 15, seed, least)
