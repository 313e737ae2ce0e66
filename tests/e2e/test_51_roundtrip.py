"""Every type, bit for bit: device → journal → uplink → the hub's historian, and to the device.

The device is pymodbus, so that neither end of the wire is ours. What a value is is said in bytes on
the wire; what the historian has is read from its columns, special doubles by their bits.
"""

import struct

import pytest

from conftest import wait_until
from support.bank import PymodbusServer, registers_of
from support.press import LISTEN, ModbusReader

pytestmark = pytest.mark.asan

# name: (type, bytes on the wire, column, what that column holds)
NUMBERS = {
    "i16_min": ("int16", struct.pack(">h", -(2**15)), "i", -(2**15)),
    "i16_max": ("int16", struct.pack(">h", 2**15 - 1), "i", 2**15 - 1),
    "u16_max": ("uint16", struct.pack(">H", 2**16 - 1), "u", 2**16 - 1),
    "i32_min": ("int32", struct.pack(">i", -(2**31)), "i", -(2**31)),
    "i32_max": ("int32", struct.pack(">i", 2**31 - 1), "i", 2**31 - 1),
    "u32_max": ("uint32", struct.pack(">I", 2**32 - 1), "u", 2**32 - 1),
    "i64_min": ("int64", struct.pack(">q", -(2**63)), "i", -(2**63)),
    "i64_max": ("int64", struct.pack(">q", 2**63 - 1), "i", 2**63 - 1),
    "i64_odd": ("int64", struct.pack(">q", 2**53 + 1), "i", 2**53 + 1),
    "u64_max": ("uint64", struct.pack(">Q", 2**64 - 1), "u", 2**64 - 1),
    "u64_odd": ("uint64", struct.pack(">Q", 2**63 + 1), "u", 2**63 + 1),
}

FLOATS = {
    "one": 0x3F800000,
    "third": 0x3EAAAAAB,
    "minus_zero": 0x80000000,
    "denormal_min": 0x00000001,
    "max": 0x7F7FFFFF,
    "infinity": 0x7F800000,
    "minus_infinity": 0xFF800000,
    "nan_quiet": 0x7FC00000,
    "nan_payload": 0x7FC12345,
    "nan_minus": 0xFFC00001,
    "nan_signalling": 0x7F812345,
}

DOUBLES = {
    "one": 0x3FF0000000000000,
    "third": 0x3FD5555555555555,
    "minus_zero": 0x8000000000000000,
    "denormal_min": 0x0000000000000001,
    "max": 0x7FEFFFFFFFFFFFFF,
    "infinity": 0x7FF0000000000000,
    "minus_infinity": 0xFFF0000000000000,
    "nan_quiet": 0x7FF8000000000000,
    "nan_payload": 0x7FF8DEADBEEF1234,
    "nan_minus": 0xFFF8000000000001,
    "nan_signalling": 0x7FF4000000000001,
}

TEXTS = {
    "ascii": b"PRS-000001",
    "utf8": "压机7号".encode().ljust(12, b"\0"),
    "not_utf8": b"\xff\xfe\x80A\xc3(",
    "empty": b"\0" * 6,
    "long": bytes(range(1, 127)),
}

BYTES = {"zeros_inside": b"a\0b\0\0c", "all_high": b"\xff" * 8}

FIRST = 400001


class Bank:
    """Lays tags one after the other into registers."""

    def __init__(self):
        self.registers = []
        self.tags = []
        self.place = {}

    def add(self, name, kind, raw, suffix=""):
        self.place[name] = len(self.registers)
        address = f"1!{FIRST + len(self.registers)}{suffix}"
        self.tags.append(f'          - {{name: {name}, address: "{address}", type: {kind}}}')
        self.registers += registers_of(raw)

    def script(self):
        # The first coil is set, the second not: bits of coils and of a register.
        holding = {str(i): value for i, value in enumerate(self.registers)}
        return [{"at_us": 0, "coils": {"0": 1, "1": 0}, "holding": holding}]


def make_bank():
    bank = Bank()
    for name, (kind, raw, _, _) in NUMBERS.items():
        bank.add(name, kind, raw)
    for name, bits in FLOATS.items():
        bank.add(f"f_{name}", "float", struct.pack(">I", bits))
    for name, bits in DOUBLES.items():
        bank.add(f"d_{name}", "double", struct.pack(">Q", bits))
    for name, raw in TEXTS.items():
        bank.add(f"s_{name}", "string", raw, f".{len(raw)}")
    for name, raw in BYTES.items():
        bank.add(f"b_{name}", "bytes", raw, f".{len(raw)}")
    for name, number in (("coil_on", 1), ("coil_off", 2)):
        bank.tags.append(f'          - {{name: {name}, address: "1!{number:05}", type: bit}}')
    return bank


