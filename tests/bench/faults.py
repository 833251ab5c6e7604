"""How long faults take to start and to end, by subject, and a round of a search that has twenty of them."""

import json
import time
from collections import defaultdict

import click

from lab import spec
from lab.cluster import Lab
from lab.deadlines import patience
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.faults import control
from lab.faults.registry import Fault, every_fault
from lab.pytest_plugin.labs import temporary_lab
from lab.soak.generate import draw_round
from lab.soak.play import play
from lab.soak.schedule import Entry, Round
from lab.soak.settle import settle
from tests.bench.report import line

__all__ = ["measure"]

TARGETS = {
    "NODE...": ["one"],
    "NODE/UNIT...": ["one/flanneld"],
    "FROM TO": ["one", "two"],
    "NODE[,NODE...] NODE[,NODE...]...": ["one", "two"],
}
"""What a fault is tried on, by the targets that it takes; none where these may be left out."""

OPTIONS = {"port-busy": {"port": "9999"}}
"""Where a default would be refused: the backend has its port by then."""

MACHINES = "node"
"""The subject whose faults are a machine's own end or boot: that is not a fault's time."""

RIGHT = 30.0
"""Seconds that the lab has to be right again before the next fault."""

ALL = 20
"""Faults in the round."""


def measure(engine: Engine, rounds: int) -> None:
    """On two minions without pods, over vxlan."""
    nodes = [
        {"name": "m", "role": "master", "host": 10},
        {"name": "one", "role": "minion", "host": 11},
        {"name": "two", "role": "minion", "host": 12},
    ]
    backend = {"Network": "10.8.0.0/16", "Backend": {"Type": "vxlan"}}
    described = {"name": "bench", "nodes": nodes, "flannel": {"config": backend}, "pods": []}
    wanted = spec.load(json.dumps(described), "the benchmark's lab")
    with temporary_lab(engine, wanted) as outcome:
        _faults(outcome.lab, rounds)
        _round(outcome.lab)


def _faults(lab: Lab, rounds: int) -> None:
    started: defaultdict[str, list[float]] = defaultdict(list)
    ended: defaultdict[str, list[float]] = defaultdict(list)
    states = [fault for fault in every_fault() if fault.kind == "state" and fault.subject != MACHINES]
    for fault in states:
        for _ in range(rounds):
            try:
                took = _once(lab, fault)
            except Unfit as error:  # of three members of etcd, say, or of a device that vxlan has not
                click.echo(f"{fault.name}: not here: {error.message}")
                break
            started[fault.subject].append(took[0])
            ended[fault.subject].append(took[1])
            settle(lab, RIGHT * patience())  # a lease that was taken comes back a moment later
    for subject, seconds in started.items():
        line(f"a fault of {subject} starts", seconds, "s", "target <= 0.3")
        line(f"a fault of {subject} ends", ended[subject], "s", "target <= 0.5")


def _once(lab: Lab, fault: Fault) -> tuple[float, float]:
    """Seconds to start it, and to end it again."""
    began = time.monotonic()
    started = control.start(lab, fault.name, TARGETS.get(fault.targets.usage, []), OPTIONS.get(fault.name))
    there = time.monotonic()
    control.stop(lab, started.id)
    return there - began, time.monotonic() - there


def _round(lab: Lab) -> None:
    """Twenty faults, as a search draws them, and until every check holds again."""
    entries: list[Entry] = []
    for number in range(1000):
        drawn = draw_round(1, number, lab.spec).faults
        known = {(entry.fault, entry.targets) for entry in entries}
        entries += [entry for entry in drawn if (entry.fault, entry.targets) not in known]
        if len(entries) >= ALL:
            break
    planned = Round(faults=tuple(sorted(entries[:ALL], key=lambda entry: entry.at)))
    began = time.monotonic()
    evidence = play(lab, planned, Reporter())
    line("a round of 20 faults, until all is well again", [time.monotonic() - began], "s", "target <= 90")
    if evidence.wrong:
        raise LabError(f"after the round: {', '.join(finding.id for finding in evidence.wrong)}")
