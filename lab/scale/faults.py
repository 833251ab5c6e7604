"""Faults of the catalogue in a run: which of them, how they are written, when they happen. Pure.

A fault is written as after `lab fault start`: `delay etcd --time 50ms`. Its plan is the catalogue's, for a
lab that has this run's machines (`lab.scale.setting`).
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lab.errors import Unfit
from lab.faults.options import Option, duration, split_words
from lab.faults.plan import Plan
from lab.faults.registry import Fault, every_fault, fault_named
from lab.faults.targets import Setting

__all__ = ["FOR_A_TIME", "FOR_GOOD", "ONCE", "Manner", "Wanted", "table", "wanted"]


class Manner(Enum):
    """When a fault happens; its value says so, in the document too."""

    THROUGHOUT = "throughout"
    """From before the first daemon's start to the end: everything is measured under it."""
    FOR_A_TIME = "for a time"
    """After all has been measured that comes before anybody dies; it ends, and then is timed."""
    ONCE = "once"
    """Then, too: an event, from which on is timed."""


FOR_GOOD = ("delay", "loss", "rate", "duplicate", "reorder", "corrupt")
"""May be in force throughout, or for a time."""

FOR_A_TIME = ("partition", "partition-etcd", "daemon-pause", "etcd-pause", "etcd-stop", "etcd-member-loss")
"""While they are in force, not all can come to know all."""

ONCE = (
    "daemon-kill-9", "daemon-restart", "thundering-start", "lease-delete",
    "etcd-wipe", "etcd-compact", "etcd-defragment", "etcd-leader-change",
)  # fmt: skip
"""Events."""

OFFERED = (*FOR_GOOD, *FOR_A_TIME, *ONCE)

OF_DEVICES = (
    "it is one node's devices that are followed, or the kernel forgets with their state whom nodes here "
    "need not look for (permanent neighbours)"
)

WHY: Mapping[str, str] = {
    "process": "nodes here have no systemd and no Docker; their flanneld and etcd are processes alone",
    "node": "nodes here are network namespaces of one container, which cannot stand still or boot",
    "leases": "it is not over when all know all, or leaves leases that are no node's",
    "config": "what all have to know is asked of the network that the run has begun with",
    "etcd": "it takes etcd's systemd unit, or changes nothing of what nodes have to know",
    "kernel": "it concerns how packets of pods are carried, and nodes here have no pods",
    "device": OF_DEVICES,
    "network": OF_DEVICES,
    "disk": "nodes here share the files of one container",
    "clock": "nodes here share the clock of one machine",
}
"""Of each subject of the catalogue: why a fault of it is none of these."""

FOR = Option("for", duration, "End it after this time.", "TIME")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fault that is to happen in a run."""

    text: str
    """As it was written."""
    fault: Fault
    targets: tuple[str, ...]
    options: Mapping[str, str]
    seconds: float | None = None
    """How long it is in force; None for an event, and throughout."""

    @property
    def manner(self) -> Manner:
        """When it happens."""
        if self.fault.kind == "event":
            return Manner.ONCE
        return Manner.THROUGHOUT if self.seconds is None else Manner.FOR_A_TIME

    def plan(self, setting: Setting) -> Plan:
        """The catalogue's. Raises `Unfit` where it cannot be there."""
        return self.fault.function(self.fault.ask(setting, self.targets, self.options))


def wanted(text: str) -> Wanted:
    """Read what was written. Raises `Unfit`."""
    try:
        name, *words = shlex.split(text)
    except ValueError as error:
        raise Unfit(
            f"--fault {text!r} is no fault: expected one as after `lab fault start`, such as 'delay etcd "
            "--time 50ms'",
            hint="See: lab fault ls",
        ) from error
    fault = fault_named(name)
    if name not in OFFERED and not fault.refused:  # what no machine can do, its plan says
        raise Unfit(
            f"{name} is refused in lab scale: {WHY[fault.subject]}", hint=f"It has: {', '.join(OFFERED)}."
        )
    targets, given = split_words(name, (*fault.options, FOR), words)
    lasting = given.pop(FOR.name, None)
    try:
        seconds = None if lasting is None else duration(lasting)
    except ValueError as error:
        raise Unfit(f"{name}: --{FOR.name}: {error}") from error
    if seconds is not None and fault.kind == "event":
        raise Unfit(f"--{FOR.name}: {name} is an event, which is over when it is done")
    if seconds is None and name in FOR_A_TIME:
        raise Unfit(
            f"{name} needs --{FOR.name}: while it is in force, not all nodes can come to know all",
            hint=f"Write for instance: --fault '{text} --{FOR.name} 10s'",
        )
    return Wanted(text, fault, tuple(targets), given, seconds)


def table() -> str:
    """Those that there are, without their options, for docs/scale.md, where `make docs` writes it."""
    rows = [
        f"| `{f'{item.name} {item.targets.usage}'.strip()}` | {_when(item.name)} | {item.does} |"
        for item in every_fault()
        if item.name in OFFERED
    ]
    return "\n".join(["| `--fault` | when | does |", "| --- | --- | --- |", *rows]) + "\n"


def _when(name: str) -> str:
    if name in ONCE:
        return "once"
    return "with `--for`" if name in FOR_A_TIME else "throughout, or with `--for`"
