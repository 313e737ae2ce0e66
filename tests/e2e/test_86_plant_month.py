"""A plant month at once: told and stored within minutes, in memory that does not grow with it, and
one of its boards traced within milliseconds while the plant works on.

What is measured is printed, a JSON object a line, as the benchmarks do.
"""

import http.client
import json
import random
import re
import threading
import time

import pytest

from conftest import Node, end_all, free_port, wait_until
from support.smt import SCENARIOS, Line

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(2400)]

PAST = "30d"
DAY_US = 86400 * 1_000_000
BOARDS_MIN = 90_000
STORED_S = 300  # from the first row told to the last one stored
DISK_MB = 2048  # everything the node has on disk
# The node while it is told a month. Half of it may be the database (historian.memory), and that is
# taken in the first days; after the EARLY_DAYS nothing may grow by more than GROWTH_MB.
MEMORY_MB = 400
EARLY_DAYS = 5
GROWTH_MB = 64
PLANT_GROWTH_MB = 16
QUESTIONS = 10_000
CONNECTIONS = 4
QUESTIONS_BESIDE = 2_000  # with CONNECTIONS at a time
P99_MS = 50
LIVE_SPEED = 20
SAMPLE_S = 0.5
SEED = 86


def tell(case, **figures):
    print(json.dumps({"bench": "plant_month", "case": case, **figures}))


def resident_mb(process):
    try:
        with open(f"/proc/{process.child.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0


def disk_mb(folder):
    return sum(f.stat().st_blocks for f in folder.rglob("*") if f.is_file()) * 512 / 1e6


def metrics(node):
    """{name or name{labels}: number}"""
    text = node.request("GET", "/metrics").body.decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class Month:
    """A node that is told the plant's past, and what it weighed meanwhile."""

    def __init__(self, folder):
        mqtt = free_port()
        token = folder / "node" / "data" / "admin.token"
        self.began = time.monotonic()
        self.line = Line(
            folder,
            *("--backfill", PAST, "--rate", 1, "--mqtt", f"127.0.0.1:{mqtt}", "--wait-mes", 3),
            *("--seed", SEED, "--token-file", token, "--speed", LIVE_SPEED),
            *("--scenario", SCENARIOS / "several.yaml"),
        )
        listen = f"listen: {{mqtt: 127.0.0.1:{mqtt}, http: 127.0.0.1:0}}\n"
        self.node = Node(folder, self.line.config(listen=listen))
        self.first_us = None
        self.samples = []  # [(plant's day, node MB, plant MB)]

    def _day(self):
        """The plant's day that is being told, from the last line of its ledger."""
        with open(self.line.ledger_file, "rb") as f:
            if not self.first_us:
                first = f.readline()
                if not first.endswith(b"\n"):
                    return 0
                self.first_us = json.loads(first)["t"]
            f.seek(0, 2)
            f.seek(max(0, f.tell() - 65536))
            times = re.findall(rb'"t":(\d+),', f.read())
        return (int(times[-1]) - self.first_us) / DAY_US if times else 0

    def run(self):
        """Until all of it is told and stored; what the node weighs is noted."""
        while "the past is told" not in self.line.output:
            assert self.line.alive() and self.node.alive(), self.line.output
            assert time.monotonic() - self.began < 4 * STORED_S, "the past is not told"
            if self.line.ledger_file.exists():
                self.samples.append(
                    (self._day(), resident_mb(self.node), resident_mb(self.line))
                )
            time.sleep(SAMPLE_S)  # between two samples, not for a condition
        self.told_s = time.monotonic() - self.began
        self.boards_told = [
            serial for serial, row in self.line.ledger().items() if row["kind"] == "board"
        ]
        wait_until(self._stored, "all to be stored", timeout_s=4 * STORED_S)
        self.stored_s = time.monotonic() - self.began

    def _stored(self):
        """Every board but the last ones has the step that was done last to it, and its link."""
        rows = self.node.sql(
            "SELECT (SELECT count(DISTINCT serial) FROM units WHERE station = 'ict') AS tested,"
            " (SELECT count(DISTINCT child) FROM links WHERE kind = 'split') AS linked"
        )[0]
        return min(rows["tested"], rows["linked"]) >= 0.999 * len(self.boards_told) and rows

    def largest_mb(self, column, from_day, to_day):
        return max(s[column] for s in self.samples if from_day <= s[0] <= to_day)


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    m = Month(tmp_path_factory.mktemp("month"))
    yield m
    end_all([m.line, m.node])


def test_a_month_is_told_and_stored_within_minutes(month):
    month.run()
    sizes = {
        table: month.node.sql(f"SELECT count(*) AS n FROM {table}")[0]["n"]
        for table in ["units", "steps", "measures", "factors", "links", "defects", "points"]
    }
    index = month.node.sql(
        "SELECT (SELECT sum(entries) FROM trace_runs) + (SELECT count(*) FROM trace_tail) AS n"
    )[0]["n"]
    disk = disk_mb(month.node.data)
    boards = len(month.boards_told)
    tell("told and stored", told_s=round(month.told_s, 1), stored_s=round(month.stored_s, 1),
         limit_s=STORED_S, boards=boards, disk_mb=round(disk), limit_mb=DISK_MB,
         index_entries_a_board=round(index / boards, 1), **sizes)
    assert boards >= BOARDS_MIN
    assert sizes["measures"] > boards and sizes["factors"] > boards and sizes["defects"] > 0
    late = {rule["name"]: rule["rows_late"] for rule in month.node.get("/rules") if rule["rows_late"]}
    assert late == {}, "units whose values were let go before the track told of them"
    assert month.stored_s <= STORED_S
    assert disk <= DISK_MB


def test_its_memory_does_not_grow_with_the_month(month):
    early = month.largest_mb(1, 1, EARLY_DAYS)
    late = month.largest_mb(1, EARLY_DAYS, 31)
    plant_early = month.largest_mb(2, 1, EARLY_DAYS)
    plant_late = month.largest_mb(2, EARLY_DAYS, 31)
    by_day = [round(month.largest_mb(1, day, day + 1)) for day in range(0, 29, 4)]
    tell("memory", early_mb=round(early), late_mb=round(late), growth_limit_mb=GROWTH_MB,
         limit_mb=MEMORY_MB, every_4_days_mb=by_day, plant_mb=round(plant_late, 1))
    assert late <= early + GROWTH_MB
    assert late <= MEMORY_MB
    assert plant_late <= plant_early + PLANT_GROWTH_MB


class Asker:
    """Traces boards as the console does, over one connection that is kept."""

    def __init__(self, node, serials):
        self.node = node
        self.serials = serials
        self.ms = []
        self.bytes = 0
        self.failed = None

    def run(self):
        host, port = self.node.ports["http"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"Authorization": f"Bearer {self.node.token}"}
        for serial in self.serials:
            began = time.perf_counter()
            connection.request("GET", f"/api/v1/trace/{serial}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            self.ms.append((time.perf_counter() - began) * 1000)
            self.bytes += len(body)
            if answer.status != 200 or b'"truncated":true' in body:
                self.failed = (serial, answer.status, body[:500])
                return
        connection.close()


def quantile(sorted_ms, part):
    return round(sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * part))], 2)


