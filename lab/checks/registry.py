"""Every check: one function in lab/checks/catalog/, which its decorator registers.

To add one, write the function and its test; `lab check` runs it, and `make docs` puts it into docs/lab.md.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import cache

from lab.checks.finding import Comparison, Finding, Subject
from lab.errors import Unfit
from lab.observe import Observation, Topic
from lab.suggest import suggest

__all__ = ["Check", "Layer", "check", "chosen", "every_check", "judge", "topics_of"]

IDENTIFIER = re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*")
PART = "{part}"
"""In a title: the subject's device or service."""

Function = Callable[[Observation], Iterator[Comparison]]


class Layer(IntEnum):
    """From the ground up. Checks run and are shown in this order, as a fault shows in all layers above."""

    NODE = 1
    STORE = 2
    """etcd, and what is in it."""
    DEVICE = 3
    ROUTE = 4
    PATH = 5
    """From node to node."""
    POD = 6
    TRAFFIC = 7
    """From pod to pod."""
    LOGIN = 8
    """What the pods are for."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its description."""

    id: str
    title: str
    layer: Layer
    on: str
    """What it is run on, once for each: minion, pod, pair of pods."""
    expects: str
    """What must be seen, in Markdown, for the table of checks."""
    needs: frozenset[Topic]
    """What has to be asked of the nodes before it can run."""
    function: Function
    part: str = ""
    """What stands for {part} in the title in the table of checks: DEV for flannel's device."""

    def findings(self, seen: Observation) -> Iterator[Finding]:
        """One for each subject."""
        for item in self.function(seen):
            yield Finding(self.id, self.name(item.subject), item.kind, item.subject, item.expected, item.seen)

    def name(self, subject: Subject) -> str:
        """Its title for this subject."""
        return self.title.replace(PART, subject.part)


_registered: dict[str, Check] = {}


def check(
    identifier: str,
    title: str,
    *,
    layer: Layer,
    on: str,
    expects: str,
    needs: Collection[Topic],
    part: str = "",
) -> Callable[[Function], Function]:
    """Register the function below as a check."""
    if not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"a check's identifier is like leases.value; got {identifier!r}")
    if identifier in _registered:
        raise ValueError(f"there are two checks {identifier}")

    def register(function: Function) -> Function:
        _registered[identifier] = Check(
            identifier, title, layer, on, expects, frozenset(needs), function, part
        )
        return function

    return register


@cache
def every_check() -> tuple[Check, ...]:
    """Every check, from the ground up; within a layer in the order of modules, then of lines."""
    package = importlib.import_module("lab.checks.catalog")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")
    return tuple(sorted(_registered.values(), key=lambda known: known.layer))


ALWAYS = "node.answers"
"""The check that the nodes which all others look at have answered."""


def chosen(patterns: Iterable[str]) -> tuple[Check, ...]:
    """The checks that match these patterns, in which `*` matches anything; all, if there are no patterns.

    The check that the nodes answer is always among them. Raises `Unfit` for a pattern that matches none.
    """
    wanted = tuple(patterns)
    for pattern in wanted:
        if not any(fnmatchcase(known.id, pattern) for known in every_check()):
            maybe = suggest(pattern, (known.id for known in every_check()), "there are")
            raise Unfit(f"there is no check {pattern}{maybe}")
    return tuple(
        known
        for known in every_check()
        if not wanted or known.id == ALWAYS or any(fnmatchcase(known.id, pattern) for pattern in wanted)
    )


def topics_of(checks: Iterable[Check]) -> frozenset[Topic]:
    """Everything that has to be asked before these can run."""
    return frozenset[Topic]().union(*(known.needs for known in checks))


def judge(seen: Observation, checks: Iterable[Check] | None = None) -> list[Finding]:
    """Run these checks, by default all of them, on what was seen."""
    return [
        finding for known in (every_check() if checks is None else checks) for finding in known.findings(seen)
    ]
