"""What a person gets who makes a mistake: the place, the reason, the fix; nothing has changed."""

import json
import re
import socket
import subprocess

import pytest

from conftest import PROGRAM, free_port

pytestmark = pytest.mark.asan

HERE = "@@"  # in a bad text: the error has to point at what follows

DEVICE = """\
name: line1
devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:1502
    groups:
      - name: press
        interval: 100ms
        tags:
          - {name: force, address: "1!400020", type: float}
          - {name: state, address: "1!400030", type: uint16}
"""


def swap(old, new):
    assert DEVICE.count(old) == 1, old
    return DEVICE.replace(old, new)


BAD = {
    "unknown key": (swap("interval:", f"{HERE}intervall:"), "interval"),
    "unknown key at the top": (DEVICE + f"{HERE}devicess: []\n", "devices"),
    "unknown key in a tag": (
        swap('"1!400020", type: float', f'"1!400020", {HERE}tipe: float'),
        "type",
    ),
    "not a duration": (swap("100ms", f"{HERE}often"), "ms"),
    "interval below the limit": (swap("100ms", f"{HERE}1ms"), "10"),
    "a list where a text belongs": (swap("modbus-tcp", f"{HERE}[a, b]"), "driver: modbus-tcp"),
    "a text where a list belongs": (f"name: line1\ndevices: {HERE}plc1\n", "list"),
    "device twice": (
        DEVICE + f"  - {{name: {HERE}plc1, driver: modbus-tcp, address: 127.0.0.1:1503}}\n",
        ":3:11",
    ),
    "tag twice": (swap("name: state", f"name: {HERE}force"), "force"),
    "key twice": (DEVICE + f"{HERE}name: line2\n", "name"),
    "unknown driver": (swap("modbus-tcp", f"{HERE}modbus-tpc"), "modbus-tcp"),
    "unknown type": (swap("float", f"{HERE}flaot"), "float"),
    "no such area": (swap('"1!400020"', f'{HERE}"1!900020"'), "1!900020"),
    "address out of range": (swap('"1!400020"', f'{HERE}"1!465537"'), "65536"),
    "order with a suffix": (
        swap('"1!400020", type: float', f'{HERE}"1!400020#BB", type: float, order: ABCD'),
        "order",
    ),
    "unknown module": (f"name: a\nmodules: [gateway, {HERE}gatway]\n", "gateway"),
    "unknown signal of a track": (
        DEVICE
        + "tracks:\n"
        + "  - name: press1\n    station: press\n    unit: plc1.press.force\n"
        + f"    begin: {{signal: {HERE}plc1.press.sate, edge: rising}}\n"
        + "    end: {signal: plc1.press.state, edge: falling}\n",
        "plc1.press has no tag sate; did you mean state?",
    ),
    "SQL: unknown column": (
        DEVICE
        + "rules:\n"
        + "  - name: hot\n"
        + f"    sql: SELECT {HERE}forse FROM \"plc1.press\"\n"
        + "    actions: [{mqtt: {topic: a}}]\n",
        "force",
    ),
    "no port there can be": (swap("127.0.0.1:1502", f"{HERE}127.0.0.1:99999"), "65535"),
    "no host": (swap("127.0.0.1:1502", f'{HERE}"not a host"'), "host:port"),
    "stray key of an action": (
        DEVICE
        + "rules:\n"
        + "  - name: kept\n"
        + '    sql: SELECT force FROM "plc1.press"\n'
        + f"    actions: [{{historian: {{{HERE}table: a}}}}]\n",
        "table",
    ),
    "not YAML": (f"name: line1\ndevices: [{HERE}}}\n", None),
}


def split_place(text):
    """The text without the marker, and the line and column that it marked."""
    before = text[: text.index(HERE)]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return text.replace(HERE, ""), line, column


