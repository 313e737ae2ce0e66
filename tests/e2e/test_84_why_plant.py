"""The causes of a whole plant's defects, against its ledger: the true one is on top whichever fault
there is, none is called one where there is no fault, and no name matters.

Each past is two days of the plant: about 1,600 panels, 6,500 boards, some 50 factors. The ledger
says which fault made which defect, and on which panels; what these had in common is the cause that
must be found. `./check --long` runs the whole matrix and prints it.
"""

import collections
import contextlib
import json
import re
import shutil

import pytest

from conftest import Node, end_all
from support.past import told_past, wait_for_all

FAULT_OF = {
    "offset_print": "operator_setup",
    "misplacement": "nozzle_wear",
    "tombstone": "bad_reel_lot",
    "cold_solder": "zone_drift",
    "bridging": "old_paste",
    "solder_balls": "humidity",
}
DEFECT_OF = {fault: defect for defect, fault in FAULT_OF.items()}
SEEDS = (1, 2, 3)
NONE_SEEDS = range(1, 11)
DAY = "--panels", 720  # all of them are through before a day is over

# Two faults that begin and end otherwise than ours, weaker ones, on a line that drifts twice as much.
UNSEEN = """\
drift: 2
noise: 1.3
defect_rate: 0.005
order: 35
rota: 90m
unread: 0.01
stops: {per_hour: 1, length: 20s}
faults:
  - {fault: humidity, start: 20h, length: 17h, strength: 0.8}
  - {fault: old_paste, start: 2h, length: 25h, strength: 0.9}
"""


@contextlib.contextmanager
def past(folder, scenario, seed, *options, length="2d"):
    """(node, ledger, plant) of a past that is stored to the last row; nothing is left of it."""
    children = []
    folder.mkdir()

    def start_node(config, name="node"):
        children.append(Node(folder, config, name))
        return children[-1]

    try:
        node, ledger = told_past(folder, children, start_node, length, scenario, str(seed), *options)
        wait_for_all(node, ledger, emptied=options == DAY)
        yield node, ledger, children[0]
    finally:
        end_all(children)
        shutil.rmtree(folder, ignore_errors=True)


def why(node, defect):
    return json.loads(node.command("why", "--defect", defect, "--json", check=True).stdout)


def defects_told(node):
    return [row["d"] for row in node.sql("SELECT DISTINCT defect AS d FROM defects ORDER BY 1")]


def common(ledger, fault, what):
    """What the panels have in common on which that fault has made its defect. The ledger gives to it
    too what a bad day did that looks like it: one in a hundred."""
    hit = [what(row) for row in ledger.values() if row["kind"] == "panel"
           and any(d["cause"] == fault for d in row["defects"])]
    assert len(hit) > 20, (fault, len(hit))
    [(value, count)] = collections.Counter(v for values in hit for v in values).most_common(1)
    assert count >= 0.95 * len(hit), (fault, value, count, len(hit))
    return value


def lots(part):
    return lambda row: {used["lot"] for used in row["consumed"] if used["part"] == part}


def printed_by(row):
    return {step["operator"] for step in row["steps"] if step["station"] == "printer"}


def true_cause(ledger, fault):
    """(name, operation, value or side) of the factor that the fault acts through."""
    if fault == "operator_setup":
        return "operator", "print", common(ledger, fault, printed_by)
    if fault == "bad_reel_lot":
        return "lot_f1", "place", common(ledger, fault, lots("CAP-100N"))
    if fault == "old_paste":
        return "paste_lot", "print", common(ledger, fault, lots("PASTE-SAC305"))
    return {
        "nozzle_wear": ("vacuum_3", "place", "not above"),
        "zone_drift": ("zone5", "reflow", "not above"),
        "humidity": ("humidity", "reflow", "above"),
    }[fault]


def named(cause):
    return cause["name"], cause["operation"], cause.get("value", cause.get("side"))


