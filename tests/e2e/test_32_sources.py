"""Streams that a node asks for: an HTTP API with lookups valid in time, CSV files in a folder.

The MES is Python's own HTTP server; the files are written as a machine writes them, in pieces.
"""

import http.server
import json
import random
import re
import subprocess
import threading
import time

import pytest

from conftest import PROGRAM, wait_until

LISTEN = "listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"
HEADER = "at,serial,feeder,offset\n"
TOKEN = "s3cret-of-the-mes"
NOW = "2026-01-01T00:00:00Z"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Mes:
    """Answers with what the test says; keeps what it was asked with."""

    def __init__(self):
        mes = self
        self.status = 200
        self.body = []
        self.headers = {}
        self.asked = 0
        self.posts = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mes.asked += 1
                mes.headers = dict(self.headers)
                body = mes.body if isinstance(mes.body, bytes) else json.dumps(mes.body).encode()
                self.send_response(mes.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mes.headers = dict(self.headers)
                if mes.status == 200:
                    mes.posts.append((self.path, json.loads(body)))
                self.send_response(mes.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/feeders"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kill(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mes(children):
    server = Mes()
    children.append(server)
    return server


def feeder(name, lot, begin, end=None):
    return {"feeder": name, "lot": lot, "from": begin, "to": end}


def config(folder, url=None, settle="200ms"):
    text = f"""\
name: line1
{LISTEN}streams:
  - name: insp
    source: file
    folder: {folder}
    settle: {settle}
    interval: 50ms
    time: at
    columns:
      - {{name: at, type: timestamp}}
      - {{name: serial}}
      - {{name: feeder}}
      - {{name: offset, type: double, uom: mm}}
"""
    if url:
        text += f"""\
  - name: feeders
    source: http
    url: "{url}"
    token: "${{env:MES_TOKEN}}"
    headers: {{X-Line: line1}}
    interval: 100ms
    rows: data.items
    lookup: true
    key: feeder
    from: from
    to: to
    columns: {{feeder: string, lot: string, from: timestamp, to: timestamp}}
rules:
  - name: insp_lot
    sql: SELECT serial, lookup('feeders', 'lot', feeder) AS lot FROM insp
    actions: [{{historian: {{}}}}]
"""
    return text


def texts(node, stream, tag):
    """The texts of a column, oldest first; nulls are missing."""
    rows = node.sql(
        "SELECT decode(p.b) AS v FROM points p JOIN tags t ON p.tag = t.id "
        f"WHERE t.stream = '{stream}' AND t.tag = '{tag}' AND p.b IS NOT NULL ORDER BY p.ts, v"
    )
    return [row["v"] for row in rows]


def alarms(node, name, state="raised"):
    return [a for a in node.get("/alarms") if a["name"] == name and a["state"] == state]


def put(folder, name, text):
    """As a careful writer: all of it, then its name."""
    path = folder / (name + ".part")
    path.write_text(text)
    path.rename(folder / name)


@pytest.mark.asan
def test_a_lookup_is_as_of_the_rows_time_and_outlives_its_source(start_node, tmp_path, mes):
    drop = tmp_path / "drop"
    drop.mkdir()
    mes.body = {
        "data": {
            "items": [
                feeder("f1", "A", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
                feeder("f1", "B", "2026-02-01T00:00:00Z"),
            ]
        }
    }
    node = start_node(config(drop, mes.url), environment={"MES_TOKEN": TOKEN})
    assert mes.headers["Authorization"] == f"Bearer {TOKEN}"
    assert mes.headers["X-Line"] == "line1"
    rows = [
        "2025-12-31T23:59:59Z,S0,f1,0\n",
        "2026-01-31T23:59:59Z,S1,f1,0\n",
        "2026-02-01T00:00:00Z,S2,f1,0\n",
        "2026-02-01T00:00:00Z,S3,f9,0\n",
    ]
    put(drop, "one.csv", HEADER + "".join(rows))
    wait_until(lambda: len(texts(node, "insp_lot", "serial")) == 4, "the first file's rows")
    assert texts(node, "insp_lot", "lot") == ["A", "B"]

    mes.status = 503
    raised = wait_until(lambda: alarms(node, "source.feeders"), "the alarm of a source that is down")
    text = raised[0]["text"]
    assert re.fullmatch(
        rf"the lookup feeders is down since {TIME}: status 503 from {mes.url}\. Meanwhile the 2 rows "
        rf"that it gave at {TIME} are used; .* the node goes on asking",
        text,
    ), text
    put(drop, "two.csv", HEADER + "2026-03-01T00:00:00Z,S4,f1,0\n")
    wait_until(lambda: texts(node, "insp_lot", "lot") == ["A", "B", "B"], "the table that was")

    mes.status = 200
    mes.body["data"]["items"][1]["to"] = "2026-04-01T00:00:00Z"
    mes.body["data"]["items"].append(feeder("f1", "C", "2026-04-01T00:00:00Z"))
    wait_until(lambda: alarms(node, "source.feeders", "cleared"), "the alarm to end")
    put(drop, "three.csv", HEADER + "2026-05-01T00:00:00Z,S5,f1,0\n")
    wait_until(lambda: texts(node, "insp_lot", "lot") == ["A", "B", "B", "C"], "the new table")
    assert len(alarms(node, "source.feeders", "cleared")) == 1
    assert TOKEN not in node.output


@pytest.mark.asan
def test_answers_that_are_not_understood_are_one_alarm(start_node, tmp_path, mes):
    mes.body = b"<html>sign in</html>"
    text = f"""\
name: line1
{LISTEN}streams:
  - {{name: orders, source: http, url: "{mes.url}", interval: 100ms}}
rules:
  - name: order
    sql: SELECT order_id, quantity * 2 AS q FROM orders
    actions: [{{historian: {{}}}}]
"""
    node = start_node(text)
    raised = wait_until(lambda: alarms(node, "source.orders"), "the alarm")
    assert "not JSON as expected" in raised[0]["text"] and mes.url in raised[0]["text"]
    mes.body = {"order_id": "O-1", "quantity": 21}
    wait_until(lambda: "O-1" in texts(node, "order", "order_id"), "the order")
    assert not alarms(node, "source.orders")


@pytest.mark.asan
def test_a_broken_line_is_one_alarm_and_half_a_line_waits(start_node, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    node = start_node(config(drop))
    growing = drop / "growing.csv"
    with open(growing, "w", buffering=1) as out:
        out.write(HEADER + "2026-01-01T00:00:00Z,S1,f1,0.5\n")
        out.write("2026-01-01T00:00:01Z,S2,f1,lots\n")
        out.write("2026-01-01T00:00:02Z,S3,f1\n")
        out.write('2026-01-01T00:00:03Z,"S4, with a comma",f1,1\n')
        out.write("2026-01-01T00:00:04Z,S5")
        out.flush()
        wait_until(lambda: texts(node, "insp", "serial") == ["S1", "S4, with a comma"], "two rows")
        raised = alarms(node, "source.insp.lines")
        assert [a["text"] for a in raised] == [
            f"{growing}, line 3: offset: 'lots' is no double; the line was left out, as were 1 "
            "more of this file"
        ]
        out.write(",f1,2\n2026-01-01T00:00:05Z,S6,f1,3\n")
    wait_until(lambda: texts(node, "insp", "serial")[2:] == ["S5", "S6"], "the rest")
    put(drop, "other.csv", "at,serial\n2026-01-02T00:00:00Z,S7\n")
    wait_until(
        lambda: "other.csv, line 1: there is no column feeder" in alarms(
            node, "source.insp.lines")[0]["text"],
        "the file without a column",
    )
    (drop / "other.csv").unlink()
    growing.unlink()
    wait_until(lambda: not alarms(node, "source.insp.lines"), "the alarm to go with the file")
    put(drop, "growing.csv", HEADER + "2026-01-03T00:00:00Z,S8,f1,0.5\n")
    wait_until(lambda: texts(node, "insp", "serial")[4:] == ["S8"], "a new file of an old name")


def hold_config(drop, url, more=""):
    return config(drop) + f"""\
rules:
  - name: hold
    sql: SELECT serial, offset FROM insp WHERE offset > 0.4
    actions: [{{http: {{url: "{url}", token: "${{env:MES_TOKEN}}"{more}}}}}]
"""


def told(mes):
    return [body["serial"] for path, body in mes.posts if path == "/holds"]


@pytest.mark.asan
def test_a_rule_tells_the_mes_in_its_order_also_after_kill_9(start_node, tmp_path, mes):
    drop = tmp_path / "drop"
    drop.mkdir()
    url = mes.url.replace("/feeders", "/holds")
    text = hold_config(drop, url, ", max_age: 0s")
    node = start_node(text, environment={"MES_TOKEN": TOKEN})
    put(drop, "one.csv", HEADER + f"{NOW},S1,f1,0.5\n{NOW},S2,f1,0.1\n")
    wait_until(lambda: told(mes) == ["S1"], "the hold")
    assert mes.posts == [("/holds", {"serial": "S1", "offset": 0.5})]
    assert mes.headers["Authorization"] == f"Bearer {TOKEN}"
    assert mes.headers["Content-Type"] == "application/json"
    first = mes.headers["Idempotency-Key"]
    assert first.startswith("line1/hold/0/")

    mes.status = 503
    put(drop, "two.csv", HEADER + "".join(f"{NOW},T{i},f1,0.5\n" for i in range(20)))
    raised = wait_until(lambda: alarms(node, "rule.hold.http"), "the alarm")
    assert re.fullmatch(
        rf"{url} is not told what rule hold has to say, since {TIME}: status 503 from {url}\. Nothing "
        r"is lost: it waits in the log and is sent when it gets through",
        raised[0]["text"],
    ), raised
    for _ in range(2):  # the second time with nothing new to read
        node.kill()
        node.start()
    assert told(mes) == ["S1"]
    mes.status = 200
    wait_until(lambda: len(told(mes)) == 21, "what has waited")
    wait_until(lambda: not alarms(node, "rule.hold.http"), "the alarm to end")
    assert told(mes) == ["S1"] + [f"T{i}" for i in range(20)]
    assert mes.headers["Idempotency-Key"] != first
    node.kill()
    node.start()
    put(drop, "three.csv", HEADER + f"{NOW},U1,f1,0.5\n")
    wait_until(lambda: told(mes)[21:] == ["U1"], "the last, and nothing twice")
    assert len(node.get("/alarms")) == 1


@pytest.mark.asan
def test_the_past_is_not_told_and_a_wrong_row_does_not_hold_up_others(start_node, tmp_path, mes):
    drop = tmp_path / "drop"
    drop.mkdir()
    url = mes.url.replace("/feeders", "/holds")
    node = start_node(hold_config(drop, url), environment={"MES_TOKEN": TOKEN})
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    mes.status = 422
    put(drop, "one.csv", HEADER + f"2026-01-01T00:00:00Z,OLD,f1,0.5\n{now},S1,f1,0.5\n")
    raised = wait_until(lambda: alarms(node, "rule.hold.http"), "the alarm")
    assert raised[0]["text"] == (
        f"{url} refuses what rule hold tells it: status 422 from {url}. That row is not sent again: "
        '{"serial":"S1","offset":0.5}'
    )
    mes.status = 200
    put(drop, "two.csv", HEADER + f"2026-01-01T00:00:00Z,OLD,f1,0.5\n{now},S2,f1,0.5\n")
    wait_until(lambda: told(mes) == ["S2"], "the next row")
    wait_until(lambda: not alarms(node, "rule.hold.http"), "the alarm to end")
    metrics = node.request("GET", "/metrics", token=False).body.decode()
    assert 'lotline_rule_http_old_total{rule="hold"} 2' in metrics
    assert 'lotline_rule_http_refused_total{rule="hold"} 1' in metrics
    assert 'lotline_rule_http_sent_total{rule="hold"} 1' in metrics


@pytest.mark.asan
def test_a_file_of_broken_lines_is_one_alarm_until_the_next_whole_file(start_node, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    node = start_node(config(drop))
    rows = [f"2026-01-01T00:00:00Z,S{i},f1,{'lots' if i else 1}\n" for i in range(1001)]
    put(drop, "bad.csv", HEADER + "".join(rows))
    raised = wait_until(lambda: alarms(node, "source.insp.lines"), "the alarm")
    assert raised[0]["text"] == (
        f"{drop}/bad.csv, line 3: offset: 'lots' is no double; the line was left out, as were 999 "
        "more of this file"
    )
    assert raised[0]["count"] == 1
    wait_until(lambda: texts(node, "insp", "serial") == ["S0"], "the good line")
    node.kill()
    node.start()
    assert len(alarms(node, "source.insp.lines")) == 1
    put(drop, "good.csv", HEADER + "2026-01-02T00:00:00Z,T1,f1,1\n")
    wait_until(lambda: alarms(node, "source.insp.lines", "cleared"), "the alarm to end")
    wait_until(lambda: texts(node, "insp", "serial") == ["S0", "T1"], "its row")
    assert [a["name"] for a in node.get("/alarms")] == ["source.insp.lines"]


@pytest.mark.asan
def test_a_lookup_is_kept_over_kill_9(start_node, tmp_path, mes):
    drop = tmp_path / "drop"
    drop.mkdir()
    mes.body = {"data": {"items": [feeder("f1", "A", "2026-01-01T00:00:00Z")]}}
    node = start_node(config(drop, mes.url), environment={"MES_TOKEN": TOKEN})
    mes.status = 503
    wait_until(lambda: alarms(node, "source.feeders"), "the alarm")
    node.kill()
    began = time.monotonic()
    node.start()
    assert time.monotonic() - began < 4, "the start waits for a lookup that it has"
    put(drop, "one.csv", HEADER + "2026-01-02T00:00:00Z,S1,f1,0\n2025-01-02T00:00:00Z,S2,f1,0\n")
    wait_until(lambda: len(texts(node, "insp_lot", "serial")) == 2, "the rows")
    assert texts(node, "insp_lot", "lot") == ["A"]
    assert len(alarms(node, "source.feeders")) == 1
    mes.status = 200
    wait_until(lambda: alarms(node, "source.feeders", "cleared"), "the alarm to end")
    assert "lots" not in node.output and len(node.get("/alarms")) == 1


def serials_count(node):
    """How many rows, how many different serials, the first and the last of them."""
    row = node.sql(
        "SELECT count(*) AS n, count(DISTINCT p.b) AS d, min(decode(p.b)) AS a, max(decode(p.b)) "
        "AS z FROM points p JOIN tags t ON p.tag = t.id "
        "WHERE t.stream = 'insp' AND t.tag = 'serial' AND p.b IS NOT NULL"
    )[0]
    return row["n"], row["d"], row["a"], row["z"]


def write_files(drop, stop, written):
    """Files of some hundred rows, written in pieces that end anywhere, until told to stop."""
    chance = random.Random(7)
    number = 0
    while not stop.is_set():
        rows = []
        for _ in range(chance.randrange(1, 400)):
            rows.append(f"{1767225600000 + number},U{number:07},f1,0\n")
            number += 1
        text = HEADER + "".join(rows)
        with open(drop / f"{number:07}.csv", "w") as out:
            while text:
                cut = chance.randrange(1, 4000)
                out.write(text[:cut])
                out.flush()
                text = text[cut:]
        written.append(number)
        stop.wait(0.02)


def test_kill_9_neither_loses_nor_repeats_a_row(start_node, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    node = start_node(config(drop, settle="0s"))
    stop = threading.Event()
    written = []
    writer = threading.Thread(target=write_files, args=(drop, stop, written))
    writer.start()
    chance = random.Random(11)
    try:
        for _ in range(8):
            time.sleep(chance.uniform(0.2, 0.9))
            node.kill()
            node.start()
    finally:
        stop.set()
        writer.join()
    total = written[-1]
    wait_until(lambda: serials_count(node)[0] >= total, f"{total} rows", 60)
    assert serials_count(node) == (total, total, "U0000000", f"U{total - 1:07}")
    node.stop()
    node.start()
    put(drop, "last.csv", HEADER + "2026-06-01T00:00:00Z,last,f1,0\n")
    wait_until(lambda: serials_count(node)[3] == "last", "the last row")
    assert serials_count(node)[:2] == (total + 1, total + 1)


MISTAKES = [
    ("source: ftp, url: x", "source: ftp: it is one of mqtt, http, file"),
    ("source: http", "url"),
    ("source: http, url: mes.example", "it begins with http:// or https://"),
    ("source: http, url: 'http://m/x', lookup: true, columns: {a: string}", "needs `key`"),
    ("source: http, url: 'http://m/x', lookup: true, key: b, columns: {a: string}",
     "there is no column b"),
    ("source: http, url: 'http://m/x', lookup: true, key: a, from: a, columns: {a: string}",
     "the column a must be a timestamp, it is a string"),
    ("source: file, folder: /x", "columns"),
    ("source: file, folder: /x, columns: {a: text}", "text is no type"),
]


@pytest.mark.parametrize("options,want", MISTAKES)
def test_check_says_what_is_wrong(tmp_path, options, want):
    path = tmp_path / "n.yaml"
    path.write_text(f"name: n\nstreams:\n  - {{name: s, {options}}}\n")
    result = subprocess.run([PROGRAM, "check", "-c", path], capture_output=True, text=True)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert want in said and "n.yaml:3:" in said, said