def ask(node, serials, connections):
    """[milliseconds] as the client saw them, sorted, and the bytes of all answers."""
    askers = [Asker(node, serials[i::connections]) for i in range(connections)]
    threads = [threading.Thread(target=a.run) for a in askers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a in askers:
        assert a.failed is None, a.failed
    return sorted(ms for a in askers for ms in a.ms), sum(a.bytes for a in askers)


def server_counts(node):
    """[(upper bound in ms, how many traces took no longer in the server)]"""
    bucket = re.compile(r'lotline_rest_seconds_bucket\{call="trace.unit",le="([^"]+)"\}')
    found = ((bucket.match(name), value) for name, value in metrics(node).items())
    return [(float(m.group(1)) * 1000, value) for m, value in found if m]


def server_quantile(counts, part):
    """Straight between the bounds of the bucket it lies in."""
    wanted = counts[-1][1] * part
    low_ms, low = 0, 0
    for bound_ms, count in counts:
        if count >= wanted and bound_ms != float("inf"):
            return round(low_ms + (bound_ms - low_ms) * (wanted - low) / max(count - low, 1), 1)
        low_ms, low = bound_ms, count
    return float("inf")


def test_a_board_of_the_month_is_traced_while_the_plant_works_on(month):
    node = month.node
    assert node.stop(patience_s=120) == 0
    node.start()
    wait_until(lambda: node.get("/devices") and all(
        d["state"] == "online" for d in node.get("/devices")), "the machines to be polled")
    serials = random.Random(SEED).sample(month.boards_told, QUESTIONS)
    before = metrics(node)
    units = node.sql("SELECT count(*) AS n FROM units")[0]["n"]
    began = time.monotonic()
    ms, size = ask(node, serials, 1)
    asked_s = time.monotonic() - began
    after = metrics(node)
    counts = server_counts(node)
    within = next(count for bound, count in counts if round(bound) == P99_MS)
    tell("trace, one connection", questions=len(ms), server_p50_ms=server_quantile(counts, 0.5),
         server_p99_ms=server_quantile(counts, 0.99), server_within_50_ms=within / counts[-1][1],
         client_p50_ms=quantile(ms, 0.5), client_p99_ms=quantile(ms, 0.99),
         client_max_ms=quantile(ms, 1), answer_bytes=size // len(ms), memory_mb=round(
             resident_mb(node)))
    assert counts[-1][1] == QUESTIONS
    assert within >= 0.99 * QUESTIONS, counts

    # The plant was polled, tracked, stored and traced meanwhile.
    points = after["lotline_historian_points_total"] - before["lotline_historian_points_total"]
    new_units = node.sql("SELECT count(*) AS n FROM units")[0]["n"] - units
    tell("ingest beside it", seconds=round(asked_s, 1), points_a_s=round(points / asked_s),
         units=new_units)
    assert points / asked_s > 500 and new_units > asked_s * LIVE_SPEED / 100

    beside, _ = ask(node, random.Random(SEED + 1).sample(month.boards_told, QUESTIONS_BESIDE),
                    CONNECTIONS)
    tell(f"trace, {CONNECTIONS} connections", questions=len(beside),
         client_p50_ms=quantile(beside, 0.5), client_p99_ms=quantile(beside, 0.99),
         client_max_ms=quantile(beside, 1))
    assert resident_mb(node) <= MEMORY_MB