def row_of_table(seed, defect, answer, right):
    top = answer["causes"][0] if answer["causes"] else {"name": "-", "operation": "-", "strength": 0}
    others = sum(c["status"] == "cause" for c in answer["causes"]) - 1
    return (f"{FAULT_OF.get(defect, defect):15} {seed:>4} {answer['bad']:>5} {answer['good']:>6}  "
            f"{' '.join(str(v) for v in named(top)):32} {top['strength']:>7.0f} {others:>6}  "
            f"{'right' if right else 'WRONG'}")


HEAD = f"{'fault':15} {'seed':>4} {'bad':>5} {'good':>6}  {'on top':32} {'chi2':>7} others"


def check_faults(node, ledger, seed, faults):
    """A row of the table for each, right or wrong."""
    rows = []
    for fault in faults:
        answer = why(node, DEFECT_OF[fault])
        right = answer["result"] == "causes" and named(answer["causes"][0]) == true_cause(ledger, fault)
        rows.append(row_of_table(seed, DEFECT_OF[fault], answer, right))
        print(rows[-1], flush=True)
    return rows


# ------------------------------------------------------------------------------------- regular


def words(text):
    return re.findall(r"[A-Za-z_][\w-]*", text)


def other_names(plain, other, ledger, renamed):
    """{name: what stands for it}, from two configurations and ledgers that differ in names alone."""
    names = {}
    pairs = list(zip(words(plain.config()), words(other.config())))
    for a, b in zip(ledger.values(), renamed.values()):
        assert (a["serial"], len(a["steps"])) == (b["serial"], len(b["steps"]))
        pairs += [(s["operator"], t["operator"]) for s, t in zip(a["steps"], b["steps"])]
        pairs += [(d["defect"], e["defect"]) for d, e in zip(a["defects"], b["defects"])]
        pairs += [(u["lot"], v["lot"]) for u, v in zip(a.get("consumed", ()), b.get("consumed", ()))]
    for name, stands in pairs:
        if name != stands:  # a key of the configuration may be spelled like a name: place
            assert names.setdefault(name, stands) == stands
    return names


def spelled(name, names):
    """What a name is called that is in neither: the electrical test's words for what it finds."""
    letters = {a: b for n, s in names.items() for a, b in zip(n, s[1:])}
    return names.get(name) or "x" + "".join(letters[c] for c in name)


def ranking(answer, names=None):
    """What must be the same whatever things are called, names by what stands for them."""
    names = names or {}

    def name_of(text):
        return names.get(text, text)

    def number(v):
        return None if v is None else float(f"{v:.4g}")

    return answer["result"], answer["bad"], answer["good"], answer["factors"], answer["tests"], [
        (c["status"], c["kind"], name_of(c["name"]), name_of(c["operation"]),
         name_of(c.get("value")), c.get("side"), c["bad_with"], c["good_with"], c["bad_without"],
         c["good_without"], *(number(c[k]) for k in ("strength", "p", "q", "p_shift")))
        for c in answer["causes"]
    ]


def test_names_do_not_matter(tmp_path):
    """Every machine, tag, station, lot, person and defect is called otherwise: the same ranking."""
    scenario = tmp_path / "scenario.yaml"
    faults = "faults:\n  - {fault: bad_reel_lot, start: 4h, length: 14h}\n"
    scenario.write_text(faults)
    with past(tmp_path / "plain", scenario, 4, *DAY, length="1d") as (node, ledger, plant):
        answers = {defect: why(node, defect) for defect in defects_told(node)}
        scenario.write_text(f"names: 7\n{faults}")
        with past(tmp_path / "other", scenario, 4, *DAY, length="1d") as (again, renamed, other):
            names = other_names(plant, other, ledger, renamed)
            names |= {defect: spelled(defect, names) for defect in answers}
            told = {names[defect] for defect in answers}
            assert told == set(defects_told(again)) and told.isdisjoint(answers)
            print(f"{len(names)} names are others: {list(names)[:8]} …")
            assert {"zone5", "reflow", "oven", "tombstone", "lot_f1"} <= set(names)
            for defect, answer in answers.items():
                assert ranking(why(again, names[defect])) == ranking(answer, names), defect
    top = answers["tombstone"]["causes"][0]
    assert named(top) == true_cause(ledger, "bad_reel_lot")
    assert names[top["value"]] != top["value"]


