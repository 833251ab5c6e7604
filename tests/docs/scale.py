"""The tables of docs/scale.md, made from what `lab scale` wrote into docs/scale/."""

from collections.abc import Mapping
from typing import Any, Final

from lab.bench.report import camel
from lab.scale.simulation.costs import UNITS
from tests.docs.measured import read, short, table, words

__all__ = ["constants", "curve", "foretold", "machine", "simulated", "targets"]

FILE: Final = "scale/scale.json"
FORETOLD: Final = "scale/foretold.json"
SIMULATED: Final = ("scale/simulated-1.json", "scale/simulated-5.json")
MB: Final = 1e6
LARGEST: Final = 100
"""Nodes of the largest run that constants come from."""


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


def foretold() -> str:
    """What was simulated with constants from smaller runs, beside what was measured."""
    rows = [
        [
            f"{item['nodes']} nodes: {item['what']}",
            _figure(item["simulated"], item["unit"]),
            f"{short(item['least'])} - {short(item['greatest'])}",
            _figure(item["seen"], item["unit"]),
            f"{100 * (item['simulated'] / item['seen'] - 1):+.0f} %",
        ]
        for item in read(FORETOLD)["foretold"]
        if item["nodes"] > LARGEST
    ]
    return table(["", "foretold", "by other seeds", "measured", "error"], rows)


def _figure(value: float, unit: str) -> str:
    return f"{short(value)} {unit}".rstrip()


def constants() -> str:
    """The cost model."""
    found = read(FORETOLD)["constants"]
    rows = [
        [f"`{name}`", _figure(*_scaled(found[camel(name.replace("_", " "))], unit)), what]
        for name, (unit, what) in UNITS.items()
    ]
    return table(["", "", ""], rows)


def _scaled(value: float, unit: str) -> tuple[float, str]:
    if unit == "s" and value < 1:
        return (value * 1e3, "ms") if value >= 1e-3 else (value * 1e6, "µs")
    return (value / MB, "MB") if value >= MB else (value, unit)


def simulated() -> str:
    """What thousands would take, each a machine of its own."""
    header = [
        "nodes", "members of etcd", "", "s", "CPU of a node (s)", "CPU of etcd (s)", "sent by etcd (MB)",
        "requests to etcd", "in its busiest second", "changes told",
    ]  # fmt: skip
    rows = [
        [
            short(run["nodes"]),
            str(found["place"]["members"]),
            phase["title"] + (f": **{phase['lacking']} still lack something**" if phase["lacking"] else ""),
            *(short(phase[key]) for key in ("seconds", "cpuOfANode", "cpuOfEtcd")),
            short(phase["etcdSentBytes"] / MB),
            *(short(phase[key]) for key in ("etcdRequests", "requestsOfTheBusiestSecond", "changesTold")),
        ]
        for found in map(read, SIMULATED)
        for run in found["runs"]
        for phase in run["phases"]
    ]
    return table(header, rows)
