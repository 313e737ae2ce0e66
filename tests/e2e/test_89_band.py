"""A panel's curve through the oven against the good panels' band: one that got cold solder because
zone 5 had drifted leaves it there, and a good one does not."""

import time

from conftest import wait_until
from test_81_plant_past import told_past

ZONE5 = (1800, 2175)  # mm, of which the middle is all its own
SECONDS_MAX = 2.0  # of one question; a half is usual


def outside(answer, at):
    """How many of the curve's places within `at` lie beyond the band, below."""
    band = {place: low for place, low, _, _ in answer["band"]}
    return [v < band[mm] for mm, v in answer["curve"] if at[0] <= mm < at[1] and mm in band]


def test_cold_solder_leaves_the_band_in_its_zone(tmp_path, children, start_node):
    node, ledger = told_past(tmp_path, children, start_node, "10h", "zone_drift", "5")
    panels = [row for row in ledger.values() if row["status"] == "split"]
    cold = [
        row["serial"]
        for row in panels
        if any(d["defect"] == "cold_solder" and d["cause"] != "chance" for d in row["defects"])
    ]
    clean = [row["serial"] for row in panels if not row["defects"]]
    assert cold and clean
    steps = "SELECT count(*) AS n FROM steps WHERE station = 'ict'"
    boards = sum(1 for row in ledger.values() if row["kind"] == "board")
    wait_until(lambda: node.sql(steps)[0]["n"] > 0.9 * boards, "the boards", timeout_s=60)

    began = time.monotonic()
    bad = node.get(f"/trace/{cold[len(cold) // 2]}/band?station=reflow")
    assert time.monotonic() - began < SECONDS_MAX
    assert bad["axis"] == "mm" and bad["uom"] == "°C" and bad["units"] >= 100
    assert [s["signal"][-5:] for s in bad["signals"]] == [f"zone{n}" for n in range(1, 9)]
    there = outside(bad, ZONE5)
    assert len(there) > 10 and sum(there) > 0.8 * len(there), there

    good = node.get(f"/trace/{clean[len(clean) // 4]}/band?station=reflow")
    assert sum(outside(good, ZONE5)) < 0.5 * len(outside(good, ZONE5))
    over_time = node.get(f"/trace/{clean[0]}/band?station=reflow&signal=oven.belt.zone5")
    assert over_time["axis"] == "s" and len(over_time["curve"]) > 100
