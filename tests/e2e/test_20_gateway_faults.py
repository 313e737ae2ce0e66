"""A device that lies, one fault at a time: it is named, it costs only its own tags, and it comes
back by itself when it is well again. No wrong value is ever shown as a good one."""

import pytest

from conftest import free_port, wait_until
from support.fault_modbus import FaultServer

UNIT = 3

CONFIG = """\
name: faults
modules: [gateway, api]
listen: {{http: 127.0.0.1:0}}
devices:
  - {{name: bad, driver: modbus-tcp, address: "127.0.0.1:{bad}", timeout: 300ms, groups: [{group}]}}
  - {{name: well, driver: modbus-tcp, address: "127.0.0.1:{well}", timeout: 300ms, groups: [{group}]}}
"""

GROUP = """{name: g, interval: 50ms, tags: [
      {name: a, address: "3!400001", type: uint16}, {name: b, address: "3!400005", type: uint16}]}"""

TRUE = {"a": 1000 * UNIT, "b": 1000 * UNIT + 4}

# What is wrong with the device → what the gateway calls it.
NAMED = {
    "silent": "silent",
    "half open": "silent",
    "reset in mid-frame": "closed",
    "half a frame": "half a frame",
    "late": "late answer",
    "another transaction id": "foreign transaction id",
    "another protocol id": "foreign protocol id",
    "another unit id": "foreign unit id",
    "wrong function": "foreign function",
    "short frame": "short frame",
    "long frame": "long frame",
    "wrong byte count": "wrong byte count",
    "exception": "exception",
}


@pytest.fixture
def servers(children):
    def start(fault="", port=0):
        server = FaultServer(fault, port)
        children.append(server)
        return server

    return start


def device(node, name):
    return {d["device"]: d for d in node.get("/devices")}[name]


def values(node, name):
    """The tags with a good value; every one must be the true one."""
    good = {
        row["tag"]: row["value"]
        for row in node.get(f"/tags?device={name}")
        if row["quality"] == "good"
    }
    assert good.items() <= TRUE.items()
    return good


def polls_go_on(node, name):
    before = device(node, name)["polls"]
    wait_until(lambda: device(node, name)["polls"] >= before + 5, f"{name} to be polled", 5)


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_is_named_and_costs_only_its_own_device(servers, start_node, fault):
    bad, well = servers(fault), servers()
    node = start_node(CONFIG.format(bad=bad.port, well=well.port, group=GROUP))

    def named():
        assert device(node, "well")["error"] == ""
        values(node, "bad")
        return device(node, "bad")["error"] == NAMED[fault]

    wait_until(named, f"the fault to be called {NAMED[fault]}", 10)
    assert device(node, "bad")["text"]
    assert values(node, "bad") == {}
    polls_go_on(node, "well")
    assert values(node, "well") == TRUE
    assert device(node, "well")["missed"] <= device(node, "well")["polls"] // 4

    bad.heal()
    wait_until(lambda: values(node, "bad") == TRUE, "the device to come back", 25)
    assert device(node, "bad")["state"] == "online"


def test_bytes_that_come_one_by_one_are_no_fault(servers, start_node):
    slow, well = servers("byte by byte"), servers()
    node = start_node(CONFIG.format(bad=slow.port, well=well.port, group=GROUP))
    wait_until(lambda: values(node, "bad") == TRUE, "the values")
    assert device(node, "bad")["faults"] == 0


def test_a_late_answer_is_counted_and_never_credited(servers, start_node):
    late, well = servers("late"), servers()
    node = start_node(CONFIG.format(bad=late.port, well=well.port, group=GROUP))

    def counted():
        assert values(node, "bad") == {}
        return device(node, "bad")["late"] >= 3

    wait_until(counted, "late answers", 20)
    assert device(node, "bad")["values"] == 0


def test_a_device_that_is_not_there_is_offline_and_found_later(servers, start_node):
    well = servers()
    port = free_port()
    node = start_node(CONFIG.format(bad=port, well=well.port, group=GROUP))
    wait_until(lambda: device(node, "bad")["error"] == "refused", "the refusal")
    assert device(node, "bad")["state"] == "offline"
    assert {row["quality"] for row in node.get("/tags?device=bad")} <= {"offline", "unread"}
    polls_go_on(node, "well")
    servers(port=port)
    wait_until(lambda: values(node, "bad") == TRUE, "the device to be found", 25)
