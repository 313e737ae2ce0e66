"""The press as the tests configure it, what its ledger says, and reading it by hand."""

import json
import socket
import struct
import time

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


# ------------------------------------------------------------------------- a recording, its play

STATE, RESULT = 10, 11
RECORD_EVERY_S = 0.02


def record_cycles(port, units):
    """What the press showed during so many whole cycles, as a script for pymodbus_server.py."""
    reader = ModbusReader(port)
    script, last, ended, idle_seen = [], None, 0, False
    began = next_s = time.monotonic()
    while ended < units:
        # The pace of the recording, nothing is waited for.
        time.sleep(max(0.0, next_s - time.monotonic()))
        next_s += RECORD_EVERY_S
        now = reader.read(0, PRESS_REGISTERS)
        idle_seen = idle_seen or now[STATE] == 0
        if not idle_seen:
            began = next_s
            continue
        at_us = int((time.monotonic() - began) * 1e6)
        changed = {str(i): v for i, v in enumerate(now) if last is None or last[i] != v}
        if changed:
            script.append({"at_us": at_us, "holding": changed})
        if last is not None and last[STATE] == 1 and now[STATE] == 0:
            ended += 1
        last = now
    reader.close()
    return script


def delayed(script, delay_us):
    """Idle for a while first, so that a node can connect before the first cycle."""
    first = {"at_us": 0, "holding": dict(script[0]["holding"])}
    return [first] + [{**line, "at_us": line["at_us"] + delay_us} for line in script]


def played_units(ledger):
    """What the play's ledger says of each unit, in the form of the press's own ledger."""
    registers = [0] * PRESS_REGISTERS
    units, current = {}, None
    for line in ledger:
        was = registers[STATE]
        for address, value in line.get("holding", {}).items():
            registers[int(address)] = value
        if registers[STATE] and not was:
            current = {"serial": serial_of(registers), "t_in": line["from_us"], "force_max": 0.0}
        if current:
            force = struct.unpack(">f", struct.pack(">HH", *registers[12:14]))[0]
            current["force_max"] = max(current["force_max"], force)
            current["result"] = {1: "pass", 2: "fail"}.get(registers[RESULT], "")
        if was and not registers[STATE] and current:
            units[current["serial"]] = {**current, "t_out": line["until_us"]}
            current = None
    return units
