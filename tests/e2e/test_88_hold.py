"""Verdicts and holds go back to the MES: once each, over an MES that is down and over kill -9, and the
line takes a unit that is held out before its next station."""

import collections
import csv
import json
import re

from conftest import wait_until
from support.relay import Relay
from support.smt import Line

SCENARIO = "speed: 25\nseed: 5\ndefect_rate: 0.06\n"
TELLS = {"spi": "inspection", "aoi": "inspection", "ict": "resistance", "rework": "repair"}


def found(line):
    """[(station, serial, result, defect, refdes)] of all findings in the files, sorted."""
    rows = []
    for station, test in TELLS.items():
        for path in (line.files / station).glob("*.csv"):
            text = path.read_text().rpartition("\n")[0].splitlines()
            rows += [
                (station, r["serial"], r["result"], r["defect"], r["refdes"])
                for r in csv.DictReader(text)
                if r["test"] == test
            ]
    return sorted(rows)


def told(relay, path):
    """{key: body} of what came; the same key with another body fails."""
    answers = {}
    for at, headers, body in list(relay.posts):
        if at == path:
            key = headers["Idempotency-Key"]
            assert answers.setdefault(key, body) == body
    return {key: json.loads(body) for key, body in answers.items()}


def verdicts(relay):
    return sorted(
        (v["station"], v["serial"], v["result"], v.get("defect", ""), v.get("refdes", ""))
        for v in told(relay, "/verdicts").values()
    )


def each_once(relay, line, seen):
    """All that was seen is told, and nothing that was not found. The line goes on meanwhile, since
    its MES does: what is told is read first."""
    told = collections.Counter(verdicts(relay))
    lacking, beyond = collections.Counter(seen) - told, told - collections.Counter(found(line))
    if lacking or beyond:
        raise ValueError(f"lacking: {lacking}, beyond: {beyond}")
    return True


def held(relay):
    return sorted(v["serial"] for v in told(relay, "/holds").values())


def misprinted(line):
    return sorted({serial for station, serial, result, *_ in found(line)
                   if station == "spi" and result == "fail"})


def taken_out(line):
    return sorted(s for s, row in line.ledger().items() if row["status"] == "held")


def raised(node):
    return [a["name"] for a in node.get("/alarms") if a["state"] == "raised"]


def test_verdicts_and_holds_reach_the_mes_once_and_the_unit_is_taken_out(
    tmp_path, start_node, children
):
    scenario = tmp_path / "misprints.yaml"
    scenario.write_text(SCENARIO)
    line = Line(tmp_path, "--scenario", scenario)
    relay = Relay(line.mes)
    children += [line, relay]
    text = line.config()
    assert re.search(rf'http: {{url: "http://{line.mes}/holds"', text)
    node = start_node(text.replace(line.mes, f"127.0.0.1:{relay.port}"))

    wait_until(lambda: taken_out(line), "a unit that is taken out")
    first = taken_out(line)[0]
    stations = [step["station"] for step in line.ledger()[first]["steps"]]
    assert stations[:2] == ["printer", "spi"] and "depanel" not in stations, stations
    verdict = wait_until(
        lambda: [u["verdict"] for u in node.get("/units?verdict=bad") if u["serial"] == first],
        "its verdict in the trace",
    )
    assert verdict == ["fail"]

    # The MES takes no holds, and verdicts reach it but their answers do not; then the node is killed.
    relay.trouble = {"/holds": "status", "/verdicts": "lost"}
    wait_until(lambda: "rule.spi_hold.http" in raised(node), "the alarm of the hold")
    wait_until(lambda: "rule.spi_verdict.http" in raised(node), "the alarm of a verdict")
    wait_until(lambda: len(misprinted(line)) > len(held(relay)) + 1, "two holds that wait")
    assert all(name.startswith("rule.") for name in raised(node)), raised(node)
    node.kill()
    node.start()
    relay.trouble = {}

    wait_until(lambda: set(misprinted(line)) <= set(held(relay)), "all holds", 60)
    wait_until(lambda: not raised(node), "the alarms to end", 60)
    seen = found(line)
    wait_until(lambda: each_once(relay, line, seen), "all verdicts, each once", 60)
    line.stop()
    assert set(held(relay)) <= set(misprinted(line)), "a unit is held that is good"
    assert len(held(relay)) == len(set(held(relay))), "each unit is held once"
    assert set(taken_out(line)) <= set(held(relay))
    assert len(relay.posts) > len(told(relay, "/holds")) + len(seen), "nothing was repeated"
