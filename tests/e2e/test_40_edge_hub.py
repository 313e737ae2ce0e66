"""Edge and hub in two processes: nothing acknowledged is lost, nothing is there twice.

docs/durability.md says what is promised; support/plant.py is the plant and its two ledgers.
"""

import os
import re
import time

import pytest

from conftest import wait_until
from support.plant import Audit, Plant, check_audit_sees

SEED = int(os.environ.get("LOTLINE_SEED", "20240229"))
DROP_PUBACK = 0.03
POLLS_A_SECOND = 150


def check_work_was_done(plant):
    """A run in which nothing happened proves nothing."""
    assert len(plant.edge_records) > 20
    assert len(plant.publisher.acked) > 20
    assert sum(len(polls) for polls in plant.served_now().values()) > 500


def cut_and_restore(plant, seconds):
    plant.run_for_polls(3 * POLLS_A_SECOND)
    plant.proxy.cut()
    served = plant.counters.polls()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, "the cut", timeout_s=seconds + 30)
    assert plant.counters.polls() > served + seconds * POLLS_A_SECOND / 2, "polls went on"
    plant.read_edge_journal()  # before the hub has it and the edge forgets it
    behind = plant.edge.get("/uplink")["behind"]
    assert behind > seconds
    plant.proxy.restore()
    restored = time.monotonic()
    plant.run_for_polls(3 * POLLS_A_SECOND)
    plant.finish()
    plant.settle(90 + seconds / 2)
    check_work_was_done(plant)
    print(
        f"cut for {seconds} s: {behind} batches behind, all in the hub's historian "
        f"{time.monotonic() - restored:.0f} s after the link was back"
    )


def test_link_cut_for_twenty_seconds(tmp_path, children):
    cut_and_restore(Plant(tmp_path, children, SEED), 20)


@pytest.mark.long
def test_link_cut_for_an_hour(tmp_path, children):
    cut_and_restore(Plant(tmp_path, children, SEED, messages_a_second=5), 3600)


def kill_rounds(plant, rounds):
    """Each round: let it run for a random while, kill one of the two, start it again."""
    killed = {"edge": 0, "hub": 0}
    for i in range(rounds):
        plant.run_for_polls(plant.random.randint(POLLS_A_SECOND, 4 * POLLS_A_SECOND))
        # Both ends get their turn in every pair of rounds, in a random order.
        if i % 2 == 0:
            first = plant.random.choice(["edge", "hub"])
        victim = first if i % 2 == 0 else ({"edge", "hub"} - {first}).pop()
        killed[victim] += 1
        if victim == "edge":
            plant.kill_edge()
            plant.start_edge()
        else:
            plant.kill_hub()
            plant.run_for_polls(plant.random.randint(0, POLLS_A_SECOND))
            plant.start_hub()
    plant.run_for_polls(2 * POLLS_A_SECOND)
    plant.finish()
    plant.settle()
    check_work_was_done(plant)
    check_audit_sees(Audit(plant))
    assert plant.proxy.dropped > 0, "no PUBACK was dropped"
    print(
        f"{rounds} kills {killed}, {len(plant.edge_records)} batches, "
        f"{len(plant.publisher.acked)} of {len(plant.publisher.sent)} messages acknowledged, "
        f"{plant.proxy.dropped} of {plant.proxy.dropped + plant.proxy.passed} PUBACKs dropped, "
        f"{plant.proxy.connections} connections of the uplink"
    )


def test_kills_and_dropped_pubacks(tmp_path, children):
    kill_rounds(Plant(tmp_path, children, SEED, DROP_PUBACK), 4)


@pytest.mark.long
def test_twenty_kills_and_dropped_pubacks(tmp_path, children):
    kill_rounds(Plant(tmp_path, children, SEED + 1, DROP_PUBACK), 20)


def test_link_that_swallows_everything(tmp_path, children):
    """A cable pulled out behind a switch: no reset tells anybody, only keep-alive does."""
    plant = Plant(tmp_path, children, SEED)
    plant.run_for_polls(2 * POLLS_A_SECOND)
    plant.proxy.swallow()
    plant.run_for_polls(4 * POLLS_A_SECOND)
    plant.proxy.restore()
    plant.finish()
    plant.settle()
    check_work_was_done(plant)


# --------------------------------------------------------------------------------- a torn tail


def newest_segment(data):
    segments = sorted((data / "journal" / "streams").glob("*.seg"))
    return segments[-1]


def last_record_span(path):
    """Offset and size of the last record, found by its magic; the rest of the file is zeros."""
    content = path.read_bytes().rstrip(b"\0")
    at = content.rfind(b"LREC")
    assert at > 0
    return at, len(content) - at


def tear(path, how):
    at, size = last_record_span(path)
    with open(path, "r+b") as f:
        if how == "cut off":
            f.truncate(at + size // 2)
        else:
            f.seek(at + size // 2)
            f.write(bytes(b ^ 0xFF for b in path.read_bytes()[at + size // 2 : at + size]))
    return at


@pytest.mark.asan
@pytest.mark.parametrize("how", ["cut off", "garbled"])
def test_torn_tail_is_cut_and_reported(start_node, start_press, how):
    from support.press import edge_config
    from support.plant import journal_records

    _, port = start_press()
    node = start_node(edge_config(port))
    wait_until(lambda: len(journal_records(node.data)) > 20, "some records")
    node.kill()
    before = journal_records(node.data)
    path = newest_segment(node.data)
    tear(path, how)
    node.start()
    last = before[-1]["epoch"]

    def goes_on():
        after = journal_records(node.data)
        return after[-1]["epoch"] > last and after

    after = wait_until(goes_on, "new records")
    old = [r for r in after if r["epoch"] <= last]
    assert old == before[:-1], "all before the torn record is there, and only that"
    lost = before[-1]["bytes"]
    report = [line for line in node.output.splitlines() if "journal/streams" in line]
    cut = [int(n) for line in report for n in re.findall(r"(\d+) bytes cut", line)]
    assert cut and cut[0] > lost / 3, node.output[-2000:]


def test_a_refused_edge_says_which_key_to_mend(start_node):
    listen = "listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}\n"
    hub = start_node(f"name: hub\n{listen}", name="hub")
    edge = start_node(
        f"name: edge\n{listen}uplink: {{to: mqtt://{hub.ports['mqtt']}, password: wrong}}\n",
        name="edge",
    )
    wait_until(lambda: "uplink.password" in edge.output, "the edge to say it")
    assert "bad user name or password" in edge.output
