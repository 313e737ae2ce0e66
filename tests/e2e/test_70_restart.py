"""Operating a node: backup while it runs and restore, log level, metrics, health, ends cleanly."""

import json
import re
import signal
import subprocess

import pytest

from conftest import PROGRAM, Process, wait_until
from support.press import device_config, job_config

SAMPLE = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (-?(?:[0-9.]+(?:e[+-]?[0-9]+)?|Inf)|NaN|\+Inf)$"
)
LABELS = re.compile(r'\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\}$')


def count_points(node):
    return node.sql("SELECT count(*) AS n FROM points")[0]["n"]


def parse_metrics(text):
    """{name with labels: value}; fails on what Prometheus's text format does not allow."""
    types, values, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
            assert name not in types, f"{name} has two types"
            types[name] = kind
        elif line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        elif line:
            match = SAMPLE.match(line)
            assert match, line
            assert not match[2] or LABELS.match(match[2]), line
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in types or base in types, f"{match[1]} has no type"
            key = match[1] + (match[2] or "")
            assert key not in values, f"{key} is there twice"
            values[key] = float(match[3])
    assert set(types) == helped
    return values


def test_metrics_are_prometheus_text_and_move(start_node, start_press):
    _, port = start_press()
    node = start_node(device_config(port))

    def scrape():
        answer = node.request("GET", "/metrics", token=False)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        return parse_metrics(answer.body.decode())

    before = scrape()
    assert all(key.startswith(("lotline_", "process_")) for key in before)

    def polls(values):
        return sum(v for key, v in values.items() if "polls" in key)

    wait_until(lambda: polls(scrape()) > polls(before) + 5, "the polls to be counted")
    for word in ("polls", "missed", "journal", "historian", "broker"):
        assert any(word in key for key in scrape()), word


def test_health_names_every_module(start_node):
    node = start_node("name: line1\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n")
    answer = node.request("GET", "/health", token=False)
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert {"gateway", "journal", "historian"} <= set(answer.json["modules"])
    assert all(module["status"] == "ok" for module in answer.json["modules"].values())


def test_log_level_changes_at_run_time(start_node):
    node = start_node("name: line1\nlog: error\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n")
    assert node.get("/log-level")["level"] == "error"
    quiet = len(node.output)
    answer = node.request("PUT", "/api/v1/log-level", {"level": "debug"})
    assert answer.status == 200, answer.body
    assert node.get("/log-level")["level"] == "debug"
    wait_until(lambda: node.get("/node") and len(node.output) > quiet, "lines in the log")
    refused = node.request("PUT", "/api/v1/log-level", {"level": "loud"})
    assert refused.status == 400
    assert "debug, info, warn, error, off" in refused.json["detail"]
    assert node.get("/log-level")["level"] == "debug"


