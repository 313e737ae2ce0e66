"""What a node weighs at rest: VmRSS less mapped journal pages, ten seconds after its start.

A measurement, not a gate of its own kind: run by `./check --bench`, on the release build; the
figures stand in docs/benchmarks.md.
"""

import json
import time

import pytest

from conftest import wait_until

AT_REST_S = 10
ALL_MODULES_MB = 80
EDGE_MB = 15


def tags(count):
    lines = "\n".join(
        f'          - {{name: t{i}, address: "1!4{2 * i + 1:05d}", type: uint32}}'
        for i in range(count)
    )
    return f"""devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:PORT
    place: plant1/line1/press
    groups:
      - name: g
        interval: 100ms
        tags:
{lines}
"""


EDGE = """name: edge1
modules: [gateway, stream, broker, alarm, api]
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
uplink: {to: "mqtt://127.0.0.1:1"}
"""
ALL = """name: node1
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
"""


def resident_kb(pid):
    """VmRSS, and the part of it that is mapped journal (keyed state) pages."""
    rss = journal = 0
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                rss = int(line.split()[1])
    path = ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            fields = line.split()
            if not fields[0].endswith(":"):
                path = fields[5] if len(fields) > 5 else ""
            elif fields[0] == "Rss:" and "/journal/" in path:
                journal += int(fields[1])
    return rss, journal


@pytest.mark.bench
@pytest.mark.parametrize(
    "what, config, limit_mb", [("edge", EDGE, EDGE_MB), ("all modules", ALL, ALL_MODULES_MB)]
)
def test_footprint(start_node, start_press, what, config, limit_mb):
    _, port = start_press("--registers", "2000")
    node = start_node(config + tags(1000).replace("PORT", str(port)))
    began = time.monotonic()
    wait_until(lambda: node.tag("plc1.g.t999")["quality"] == "good", "values")
    wait_until(lambda: time.monotonic() - began > AT_REST_S, "rest", timeout_s=AT_REST_S + 5)
    rss, journal = resident_kb(node.child.pid)
    figure = {
        "bench": "footprint",
        "case": f"{what}, 1,000 tags at 100 ms, VmRSS less mapped journal pages",
        "value": round((rss - journal) / 1024, 1),
        "unit": "MB",
        "limit": limit_mb,
        "mapped_journal_mb": round(journal / 1024, 2),
    }
    print(json.dumps(figure))
    assert figure["value"] <= limit_mb