def test_a_worn_nozzle_is_found_and_what_it_placed(tmp_path):
    with past(tmp_path / "past", "nozzle_wear", 2) as (node, ledger, _):
        [row] = check_faults(node, ledger, 2, ["nozzle_wear"])
        assert row.endswith("right"), row
        check_nozzle(node, ledger)


def check_nozzle(node, ledger):
    """--forward from a nozzle leads to every unit that has a defect which the ledger gives to it."""
    told = {}
    for nozzle in (1, 2, 3, 4):
        answer = json.loads(node.command("where-used", f"nozzle_c3={nozzle}", "--limit", 20000,
                                         "--json", check=True).stdout)
        assert not answer["truncated"]
        told[nozzle] = {unit["serial"] for unit in answer["units"]}
    assert not told[1] and not told[2]  # the third capacitor is never theirs
    assert not told[3] & told[4] and min(len(told[3]), len(told[4])) > 1000
    checked = 0
    for serial, row in ledger.items():
        for defect in row["defects"] if row["kind"] == "panel" and row["status"] == "split" else ():
            if defect["position"] != "C3":
                continue
            board = row["children"][defect["board"] - 1]
            assert {serial, board} <= told[defect["nozzle"]], (serial, defect)
            checked += 1
    assert checked > 20, checked
    print(f"{checked} defects at C3 are of the nozzle that placed it")


# ------------------------------------------------------------------------------------- the matrix


@pytest.mark.long
def test_the_true_cause_is_on_top_of_each_fault(tmp_path):
    rows = []
    print("\n" + HEAD)
    for fault in FAULT_OF.values():
        for seed in SEEDS:
            with past(tmp_path / f"{fault}{seed}", fault, seed) as (node, ledger, _):
                rows += check_faults(node, ledger, seed, [fault])
    wrong = [row for row in rows if not row.endswith("right")]
    assert len(rows) == len(FAULT_OF) * len(SEEDS) and not wrong, "\n".join(wrong)


@pytest.mark.long
def test_no_cause_is_called_where_there_is_none(tmp_path):
    called = {}
    for seed in NONE_SEEDS:
        with past(tmp_path / f"none{seed}", "none", seed) as (node, _, _):
            answers = {defect: why(node, defect) for defect in defects_told(node)}
        assert len(answers) >= len(DEFECT_OF)
        causes = {d: named(a["causes"][0]) for d, a in answers.items() if a["result"] == "causes"}
        bad = {d: a["bad"] for d, a in answers.items()}
        print(f"none {seed:>2}: {bad} called: {causes or 'nothing'}", flush=True)
        if causes:
            called[seed] = causes
    assert len(called) <= 1, called


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_faults_that_overlap_are_told_apart(tmp_path, seed):
    faults = ["zone_drift", "bad_reel_lot", "nozzle_wear"]
    print("\n" + HEAD)
    with past(tmp_path / "past", "several", seed) as (node, ledger, _):
        rows = check_faults(node, ledger, seed, faults)
    assert all(row.endswith("right") for row in rows), rows


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_scenario_nobody_has_seen(tmp_path, seed):
    scenario = tmp_path / "unseen.yaml"
    scenario.write_text(UNSEEN)
    print("\n" + HEAD)
    with past(tmp_path / "past", scenario, seed) as (node, ledger, _):
        rows = check_faults(node, ledger, seed, ["humidity", "old_paste"])
    assert all(row.endswith("right") for row in rows), rows
