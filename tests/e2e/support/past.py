"""A plant's past told to a node, and waiting until all of it is stored: what the ledger says must be
there, all but the last visits, whose end the plant no longer showed."""

from conftest import free_port, wait_until
from support.smt import SCENARIOS, Line

LATE = 9  # visits at the end of the past whose window nothing closes any more: one a station
LATE_LINKS = 0.005  # the part of the links that may lack: test_85_genealogy.py is what counts them


def told_past(
    tmp_path, children, start_node, past, scenario, seed, *options, meanwhile=None, name="node"
):
    """A node with all of the plant's configuration, to which a past was told; and the ledger.
    `scenario` is a file, or the name of one of ours; meanwhile(node, line) is what happens while it
    is told."""
    mqtt = free_port()
    file = SCENARIOS / f"{scenario}.yaml" if isinstance(scenario, str) else scenario
    line = Line(
        tmp_path,
        *("--backfill", past, "--mqtt", f"127.0.0.1:{mqtt}", "--wait-mes", 3, "--seed", seed),
        *("--token-file", tmp_path / name / "data" / "admin.token", "--scenario", file, *options),
        name=f"plant_of_{name}",
    )
    children.append(line)
    listen = f"listen: {{mqtt: 127.0.0.1:{mqtt}, http: 127.0.0.1:0}}\n"
    node = start_node(line.config(listen=listen), name)
    if meanwhile:
        meanwhile(node, line)
    wait_until(lambda: "the past is told" in line.output, "the past", timeout_s=300)
    assert line.stop() == 0, line.output
    return node, line.ledger()


def numbers(node, sql):
    """{first column: second column}"""
    return {row["k"]: row["n"] for row in node.sql(sql)}


def ledger_numbers(ledger):
    """How many visits have ended (a factor of each man, and of the air for those to the oven), links
    of a kind, findings of a defect, and verdicts on boards: the electrical test calls what it finds
    by words of its own, and says one verdict a visit in the same row."""
    kinds, links, found = {"man": 0, "environment": 0}, {"split": 0, "consumption": 0}, {}
    verdicts = {}
    for row in ledger.values():
        done = sum(bool(step["t_out"]) for step in row["steps"])
        kinds["man"] += done
        if row["kind"] == "board":
            for step in row["steps"]:
                if step["t_out"]:
                    verdicts[step["station"]] = verdicts.get(step["station"], 0) + 1
        else:
            kinds["environment"] += "belt" in row
            parted = row["status"] == "split" and row["steps"][-1]["read"]
            links["split"] += 4 * parted
            links["consumption"] += len(row["consumed"]) * (row["status"] == "split")
            if row["status"] == "split":
                for name, _, _ in {(d["defect"], d["board"], d["position"]) for d in row["defects"]}:
                    found[name] = found.get(name, 0) + 1
    return kinds, links, found, verdicts


def told_numbers(node):
    kinds = numbers(
        node,
        "SELECT kind AS k, count(DISTINCT rule || unit) AS n FROM factors WHERE unit <> ''"
        " GROUP BY 1",
    )
    links = numbers(
        node,
        "SELECT kind AS k, count(DISTINCT parent || ' ' || child) AS n FROM links GROUP BY 1",
    )
    found = numbers(
        node,
        "SELECT defect AS k, count(DISTINCT serial || ' ' || position) AS n FROM defects GROUP BY 1",
    )
    verdicts = numbers(
        node,
        "SELECT operation AS k, count(DISTINCT serial || ' ' || decided_at) AS n FROM verdicts"
        " GROUP BY 1",
    )
    return kinds, links, found, verdicts


def wait_for_all(node, ledger, emptied=False):
    """All defects and verdicts, the factors of all visits but the last ones, nearly all links.
    emptied = the line was empty when the past ended: all of them."""
    want = ledger_numbers(ledger)
    slack = (0 if emptied else LATE, int(LATE_LINKS * want[1]["consumption"] * (not emptied)), 0, 0)

    def stored():
        told = told_numbers(node)
        left = {
            key: (told[i].get(key, 0), n)
            for i, _ in enumerate(want)
            for key, n in want[i].items()
            if told[i].get(key, 0) < n - slack[i]
        }
        if left:
            raise ValueError(f"(stored, true): {left}")
        return True

    wait_until(stored, "the past to be stored", timeout_s=180)
