"""pymodbus as a child process: a bank of values, or a recording that is played."""

import json
import pathlib
import socket
import struct

from conftest import Process, free_port, wait_until

SERVER = pathlib.Path(__file__).with_name("pymodbus_server.py")


class PymodbusServer(Process):
    def __init__(self, folder, script):
        self.port = free_port()
        self.script = folder / "script.jsonl"
        self.ledger_path = folder / "played.jsonl"
        self.script.write_text("".join(json.dumps(line) + "\n" for line in script))
        super().__init__(
            ["/usr/bin/python3", SERVER, "--port", self.port, "--script", self.script]
            + ["--ledger", self.ledger_path],
            folder / "pymodbus.log",
        )
        wait_until(self._answers, "pymodbus to listen")

    def _answers(self):
        assert self.alive(), self.output
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def ledger(self):
        return [json.loads(line) for line in self.ledger_path.read_text().splitlines()]

    def played(self):
        return '"end"' in self.ledger_path.read_text()


def registers_of(raw):
    """Bytes as big-endian registers."""
    raw += b"\0" * (len(raw) % 2)
    return list(struct.unpack(f">{len(raw) // 2}H", raw))
