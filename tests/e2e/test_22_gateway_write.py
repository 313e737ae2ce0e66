"""Writing to a device and asking one without a configuration: what the device says is the answer."""

import subprocess

import pytest

from conftest import PROGRAM, free_port, wait_until
from support.fault_modbus import MASK, READ_HOLDING, WRITE_REGISTER, WRITE_REGISTERS, FaultServer

CONFIG = """\
name: writes
modules: [gateway, stream, api]
listen: {{http: 127.0.0.1:0}}
devices:
  - name: plc
    driver: modbus-tcp
    address: 127.0.0.1:{port}
    timeout: 300ms
    groups:
      - name: g
        interval: 100ms
        tags:
          - {{name: word, address: "1!400001", type: uint16}}
          - {{name: scaled, address: "1!400002", type: int16, scale: 0.1}}
          - {{name: wide, address: "1!400003", type: float}}
          - {{name: bit, address: "1!400005.3", type: bit}}
          - {{name: fixed, address: "1!400006", type: uint16, write: false}}
          - {{name: input, address: "1!300001", type: uint16}}
"""


@pytest.fixture
def plc(children):
    server = FaultServer()
    children.append(server)
    return server


@pytest.fixture
def node(plc, start_node):
    node = start_node(CONFIG.format(port=plc.port))
    wait_until(lambda: node.tag("plc.g.word")["quality"] == "good", "a value")
    return node


def write(node, tag, value):
    return node.request("POST", "/api/v1/write", {"tag": f"plc.g.{tag}", "value": value})


def functions(plc):
    return [f for _, f, _, _ in plc.asked if f not in (READ_HOLDING, 4)]


def test_the_narrowest_function_is_used_and_the_device_confirms(node, plc):
    assert write(node, "word", 77).status == 200
    assert write(node, "scaled", 23.4).status == 200
    assert write(node, "wide", -1.5).status == 200
    assert write(node, "bit", True).status == 200
    assert functions(plc) == [WRITE_REGISTER, WRITE_REGISTER, WRITE_REGISTERS, MASK]
    assert plc.written[1, 0] == 77
    assert plc.written[1, 1] == 234
    assert plc.written[1, 2] == 0xBFC0
    assert plc.written[1, 4] == 1004 | 8
    wait_until(lambda: node.tag("plc.g.word")["value"] == 77, "the value to be read back")


def test_a_device_without_mask_write_is_read_and_written(node, plc):
    plc.refused = {MASK}
    assert write(node, "bit", True).status == 200
    assert plc.written[1, 4] == 1004 | 8
    assert write(node, "bit", False).status == 200
    assert plc.written[1, 4] == 1004 & ~8
    assert functions(plc) == [MASK, WRITE_REGISTER, WRITE_REGISTER]


def test_a_negative_number_is_a_value_and_no_option(node, plc):
    assert node.command("write", "plc.g.scaled", "-2.5").returncode == 0
    assert plc.written[1, 1] == 65536 - 25


def test_half_json_is_a_text(node, plc):
    for word in ("{", '"5', '{"a":1},"tag":"plc.g.word"'):
        result = node.command("write", "plc.g.word", word)
        assert result.returncode == 1 and "must be a number" in result.stderr, result
    assert functions(plc) == []


def test_tail_ends_quietly_when_nobody_reads_any_more(node):
    words = [PROGRAM, "tail", 'SELECT ts FROM "plc.g"', "--data", node.data]
    with subprocess.Popen(
        [str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout.readline().startswith("{")
        tail.stdout.close()
        assert tail.wait(timeout=30) == 0
        assert tail.stderr.read() == ""


def test_what_cannot_be_written_is_refused_before_anything_is_sent(node, plc):
    for tag, value, word in [
        ("word", 65536, "65535"),
        ("word", "text", "number"),
        ("scaled", 23.56, "between"),
        ("fixed", 1, "may not be written"),
        ("input", 1, "may not be written"),
        ("bit", 2, "true or false"),
    ]:
        answer = write(node, tag, value)
        assert 400 <= answer.status < 500, (tag, answer.body)
        assert word in answer.body.decode(), (tag, answer.body)
    assert functions(plc) == []


def test_the_devices_exception_is_the_answer(node, plc):
    plc.fault = "exception"
    answer = write(node, "word", 5)
    assert answer.status == 502
    assert "server device failure" in answer.body.decode()


def test_a_write_without_an_answer_is_not_called_done(node, plc):
    plc.fault = "silent"
    answer = write(node, "word", 5)
    assert answer.status in (502, 503, 504)
    assert "not known" in answer.body.decode()


# ---------------------------------------------------------------------------- lotline read URL


def probe(url, address, *options):
    words = [PROGRAM, "read", url, address, *options]
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=30)


def test_a_device_is_tried_without_any_configuration(plc):
    url = f"modbus-tcp://127.0.0.1:{plc.port}"
    good = probe(url, "2!400008", "--type", "uint16")
    assert good.returncode == 0 and good.stdout.split()[0] == "2007", good
    plc.written[1, 0], plc.written[1, 1] = 0x4049, 0x0FDB
    assert probe(url, "1!400001", "--type", "float").stdout.split()[0] == "3.1415927"


def test_a_probe_says_what_is_wrong(plc):
    url = f"modbus-tcp://127.0.0.1:{plc.port}"
    plc.fault = "exception"
    refused = probe(url, "1!400001", "--type", "uint16")
    assert refused.returncode != 0 and "server device failure" in refused.stderr
    plc.fault = "another unit id"
    assert "unit" in probe(url, "1!400001", "--type", "uint16").stderr
    nobody = probe(f"modbus-tcp://127.0.0.1:{free_port()}", "1!400001", "--type", "uint16")
    assert nobody.returncode != 0 and "refused" in nobody.stderr
    assert "UNIT!NUMBER" in probe(url, "4x0001", "--type", "uint16").stderr
    assert "float" in probe(url, "1!400001", "--type", "flaot").stderr
    assert "no driver" in probe("modbus-tpc://h:1", "1!400001").stderr