def edge_config(device_port, hub_port, tags):
    return (
        f"name: edge1\nmodules: [gateway, stream, broker, alarm, api]\n{LISTEN}"
        f'uplink: {{to: "mqtt://127.0.0.1:{hub_port}"}}\n'
        "devices:\n  - name: dev\n    driver: modbus-tcp\n"
        f"    address: 127.0.0.1:{device_port}\n"
        "    groups:\n      - name: all\n        interval: 200ms\n        tags:\n"
        + "\n".join(tags)
        + "\n"
    )


@pytest.fixture
def chain(tmp_path, children, start_node):
    bank = make_bank()
    device = PymodbusServer(tmp_path, bank.script())
    children.append(device)
    hub = start_node(f"name: hub1\n{LISTEN}", "hub")
    edge = start_node(edge_config(device.port, hub.mqtt()[1], bank.tags), "edge")
    return bank, device, edge, hub


def stored(hub):
    """{tag: the distinct values of its columns}, good ones only; blobs as hex."""
    rows = hub.sql(
        "SELECT DISTINCT t.tag, t.type, p.i, p.u, CAST(p.d AS VARCHAR) AS d, hex(p.b) AS b"
        " FROM points p JOIN tags t ON p.tag = t.id"
        " WHERE t.node = 'edge1' AND t.stream = 'dev.all' AND p.quality = 0"
    )
    result = {}
    for row in rows:
        result.setdefault(row["tag"], []).append(row)
    return result


def float_bits(row, width):
    """The bits of a stored float: of the column u where they are kept, else of the double d."""
    if row["u"] is not None:
        return row["u"]
    form = ">f" if width == 4 else ">d"
    return int.from_bytes(struct.pack(form, float(row["d"])), "big")


def expect(problems, name, rows, check, wanted):
    if not rows or len(rows) != 1:
        problems.append(f"{name}: {rows}")
    elif check(rows[0]) != wanted:
        problems.append(f"{name}: {check(rows[0])!r} instead of {wanted!r} ({rows[0]})")


def text_wanted(raw):
    """A string ends before its first zero."""
    return raw.split(b"\0")[0].hex().upper()


def test_every_type_is_the_devices_value(chain):
    bank, _, _, hub = chain
    wait_until(lambda: len(stored(hub)) >= len(bank.tags), "all tags in the hub's historian")
    rows = stored(hub)
    problems = []
    for name, (_, _, column, wanted) in NUMBERS.items():
        expect(problems, name, rows.get(name), lambda row, c=column: row[c], wanted)
    for name, bits in FLOATS.items():
        expect(problems, name, rows.get(f"f_{name}"), lambda row: float_bits(row, 4), bits)
    for name, bits in DOUBLES.items():
        expect(problems, name, rows.get(f"d_{name}"), lambda row: float_bits(row, 8), bits)
    for name, raw in TEXTS.items():
        expect(problems, name, rows.get(f"s_{name}"), lambda row: row["b"], text_wanted(raw))
    for name, raw in BYTES.items():
        expect(problems, name, rows.get(f"b_{name}"), lambda row: row["b"], raw.hex().upper())
    for name, wanted in (("coil_on", 1), ("coil_off", 0)):
        expect(problems, name, rows.get(name), lambda row: row["i"], wanted)
    assert not problems, "\n".join(problems)


def test_special_values_reach_people(chain):
    """JSON cannot say NaN; 64-bit integers stay exact, and bytes that are no text stay bytes."""
    _, _, edge, _ = chain
    wait_until(lambda: edge.tag("dev.all.i64_min")["quality"] == "good", "the values")
    assert edge.tag("dev.all.i64_min")["value"] == -(2**63)
    assert edge.tag("dev.all.u64_max")["value"] == 2**64 - 1
    assert edge.tag("dev.all.i64_odd")["value"] == 2**53 + 1
    assert edge.tag("dev.all.f_third")["value"] == pytest.approx(1 / 3, rel=1e-7)
    assert b'"value":0.33333334' in edge.request("GET", "/api/v1/tags?device=dev&group=all").body
    assert edge.tag("dev.all.s_utf8")["value"] == "压机7号"
    assert edge.tag("dev.all.s_not_utf8")["value"] == {"$bytes": "//6AQcMo"}


WRITES = {
    "i64_min": (2**63 - 1, struct.pack(">q", 2**63 - 1)),
    "u64_max": (2**64 - 2, struct.pack(">Q", 2**64 - 2)),
    "i16_min": (-2, struct.pack(">h", -2)),
    "f_one": (0.1, struct.pack(">f", 0.1)),
    "d_one": (0.1, struct.pack(">d", 0.1)),
    "s_ascii": ("A-1", b"A-1".ljust(10, b"\0")),
}


def test_write_is_bit_exact_on_the_wire(chain):
    bank, device, edge, _ = chain
    wait_until(lambda: edge.tag("dev.all.i64_min")["quality"] == "good", "the device")
    reader = ModbusReader(device.port)
    for tag, (value, raw) in WRITES.items():
        assert edge.post("/write", {"tag": f"dev.all.{tag}", "value": value})["ok"] is True
        assert reader.read(bank.place[tag], len(raw) // 2) == registers_of(raw), tag
    reader.close()
