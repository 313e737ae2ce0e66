"""Floors as a PLC would show them: coils and registers of a Modbus server of other people, which the
test writes.
"""

import pathlib

from pymodbus.client import ModbusTcpClient

from conftest import wait_until
from support.bank import PymodbusServer, registers_of

TOP = pathlib.Path(__file__).resolve().parents[3]
BELT_MM = 3000
NEAR_MM = 20


class Floor:
    """What the gates show. Each change is waited for, so that the node has seen it."""

    COILS = {}  # a tag's address by its name
    HOLDING = {}

    def __init__(self, folder):
        self.server = PymodbusServer(folder, [])
        self.client = ModbusTcpClient("127.0.0.1", port=self.server.port)
        self.node = None

    def show(self, name, value):
        if name in self.COILS:
            assert not self.client.write_coil(self.COILS[name], value, 1).isError()
        else:
            raw = registers_of(value.encode().ljust(8, b"\0")) if isinstance(value, str) else [value]
            assert not self.client.write_registers(self.HOLDING[name], raw, 1).isError()
        wait_until(lambda: self._seen(name) == value, f"{name} to be read as {value}")

    def _seen(self, name):
        [tag] = [t for t in self.node.get("/tags") if t["tag"] == name]
        return tag["value"]

    def pulse(self, gate):
        self.show(gate, True)
        self.show(gate, False)


class BeltFloor(Floor):
    """A belt, a press, a check, and a repair that leads back to the check."""

    COILS = {"enter": 0, "begin": 1, "end": 2, "good": 3, "bad": 4, "back": 5}
    HOLDING = {"code_in": 0, "code_out": 10, "speed": 20}

    def config(self):
        text = (TOP / "tests/support/line_floor.yaml").read_text()
        return text.replace("@PORT@", str(self.server.port))

    def unit(self, serial):
        units = self.node.get("/lines/floor")["units"]
        return next((u for u in units if u["serial"] == serial), None)

    def carry(self, serial, mm):
        """The belt runs until the unit on it has come so far, slowly at last, and stands."""
        for speed, way in ((1000, mm - 300), (100, mm - NEAR_MM)):
            self.show("speed", speed)
            wait_until(lambda: (self.unit(serial) or {}).get("mm", 0) >= way, f"{serial} at {way}")
        self.show("speed", 0)
