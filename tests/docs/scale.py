"""The tables of docs/scale.md, made from what `lab scale` wrote into docs/scale/."""

from collections.abc import Mapping
from typing import Any, Final

from tests.docs.measured import read, short, table, words

__all__ = ["curve", "machine", "targets"]

FILE: Final = "scale/scale.json"
MB: Final = 1e6


def machine() -> str:
    """What `lab scale` ran on, and with what."""
    run = read(FILE)
    facts = [[words(key), str(value)] for key, value in run["machine"].items()]
    forked = "forked" if run["forked"] else "started"
    return table(
        ["", ""],
        [
            *facts,
            ["nodes", f"{run['program']}, {forked}, {run['backend']}"],
            ["members of etcd", str(run["members"])],
        ],
    )


def curve() -> str:
    """A row for each number of nodes."""
    header = [
        "nodes", "start until all have all routes (s)", "one node more (s)", "etcd killed and started (s)",
        "of which until it served (s)", "a tenth die (s)", "CPU of a node's start (s)",
        "of a node with nothing to do (% of a core)", "PSS (MB)", "RSS (MB)", "sockets", "threads",
        "CPU of etcd at the start (s)", "sent by etcd (MB)", "PSS of etcd (MB)",
    ]  # fmt: skip
    return table(header, [_row(run) for run in read(FILE)["runs"]])


def _row(run: Mapping[str, Any]) -> list[str]:
    phases = {item["phase"]: item for item in run["phases"]}

    def of(phase: str, *keys: str, unit: float = 1.0) -> str:
        found: Any = phases.get(phase)
        for key in keys:
            found = None if found is None else found.get(key)
        return "-" if found is None else short(found / unit)

    idle = phases.get("idle")
    sizes = [
        short(run["node"][name]["median"] / unit) if name in run["node"] else "-"
        for name, unit in (("pss", MB), ("rss", MB), ("sockets", 1), ("threads", 1))
    ]
    return [
        str(run["nodes"]),
        of("start", "seconds"),
        of("join", "seconds"),
        of("restart", "seconds"),
        of("restart", "parts", "secondsUntilEtcdServed"),
        of("death", "seconds"),
        of("start", "cpuOfANode"),
        "-" if idle is None else short(100 * idle["cpuOfANode"] / idle["seconds"]),
        *sizes,
        of("start", "cpuOfEtcd"),
        of("start", "etcdSentBytes", unit=MB),
        short(sum(member["pss"] for member in run["etcd"]) / MB),
    ]


def targets() -> str:
    """What is to be reached, and what was seen."""
    found = read(FILE)["targets"]
    if not found:
        return "They are for 200 nodes, which this run does not have.\n"
    rows = [
        [
            f"{item['nodes']} nodes: {item['what']}",
            f"{short(item['seen'])} {item['unit']}",
            f"at most {item['atMost']:g} {item['unit']}",
            "met" if item["met"] else "**missed**",
        ]
        for item in found
    ]
    return table(["", "seen", "target", ""], rows)
