"""The plant's past, told afterwards: the same broker, streams and tracks make its history."""

import subprocess

from conftest import PROGRAM, free_port, wait_until
from support.smt import LISTEN, SCENARIOS, Line, printed_config, visits

PAST = "4h"
ROW_US = 1_000_000  # a row a second
SLACK_US = 100_000
STATIONS = ["printer", "spi", "placer_a", "placer_b", "reflow", "aoi", "depanel", "ict", "rework"]


def told_steps(node):
    rows = node.sql(
        "SELECT s.station, u.serial, s.status, epoch_us(s.t_in) AS t_in, epoch_us(s.t_out) AS t_out"
        " FROM steps s JOIN units u ON s.unit = u.unit ORDER BY 4"
    )
    return {(row["station"], row["serial"], row["t_in"] // 60_000_000): row for row in rows}, rows


def test_the_past_is_traced_as_the_ledger_says(tmp_path, children, start_node):
    port = free_port() % 20000 + 20000  # the others follow
    node = start_node(f"name: line1\n{LISTEN}{printed_config(port)}")
    host, mqtt = node.mqtt()
    options = ["--backfill", PAST, "--mqtt", f"{host}:{mqtt}", "--token-file"]
    line = Line(tmp_path, *options, node.data / "admin.token", "--scenario",
                SCENARIOS / "zone_drift.yaml")
    children.append(line)
    wait_until(lambda: "the past is told" in line.output, "the past", timeout_s=120)
    assert line.stop() == 0, line.output
    ledger = line.ledger()
    want = {station: visits(ledger, station) for station in STATIONS}
    total = sum(map(len, want.values()))

    def stored():
        return node.sql("SELECT count(*) AS n FROM steps")[0]["n"] >= total - 12

    wait_until(stored, f"about {total} steps", timeout_s=60)
    _, rows = told_steps(node)
    for station, truth in want.items():
        told = [row for row in rows if row["station"] == station]
        by_serial = {}
        for row in told:
            by_serial.setdefault(row["serial"], []).append(row)
        missing = [v for v in truth if v[2] not in by_serial]
        # What ended just now may still be on its way.
        assert len(missing) <= 2, (station, missing)
        for t_in, t_out, serial, _ in truth:
            near = [
                row
                for row in by_serial.get(serial, [])
                if abs(row["t_in"] - t_in) <= ROW_US + SLACK_US
                and abs(row["t_out"] - t_out) <= ROW_US + SLACK_US
            ]
            assert len(near) == 1 or (serial, t_in) in [(m[2], m[0]) for m in missing], (
                station, serial, t_in, t_out, by_serial.get(serial),
            )
            assert all(row["status"] == "exact" for row in near), near
    print({station: len(truth) for station, truth in want.items()})
    assert len(want["ict"]) > 400


def test_a_past_without_a_token_is_refused_and_said(tmp_path, start_node):
    node = start_node(f"name: line1\n{LISTEN}{printed_config(5030)}")
    host, mqtt = node.mqtt()
    nobody = tmp_path / "token"
    nobody.write_text("not the token\n")
    result = subprocess.run(
        [PROGRAM, "sim", "plant", "--port", "0", "--backfill", "1h", "--live", "no", "--mqtt",
         f"{host}:{mqtt}", "--token-file", nobody],
        capture_output=True, text=True, timeout=60,
    )
    assert result.returncode == 1
    assert "the broker refused" in result.stderr
