"""Readings of the plant's oven, bound to the panels on its belt, against where the ledger says that
the panels truly were: with stops, ramps and reversals, and beside them a tracker that holds the
belt for a clock.

A zone's reading belongs to who is in the zone. What the track says of that is the path in its
presences, by which unit windows bind, and which a rule publishes here.
"""

import base64
import json

from support.belt import PATHS_RULE, ROUGH, ZONES, Way, decode_path, zone_of
from support.mqtt import Party
from support.smt import Line, readings

SPEED = 20
PANELS = 8


def inside(ways, zone, us):
    return {serial for serial, way in ways.items() if zone_of(way.at(us)) == zone}


def clockwork(ways, speeds):
    """Who holds the belt for a clock: the same pulse at the entry, and the usual speed."""
    usual = sorted(v for _, v in speeds)[len(speeds) // 2]
    return {
        serial: Way([(way.times[0], 0.0), (way.times[0] + round(3600 / usual * 1e6), 3600.0)])
        for serial, way in ways.items()
    }


def share_right(told, true, times):
    """(share bound right, share of readings near an edge, what was wrong)"""
    right = near = 0
    wrong = []
    for zone, moments in enumerate(times):
        for us in moments:
            truth, said = inside(true, zone, us), inside(told, zone, us)
            if any(way.is_near(edge, us) for way in true.values() for edge in ZONES[zone]):
                near += 1
            elif truth == said:
                right += 1
            else:
                wrong.append((zone + 1, us, truth, said))
    return right / (right + len(wrong)), near / (right + len(wrong) + near), wrong


def run_plant(tmp_path, children, start_node):
    """(ways by the track, ways by the ledger, node) of the panels that went over the whole belt."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(ROUGH)
    line = Line(
        tmp_path, "--speed", SPEED, "--scenario", scenario, "--seed", "5", "--interval", "20ms"
    )
    children.append(line)
    node = start_node(line.config().replace("\nrules:\n", PATHS_RULE, 1))
    told = {}
    with Party(node) as party:
        party.subscribe("paths", qos=1)
        while len(told) < PANELS:
            row = json.loads(party.next(timeout_s=90).payload)
            if "entry=edge exit=edge" in row["evidence"]:
                told[row["serial"]] = Way(decode_path(base64.b64decode(row["path"]["$bytes"])))
    assert line.stop() == 0, line.output
    true = {
        serial: Way(row["belt"]["path"])
        for serial, row in line.ledger().items()
        if row.get("belt", {}).get("path")
    }
    return {serial: way for serial, way in told.items() if serial in true}, true, node


def test_readings_are_bound_to_the_panel_that_was_there(tmp_path, children, start_node):
    told, true, node = run_plant(tmp_path, children, start_node)
    first = min(way.times[0] for way in told.values())
    last = max(way.times[-1] for way in told.values())
    speeds = [(us, v) for us, v in readings(node, "oven", "speed") if first <= us <= last]
    # Panels that were on the belt before the node, or still are, are not asked for.
    others = {serial: way for serial, way in true.items() if serial not in told}
    times = [
        [
            us
            for us, _ in readings(node, "oven", f"zone{zone + 1}")
            if first <= us <= last and not inside(others, zone, us)
        ]
        for zone in range(len(ZONES))
    ]
    count = sum(map(len, times))
    assert count > 10000 and len(told) >= PANELS - 2 and min(v for _, v in speeds) < 0
    share, near, wrong = share_right(told, true, times)
    clock, _, _ = share_right(clockwork(told, speeds), true, times)
    print(f"{count} readings of {len(told)} panels, {near:.1%} near an edge")
    print(f"bound right: {share:.3%} by distance, {clock:.1%} by the clock; wrong: {wrong[:5]}")
    assert near <= 0.05
    assert share >= 0.999
    assert clock < 0.95
