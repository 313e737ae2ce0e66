"""The broker inside a node: groups published as JSON, tags written by MQTT, messages that feed a
stream, and what an acknowledgement then means."""

import json

import pytest
from conftest import wait_until
from support.mqtt import Party
from support.press import LISTEN, device_config

GROUP = "plant1/line1/press/plc1/press"


@pytest.fixture
def node(start_press, start_node):
    _, port = start_press()
    return start_node(device_config(port))


@pytest.mark.parametrize("version", [4, 5])
def test_a_group_is_published_as_json(node, version):
    with Party(node, "dashboard", version) as dashboard:
        dashboard.subscribe(GROUP)
        rows = json.loads(dashboard.next().payload)
        row = rows[0] if isinstance(rows, list) else rows
        assert {"serial", "force", "setpoint"} <= set(row)


def test_a_tag_is_written_and_answered(node):
    wait_until(lambda: node.tag("plc1.press.setpoint")["value"] is not None, "the first poll")
    with Party(node, "hmi", user="hmi", password=node.token) as hmi:
        hmi.subscribe("answers/hmi")
        hmi.publish(f"{GROUP}/set", json.dumps({"setpoint": 16.5, "nosuch": 1, "force": "x"}),
                    ResponseTopic="answers/hmi", CorrelationData=b"7")
        message = hmi.next()
        assert message.properties.CorrelationData == b"7"
        answer = json.loads(message.payload)
        assert answer["setpoint"] == {"ok": True}
        assert answer["nosuch"]["error"] == "ERR_NOT_FOUND" and answer["nosuch"]["text"]
        assert answer["force"]["error"] and answer["force"]["text"]
    wait_until(lambda: node.tag("plc1.press.setpoint")["value"] == 16.5, "the device to have it")


def test_an_anonymous_client_does_not_write(node):
    wait_until(lambda: node.tag("plc1.press.setpoint")["value"] is not None, "the first poll")
    before = node.tag("plc1.press.setpoint")["value"]
    with Party(node, "stranger") as stranger:
        stranger.subscribe("answers")
        stranger.publish(f"{GROUP}/set", json.dumps({"setpoint": before + 1}),
                         ResponseTopic="answers")
        assert stranger.nothing()
    wait_until(lambda: "may not publish" in node.output, "the refusal in the log")
    assert node.tag("plc1.press.setpoint")["value"] == before


def test_what_was_acknowledged_is_there_after_a_kill(start_node):
    """Each QoS 1 message to a stored stream is in the historian, once its PUBACK came."""
    node = start_node(
        f"name: line1\n{LISTEN}"
        'streams: [{name: scans, source: mqtt, topic: "scan/+", format: json}]\n'
        'rules: [{name: kept, sql: "SELECT n FROM scans", actions: [{historian: {}}]}]\n')
    with Party(node, "scanner") as scanner:
        for n in range(300):
            scanner.publish("scan/a", json.dumps({"n": n}))
        node.kill()
    node.start()

    def stored():
        rows = node.sql("SELECT DISTINCT p.i AS n, p.d AS x FROM points p"
                        " JOIN tags t ON p.tag = t.id WHERE t.tag = 'n'")
        return {int(r["n"] if r["n"] is not None else r["x"]) for r in rows} >= set(range(300))

    wait_until(stored, "all acknowledged messages in the historian")
