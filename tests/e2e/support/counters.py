"""The counter server as a process, its ledger, and the configuration that polls it."""

import pathlib
import socket
import sys

from conftest import Process, free_port, wait_until
from support.counter_server import MODULUS, REGISTERS, STRIDE

SERVER = pathlib.Path(__file__).with_name("counter_server.py")
UNITS_A_GROUP = 8
FAST_UNITS = 8
SLOW_UNITS = 72


class CounterServer(Process):
    def __init__(self, folder):
        self.port = free_port()
        self.ledger = folder / "served.txt"
        units = FAST_UNITS + SLOW_UNITS
        super().__init__(
            [sys.executable, SERVER, "--port", self.port, "--ledger", self.ledger]
            + ["--units", units],
            folder / "counters.log",
        )
        wait_until(self._answers, "the counter server to listen")

    def _answers(self):
        assert self.alive(), self.output
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def served(self):
        """{unit: [(counter, wall µs), …]} in the order served."""
        result = {}
        for line in self.ledger.read_text().splitlines():
            fields = line.split()
            if len(fields) == 3:
                unit, counter, time_us = map(int, fields)
                result.setdefault(unit, []).append((counter, time_us))
        return result

    def polls(self):
        """How many polls were served so far; cheap enough to wait for."""
        return self.ledger.stat().st_size // 20


def group_config(name, units, interval, linger):
    lines = [f"      - name: {name}", f"        interval: {interval}"]
    if linger:
        lines.append(f"        linger: {linger}")
    lines.append("        tags:")
    for unit in units:
        for i in range(REGISTERS):
            name, address = f"u{unit:02}_{i:03}", f"{unit}!{400001 + i}"
            lines.append(f'          - {{name: {name}, address: "{address}", type: uint16}}')
    return lines


def devices_config(port, linger="200ms", timeout="20s"):
    """Ten thousand tags: 1,000 at 100 ms on one connection, the rest at 1 s on another."""
    lines = ["devices:"]
    fast = range(1, FAST_UNITS + 1)
    slow = range(FAST_UNITS + 1, FAST_UNITS + SLOW_UNITS + 1)
    for name in ("fast", "slow"):
        lines += [
            f"  - name: {name}",
            "    driver: modbus-tcp",
            f"    address: 127.0.0.1:{port}",
            f"    timeout: {timeout}",
            "    in_flight_max: 8",
            "    groups:",
        ]
        if name == "fast":
            lines += group_config("f0", fast, "100ms", linger)
        else:
            for g in range(len(slow) // UNITS_A_GROUP):
                part = slow[g * UNITS_A_GROUP : (g + 1) * UNITS_A_GROUP]
                lines += group_config(f"s{g}", part, "1s", None)
    return "\n".join(lines) + "\n"


def stream_of_unit(unit):
    if unit <= FAST_UNITS:
        return "fast.f0"
    return f"slow.s{(unit - FAST_UNITS - 1) // UNITS_A_GROUP}"


def interval_us(unit):
    return 100_000 if unit <= FAST_UNITS else 1_000_000


# Which registers of a poll are there, as two masks: those below HALF and the others.
HALF = 63
ALL_THERE = (2**HALF - 1, 2 ** (REGISTERS - HALF) - 1)


def stored_polls_sql(node, unit):
    """One row a stored poll of the unit: its counter, how many values it has, and which.

    A tag is named uUU_III; its value tells the counter of the poll that served it.
    """
    return (
        "WITH p AS (SELECT CAST(substr(t.tag, 5, 3) AS INT) AS i, CAST(p.u AS BIGINT) AS value"
        " FROM points p JOIN tags t ON p.tag = t.id"
        f" WHERE t.node = '{node}' AND t.tag LIKE 'u{unit:02}\\_%' ESCAPE '\\' AND p.quality = 0)"
        f" SELECT (value + {MODULUS} - {STRIDE} * i) % {MODULUS} AS counter, count(*) AS n,"
        f" bit_or(CASE WHEN i < {HALF} THEN CAST(1 AS BIGINT) << i ELSE 0 END) AS low,"
        f" bit_or(CASE WHEN i >= {HALF} THEN CAST(1 AS BIGINT) << (i - {HALF}) ELSE 0 END) AS high"
        " FROM p GROUP BY counter"
    )
