"""A full disk, at the edge and at the hub in turn: polls are skipped and counted, PUBACKs held, an
alarm is raised, and all of it ends by itself when there is space again. Nothing acknowledged is
lost.
"""

import os

import pytest

from conftest import wait_until
from support.plant import Plant
from support.publisher import IN_FLIGHT_MAX
from support.small_disk import namespaces_are_allowed

SEED = int(os.environ.get("LOTLINE_SEED", "20240229"))
POLLS_A_SECOND = 150
JOURNAL = "segment: 256K, waiting: 128K"

pytestmark = pytest.mark.skipif(
    not namespaces_are_allowed(), reason="unshare -rm (user and mount namespaces) is not permitted"
)


def active_alarms(node):
    return {alarm["name"] for alarm in node.get("/alarms") if not alarm.get("cleared_at")}


def acked_grows(plant, count):
    before = len(plant.publisher.acked)
    wait_until(lambda: len(plant.publisher.acked) >= before + count, "messages to be acknowledged")


def held(plant):
    """No message is acknowledged while 20 polls are skipped. (At first a small message may still
    fit where a batch of a thousand values does not.)"""
    seen = {"acked": -1, "skipped": 0}

    def condition():
        acked, skipped = len(plant.publisher.acked), plant.skipped()
        if acked != seen["acked"]:
            seen.update(acked=acked, skipped=skipped)
        window_is_full = len(plant.publisher.in_flight) == IN_FLIGHT_MAX
        return window_is_full and skipped > seen["skipped"] + 20

    return condition


def finish(plant):
    plant.finish()
    plant.settle()
    assert len(plant.publisher.acked) > 20


def test_full_disk_at_the_edge(tmp_path, children):
    plant = Plant(tmp_path, children, SEED, disks={"edge": "48m"}, journal=JOURNAL)
    plant.run_for_polls(2 * POLLS_A_SECOND)
    acked_grows(plant, 10)
    # With a link the edge would make room by itself: it forgets what the hub has.
    plant.proxy.cut()
    plant.edge.fill()
    wait_until(lambda: "journal" in active_alarms(plant.edge), "the alarm of the full disk")
    skipped = plant.skipped()
    wait_until(lambda: plant.skipped() > skipped, "polls to be skipped")
    wait_until(held(plant), "messages to be held while polls are skipped")
    assert plant.edge.request("GET", "/health", token=False).json["status"] == "degraded"

    plant.edge.free()
    plant.proxy.restore()
    wait_until(lambda: "journal" not in active_alarms(plant.edge), "the alarm to clear")
    acked_grows(plant, 2 * IN_FLIGHT_MAX)
    skipped = plant.skipped()
    plant.run_for_polls(2 * POLLS_A_SECOND)
    assert plant.skipped() - skipped < 5, "polls go on"
    finish(plant)


def test_full_disk_at_the_hub(tmp_path, children):
    plant = Plant(tmp_path, children, SEED, disks={"hub": "192m"}, journal=JOURNAL)
    plant.run_for_polls(2 * POLLS_A_SECOND)
    acked_grows(plant, 10)
    plant.hub.fill()
    wait_until(lambda: "journal" in active_alarms(plant.hub), "the alarm of the full disk")
    acked = plant.proxy.passed
    plant.run_for_polls(3 * POLLS_A_SECOND)
    assert plant.proxy.passed - acked < POLLS_A_SECOND, "the hub acknowledged without a disk"
    assert plant.hub.alive()

    plant.hub.free()
    wait_until(lambda: "journal" not in active_alarms(plant.hub), "the alarm to clear")
    finish(plant)


@pytest.mark.parametrize("who", ["edge", "hub"])
def test_a_node_with_a_full_disk_ends_when_asked(tmp_path, children, who):
    plant = Plant(tmp_path, children, SEED, disks={who: "192m"}, journal=JOURNAL)
    plant.run_for_polls(POLLS_A_SECOND)
    acked_grows(plant, 10)
    node = getattr(plant, who)
    node.fill()
    wait_until(lambda: "journal" in active_alarms(node), "the alarm of the full disk")
    plant.run_for_polls(POLLS_A_SECOND)
    assert node.stop() == 0
