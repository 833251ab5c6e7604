"""Every fault: one function in lab/faults/catalog/, which its decorator registers.

The function is given what was asked for and answers a plan. To add a fault, write the function and its test;
`lab fault ls` shows it, and `make docs` puts it into docs/faults.md.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from lab.errors import Unfit
from lab.faults.options import Option, read_options, split_words
from lab.faults.plan import Ask, Plan
from lab.faults.targets import Setting, TargetKind
from lab.suggest import similar

__all__ = ["IDENTIFIER", "NAME", "Fault", "Function", "event", "every_fault", "fault_named", "state"]

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
IDENTIFIER = re.compile(r"[0-9a-f]{4}")
"""Of a state that was started; no fault has such a name."""

Function = Callable[[Ask], Plan]
Kind = Literal["state", "event"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its description."""

    name: str
    kind: Kind
    """A state lasts until it is stopped; an event is done, and nothing of it is in force."""
    subject: str
    """What goes wrong with it; the module that has it: process, node, etcd, network."""
    targets: TargetKind
    options: tuple[Option, ...]
    does: str
    """What is done, in Markdown, for the table of faults."""
    holds: str
    """What must hold all the same, or afterwards."""
    function: Function
    refused: str = ""
    """Why no machine can do it, where that is so; then it is listed, and refused."""
    hint: str = ""
    """What to do where it is refused."""

    @property
    def usage(self) -> str:
        """What follows `lab fault start`."""
        options = [f"[{option.usage}]" for option in self.options]
        return " ".join([self.name, *([self.targets.usage] if self.targets.usage else []), *options])

    def words(self, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The targets and options of a command line. Raises `Unfit`."""
        return split_words(self.name, self.options, words)

    def ask(self, setting: Setting, targets: Sequence[str], options: Mapping[str, object]) -> Ask:
        """What is asked for, once it is known to be right. Raises `Unfit`."""
        if self.refused:
            raise Unfit(f"{self.name} is refused: {self.refused}", hint=self.hint)
        values: dict[str, Any] = read_options(self.name, self.options, options)
        try:
            return Ask(setting, self.targets.parse(setting, targets), values)
        except Unfit as error:
            usage = f"Usage: lab fault start {self.usage}"
            raise Unfit(f"{self.name}: {error.message}", hint=usage) from error


_registered: dict[str, Fault] = {}


def _register(
    kind: Kind,
    name: str,
    targets: TargetKind,
    *,
    does: str,
    holds: str,
    options: Sequence[Option] = (),
    refused: str = "",
    hint: str = "",
) -> Callable[[Function], Function]:
    if not NAME.fullmatch(name) or IDENTIFIER.fullmatch(name):
        raise ValueError(f"a fault's name is like etcd-wipe; got {name!r}")
    if name in _registered:
        raise ValueError(f"there are two faults {name}")

    def register(function: Function) -> Function:
        subject = function.__module__.rpartition(".")[2]
        _registered[name] = Fault(
            name, kind, subject, targets, tuple(options), does, holds, function, refused, hint
        )
        return function

    return register


def state(name: str, targets: TargetKind, **description: Any) -> Callable[[Function], Function]:
    """Register the function below as a state: its steps are those that have an inverse."""
    return _register("state", name, targets, **description)


def event(name: str, targets: TargetKind, **description: Any) -> Callable[[Function], Function]:
    """Register the function below as an event."""
    return _register("event", name, targets, **description)


SUBJECTS = ("process", "node", "leases", "config", "etcd", "kernel", "device", "network", "disk", "clock")
"""In the order in which they are shown."""


@cache
def every_fault() -> tuple[Fault, ...]:
    """Every fault, by subject, then in the order of lines."""
    package = importlib.import_module("lab.faults.catalog")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")
    return tuple(sorted(_registered.values(), key=lambda fault: SUBJECTS.index(fault.subject)))


def fault_named(name: str) -> Fault:
    """The fault of that name. Raises `Unfit`."""
    for fault in every_fault():
        if fault.name == name:
            return fault
    near = similar(name, [fault.name for fault in every_fault()])
    raise Unfit(f"there is no fault {name}{near}", hint="See: lab fault ls")