@pytest.mark.asan
def test_backup_while_running_and_restore(tmp_path, start_node, start_press, children):
    _, port = start_press("--speed", "2")
    node = start_node(job_config(port))
    wait_until(lambda: len(node.get("/units")) >= 3, "three units")
    points = count_points(node)
    units = {u["serial"]: u["unit"] for u in node.get("/units")}
    trace = node.get(f"/trace/{sorted(units)[0]}")
    place = tmp_path / "backup"
    node.command("backup", place, check=True)
    wait_until(lambda: count_points(node) > points + 100, "the node to go on meanwhile")
    assert node.command("backup", place).returncode == 1, "never over what is there"
    assert node.stop() == 0

    restored = tmp_path / "restored" / "data"
    restored.parent.mkdir()
    result = subprocess.run(
        [PROGRAM, "restore", place, "--data", restored], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    again = start_node(job_config(port), "restored")
    assert again.data == restored
    assert count_points(again) >= points
    assert units.items() <= {u["serial"]: u["unit"] for u in again.get("/units")}.items()
    assert again.get(f"/trace/{sorted(units)[0]}") == trace
    wait_until(lambda: len(again.get("/units")) > len(units) + 2, "the restored node to go on")
    serials = [u["serial"] for u in again.get("/units")]
    assert len(serials) == len(set(serials))


def test_restore_refuses_what_it_should(tmp_path, start_node):
    (tmp_path / "not_a_backup").mkdir()
    used = tmp_path / "used"
    used.mkdir()
    (used / "file").write_text("x")
    for source in (tmp_path / "not_a_backup", tmp_path / "nothing"):
        result = subprocess.run(
            [PROGRAM, "restore", source, "--data", tmp_path / "new"], capture_output=True, text=True
        )
        assert result.returncode == 1
        assert str(source) in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    node = start_node("name: line1\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n")
    place = tmp_path / "backup"
    node.command("backup", place, check=True)
    result = subprocess.run(
        [PROGRAM, "restore", place, "--data", used], capture_output=True, text=True
    )
    assert result.returncode == 1 and str(used) in result.stderr
    assert [p.name for p in used.iterdir()] == ["file"]


def test_backup_and_restore_need_the_parent_directory(tmp_path, start_node):
    node = start_node("name: line1\nlisten: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n")
    place, missing = tmp_path / "backup", tmp_path / "no" / "such"
    node.command("backup", place, check=True)
    for result in (
        node.command("backup", missing / "backup"),
        node.command("backup", f"{missing}/backup//"),
        subprocess.run(
            [PROGRAM, "restore", place, "--data", missing / "data"], capture_output=True, text=True
        ),
    ):
        assert result.returncode == 1, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert f"there is no directory {missing};" in result.stderr
        assert not missing.parent.exists()
    assert node.request("POST", "/api/v1/backup", {"dir": f"{missing}/backup"}).status == 400


def test_damaged_historian_says_what_to_do_and_is_filled_again(start_node, start_press):
    _, port = start_press("--speed", "2")
    node = start_node(job_config(port))
    wait_until(lambda: len(node.get("/units")) >= 2, "two units")
    first = node.sql("SELECT min(ts) AS ts FROM points")
    points = count_points(node)
    units = {u["serial"]: u["unit"] for u in node.get("/units")}
    assert node.kill() != 0
    database = node.data / "historian.duckdb"
    with database.open("r+b") as file:
        file.write(b"\0" * 12288)

    result = subprocess.run(
        [PROGRAM, "run", "-c", node.config, "--data", node.data], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for words in (str(database), "lotline restore", "move it away", "from what the journal"):
        assert words in result.stderr

    for name in ("historian.duckdb", "historian.duckdb.wal"):
        if (node.data / name).exists():
            (node.data / name).rename(node.folder / name)
    node.start()
    wait_until(lambda: count_points(node) >= points, "the points from the journal")
    assert node.sql("SELECT min(ts) AS ts FROM points") == first
    wait_until(
        lambda: units.items() <= {u["serial"]: u["unit"] for u in node.get("/units")}.items(),
        "the units from the journal",
    )


@pytest.mark.asan
def test_signals_end_it_cleanly(start_node, start_press):
    _, port = start_press()
    node = start_node(job_config(port))
    wait_until(lambda: node.tag("plc1.press.force")["quality"] == "good", "values")
    for number in (signal.SIGTERM, signal.SIGINT):
        node.child.send_signal(number)
        assert node.child.wait(20) == 0, node.output[-2000:]
        assert not (node.data / "run.json").exists()
        assert not (node.data / "lotline.sock").exists()
        node.start()


def test_nothing_stored_is_lost_by_a_restart(start_node, start_press):
    _, port = start_press()
    node = start_node(device_config(port))
    wait_until(lambda: count_points(node) > 50, "points")
    points = count_points(node)
    assert node.stop() == 0
    node.start()
    assert count_points(node) >= points


def test_tail_shows_rows_as_they_come(tmp_path, start_node, start_press, children):
    _, port = start_press()
    node = start_node(device_config(port))
    statement = 'SELECT force, position FROM "plc1.press" WHERE force >= 0'
    tail = Process(
        [PROGRAM, "tail", statement, "--json", "--data", node.data], tmp_path / "tail.txt"
    )
    children.append(tail)
    wait_until(lambda: tail.output.count("\n") >= 5, "five rows")
    for line in tail.output.splitlines()[:5]:
        assert set(json.loads(line)) >= {"force", "position"}
