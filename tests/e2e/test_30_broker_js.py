"""The broker as MQTT.js meets it, under Node: the client that the console and most dashboards use."""

import json
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = """name: line1
modules: [broker, api]
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
"""


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_js(start_node, version):
    assert (HERE / "node_modules" / "mqtt").is_dir(), "run tools/install check (npm ci in tests/e2e)"
    node = start_node(CONFIG)
    host, port = node.mqtt()
    done = subprocess.run(
        ["node", HERE / "support" / "mqttjs.cjs", f"mqtt://{host}:{port}", str(version)],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert saw["granted"] == [1, 0]
    assert [(m["topic"], m["payload"], m["qos"]) for m in saw["messages"]] == [
        ("js/one", "hello", 1), ("js/two", 100000, 0), ("js/state/on", "kept", 0)]
    if version == 5:
        assert saw["messages"][0]["user"] == {"a": "1"}
    assert saw["many"] == list(range(200))
    assert saw["retained"] == {"topic": "js/state/on", "payload": "kept", "retain": True}
