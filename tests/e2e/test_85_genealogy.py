"""Genealogy of a past is the ledger's, unit by unit: support/genealogy.py says what is compared."""

import pytest

from support.genealogy import check_all
from support.past import told_past

FAULTS = (
    "faults:\n"
    "  - {fault: zone_drift, start: 0s, length: 60h, strength: 1.2}\n"
    "  - {fault: bad_reel_lot, start: 0s, length: 60h}\n"
)


def check_day(tmp_path, children, start_node, past, unread, seed, at_least):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(f"unread: {unread}\n{FAULTS}")
    node, ledger = told_past(tmp_path, children, start_node, past, scenario, seed)
    print(past, "unread", unread, "seed", seed)
    check_all(node, ledger, at_least)


def test_every_unit_is_told_as_the_ledger_says(tmp_path, children, start_node):
    least = {"panels": 80, "boards": 250, "repaired": 5, "failed tests": 5, "defects of panels": 10}
    check_day(tmp_path, children, start_node, "3h", 0.02, 3, least)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("unread", [0, 0.01])
def test_every_unit_of_a_day_is_told_as_the_ledger_says(
    tmp_path, children, start_node, unread, seed
):
    least = {"panels": 700, "boards": 2500, "repaired": 50, "failed tests": 50}
    check_day(tmp_path, children, start_node, "24h", unread, seed, least)
