"""The simulated plant: starting it, its ledger, and what a node read of it."""

import json
import re
import subprocess

from conftest import PROGRAM, TOP, Process, wait_until

LISTEN = "listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"
SCENARIOS = TOP / "sim" / "scenarios"
DEVICE_OF = {"reflow": "oven", "rework": "rework_bench"}  # the others are called like their station
POLL_US = 100_000


class Line(Process):
    """`lotline sim plant` on free ports; its configuration is what it prints."""

    def __init__(self, folder, *options, name="plant"):
        self.folder = folder / name
        self.folder.mkdir()
        self.ledger_file = self.folder / "ledger.jsonl"
        self.config_file = self.folder / "config.yaml"
        self.files = self.folder / "files"
        super().__init__(
            [
                *(PROGRAM, "sim", "plant", "--port", 0, "--ledger", self.ledger_file),
                *("--config", self.config_file, "--files", self.files, *options),
            ],
            self.folder / "log.txt",
        )
        wait_until(self._listens, "the plant to listen")
        self.mes = re.search(r"mes on (\S+)", self.output).group(1)

    def _listens(self):
        assert self.alive(), self.output
        return self.config_file.exists() and "mes on" in self.output

    def config(self, name="line1", listen=LISTEN):
        """A whole node for it."""
        return f"name: {name}\n{listen}{self.config_file.read_text()}"

    def ledger(self):
        """{serial: line}; a line that is being written is left for later."""
        if not self.ledger_file.exists():
            return {}
        whole = self.ledger_file.read_text().rpartition("\n")[0]
        return {row["serial"]: row for row in map(json.loads, whole.splitlines())}


def printed_config(port, *options):
    """What it prints for these ports: devices, tracks, streams, characteristics, rules."""
    return subprocess.run(
        [PROGRAM, "sim", "plant", "--config", "-", "--port", str(port), *options],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout


def printed_devices(port):
    """Of these only the machines and their tracks."""
    return printed_config(port).partition("\nstreams:")[0] + "\n"


def readings(node, device, tag):
    """[(µs, value)] of a tag's good readings, in the order of their own times."""
    rows = node.sql(
        "SELECT epoch_us(p.ts) AS at, COALESCE(p.d, p.u, p.i) AS v, decode(p.b) AS text"
        " FROM points p JOIN tags t ON p.tag = t.id"
        f" WHERE starts_with(t.stream, '{device}.') AND t.tag = '{tag}' AND p.quality = 0 ORDER BY 1"
    )
    return [(row["at"], row["text"].rstrip("\0") if row["v"] is None else row["v"]) for row in rows]


def visits(ledger, station):
    """[(t_in, t_out, serial, read)] of all units at a station, in order; t_out None: still there."""
    return sorted(
        (step["t_in"], step["t_out"], row["serial"], step["read"])
        for row in ledger.values()
        for step in row["steps"]
        if step["station"] == station and step["t_out"]
    )


def path_mm(path, at):
    """Where a unit was on the belt at a moment, straight between the ledger's points."""
    for (t0, mm0), (t1, mm1) in zip(path, path[1:]):
        if t0 <= at <= t1:
            return mm0 + (mm1 - mm0) * (at - t0) / (t1 - t0) if t1 > t0 else mm0
    return None