def run(*arguments, **keywords):
    return subprocess.run(
        [str(a) for a in (PROGRAM, *arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        **keywords,
    )


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration_names_place_and_fix(tmp_path, name):
    text, line, column = split_place(BAD[name][0])
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    result = run("check", "-c", path)
    assert result.returncode == 1, result
    place = f"{path}:{line}:{column}: "
    assert place in result.stderr, (place, result.stderr)
    if BAD[name][1]:
        assert BAD[name][1] in result.stderr.split(place, 1)[1], result.stderr
    assert result.stdout == ""


def test_bytes_that_are_no_text_are_found_where_they_stand(tmp_path):
    path = tmp_path / "plant.yaml"
    path.write_bytes("name: line1\ndata: state-ä".encode() + b"\xff\n")
    assert f"{path}:2:14: " in run("check", "-c", path).stderr


def test_good_configuration_passes_and_opens_nothing(tmp_path):
    path = tmp_path / "plant.yaml"
    data = tmp_path / "state"
    path.write_text(DEVICE + f"data: {data}\n")
    result = run("check", "-c", path)
    assert result.returncode == 0, result.stderr
    assert not data.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plant.yaml"]


def test_run_with_a_bad_configuration_changes_nothing(tmp_path):
    text, line, column = split_place(BAD["unknown key"][0])
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    data = tmp_path / "state"
    result = run("run", "-c", path, "--data", data)
    assert result.returncode == 1
    assert f"{path}:{line}:{column}: " in result.stderr
    assert not data.exists()


def test_bad_configuration_leaves_stored_state_alone(tmp_path, start_node):
    ports = "listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"
    node = start_node(f"name: line1\n{ports}")
    assert node.stop() == 0

    def state():
        return {
            str(p.relative_to(node.data)): (p.stat().st_size, p.stat().st_mtime_ns)
            for p in sorted(node.data.rglob("*"))
            if p.is_file()
        }

    before = state()
    assert before
    node.config.write_text(f"name: line1\n{ports}devicess: []\n")
    assert run("run", "-c", node.config, "--data", node.data).returncode == 1
    assert state() == before


def only_line(text):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.mark.parametrize("listener", ["mqtt", "http"])
def test_port_in_use_is_one_clear_line(tmp_path, listener):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"mqtt": free_port(), "http": free_port(), listener: port}
        path = tmp_path / "plant.yaml"
        path.write_text(
            f"name: line1\nlog: error\n"
            f"listen: {{mqtt: 127.0.0.1:{ports['mqtt']}, http: 127.0.0.1:{ports['http']}}}\n"
        )
        result = run("run", "-c", path, "--data", tmp_path / "state")
    assert result.returncode == 1
    line = only_line(result.stderr)
    assert f"port {port} on 127.0.0.1 is in use" in line and f"listen.{listener}" in line, line


def test_missing_configuration_is_one_clear_line(tmp_path):
    for command in ("check", "run"):
        result = run(command, "-c", tmp_path / "nothing.yaml")
        assert result.returncode == 1
        line = only_line(result.stderr)
        assert str(tmp_path / "nothing.yaml") in line, line
        assert "no such file" in line.lower(), line


def test_second_node_on_one_data_directory_is_refused(tmp_path, start_node):
    config = "name: line1\nlog: error\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"
    node = start_node(config)
    result = run("run", "-c", node.config, "--data", node.data)
    assert result.returncode == 1
    assert str(node.data) in only_line(result.stderr)
    assert node.request("GET", "/health", token=False).status == 200


USAGE = {
    "no command": [],
    "unknown command": ["rnu"],
    "unknown option": ["check", "--confg", "x"],
    "option without its value": ["check", "-c"],
    "too many words": ["write", "a.b.c", "1", "2"],
    "too few words": ["write", "a.b.c"],
    "flag with a value": ["tags", "--json=yes"],
    "no count": ["sql", "SELECT 1", "--rows", "many"],
    "two formats": ["sql", "SELECT 1", "--csv", "--json"],
    "device without an address": ["read", "modbus-tcp://127.0.0.1"],
    "no log level": ["run", "-c", "CONFIG", "--log", "loud"],
    "unknown journal verb": ["journal", "eat"],
}


@pytest.mark.parametrize("name", USAGE)
def test_mistyped_command_line(tmp_path, name):
    config = tmp_path / "plant.yaml"
    config.write_text("name: line1\n")
    arguments = [config if word == "CONFIG" else word for word in USAGE[name]]
    result = run(*arguments)
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert result.stderr.strip()
    if arguments:
        only_line(result.stderr)


def test_unknown_command_says_what_was_meant():
    assert "did you mean 'run'" in run("rnu").stderr
    assert "did you mean --config" in run("check", "--confg", "x").stderr


def test_help_of_every_command():
    listing = run("--help").stdout
    commands = re.findall(r"^  (\w+) ", listing, re.M)
    assert {"run", "check", "write", "trace", "sql", "backup"} <= set(commands)
    for command in commands:
        result = run(command, "--help")
        assert result.returncode == 0, command
        assert f"lotline {command}" in result.stdout, command


def test_commands_without_a_node_say_so(tmp_path):
    for command in (
        ["devices"],
        ["tail", "SELECT 1"],
        ["write", "a.b.c", "1"],
        ["sql", "SELECT 1"],
        ["trace", "X"],
    ):
        result = run(*command, "--data", tmp_path)
        assert result.returncode == 4, (command, result)
        assert str(tmp_path) in only_line(result.stderr)


def test_refused_requests_are_problems_with_a_reason(start_node):
    node = start_node("name: line1\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n")
    cases = [
        ("POST", "/api/v1/write", {"tag": "no.such.tag", "value": 1}, 404),
        ("POST", "/api/v1/write", {"tga": "x"}, 400),
        ("POST", "/api/v1/sql", {"sql": "SELEC 1"}, 400),
        ("POST", "/api/v1/sql", {"sql": "DROP TABLE points"}, (400, 403)),
        ("GET", "/api/v1/nothing", None, 404),
        ("DELETE", "/api/v1/write", None, 405),
    ]
    for method, path, body, status in cases:
        answer = node.request(method, path, body)
        allowed = status if isinstance(status, tuple) else (status,)
        assert answer.status in allowed, (path, body, answer.status, answer.body)
        assert answer.headers["Content-Type"].startswith("application/problem+json"), path
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert problem["title"]
        assert problem.get("detail"), (path, problem)
