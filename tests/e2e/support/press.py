"""The press as the tests configure it, what its ledger says, and reading it by hand."""

import json
import socket
import struct

SERIAL_REGISTERS = 10
PRESS_REGISTERS = 21
POLL_US = 100_000
SETPOINT_KN = 15.0
FORCE_LOWER, FORCE_UPPER = 12, 18

LISTEN = "listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"

DEVICE = """\
devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:{port}
    place: plant1/line1/press
    groups:
      - name: press
        interval: 100ms
        tags:
          - {{name: serial, address: "1!400001.20", type: string}}
          - {{name: state, address: "1!400011", type: uint16}}
          - {{name: result, address: "1!400012", type: uint16}}
          - {{name: force, address: "1!400013", type: float, uom: kN, interpolate: linear}}
          - {{name: position, address: "1!400015", type: float, uom: mm, interpolate: linear}}
          - {{name: setpoint, address: "1!400017", type: float, uom: kN}}
          - {{name: parts, address: "1!400019", type: uint32}}
"""

JOB = """\
tracks:
  - name: press1
    station: press
    unit: plc1.press.serial
    begin: {signal: plc1.press.state, edge: rising}
    end: {signal: plc1.press.state, edge: falling}
    result: plc1.press.result
    signals: [plc1.press]
characteristics:
  - {name: force_max, station: press, lower: 12, upper: 18, uom: kN}
rules:
  - name: press_row
    sql: SELECT unit_id() AS unit, max(force) AS force_max, avg(force) AS force_avg,
      covered(force) AS covered FROM "plc1.press" GROUP BY UNITWINDOW('press1')
    linger: 50ms
    actions: [{trace: {operation: press, measures: [force_max]}}]
"""


def job_config(port, name="line1"):
    """A whole node that does the press's job."""
    return f"name: {name}\n{LISTEN}{DEVICE.format(port=port)}{JOB}"


def device_config(port, name="line1"):
    """The press's values alone, kept in the historian."""
    return f"name: {name}\n{LISTEN}{DEVICE.format(port=port)}"


def edge_config(port, name="edge1"):
    """A node whose log nobody reads: everything committed stays in it."""
    modules = "modules: [gateway, stream, broker, alarm, api]\n"
    uplink = 'uplink: {to: "mqtt://127.0.0.1:1", streams: ["*"]}\n'
    return f"name: {name}\n{modules}{uplink}{LISTEN}{DEVICE.format(port=port)}"


def ledger_units(path):
    """What happened to each part that is through, by its serial."""
    units = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        units[row["serial"]] = row
    return units


class ModbusReader:
    """Holding registers of unit 1, asked for by hand; one request at a time."""

    HEAD = struct.Struct(">HHHBB")

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.transaction = 0

    def _receive(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise OSError("the device closed the connection")
            data += piece
        return data

    def read(self, first, count):
        """Registers as a list; first is the protocol's address, from 0."""
        self.transaction = (self.transaction + 1) % 65536
        body = struct.pack(">HH", first, count)
        self.socket.sendall(self.HEAD.pack(self.transaction, 0, 2 + len(body), 1, 3) + body)
        transaction, _, length, _, function = self.HEAD.unpack(self._receive(8))
        data = self._receive(length - 2)
        assert (transaction, function) == (self.transaction, 3), data
        return list(struct.unpack(f">{count}H", data[1:]))

    def read_float(self, first):
        return struct.unpack(">f", struct.pack(">HH", *self.read(first, 2)))[0]

    def close(self):
        self.socket.close()


def serial_of(registers):
    """Text of the first registers, two characters each."""
    raw = struct.pack(f">{SERIAL_REGISTERS}H", *registers[:SERIAL_REGISTERS])
    return raw.split(b"\0")[0].decode()
