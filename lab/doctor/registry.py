"""Every diagnosis: one function in lab/doctor/catalog/, which its decorator registers.

To add one, write the function and its test; `lab doctor` makes it, and `make docs` puts it into
docs/doctor.md.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Generic, TypeVar

from lab.doctor.case import Case
from lab.doctor.host_seen import Host
from lab.doctor.model import Diagnosis, Found, Layer, Severity

__all__ = [
    "Rule",
    "about_host",
    "cluster_rules",
    "diagnose",
    "diagnose_host",
    "diagnose_hosts",
    "diagnosis",
    "every_rule",
    "in_order",
]

IDENTIFIER = re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """A diagnosis, and its description."""

    id: str
    layer: Layer
    severity: Severity
    finds: str
    """What it names, in Markdown, for the table."""
    function: Callable[[T], Iterator[Found]]
    start: bool = False
    """Whether it may be why `lab up` has failed."""

    def diagnoses(self, seen: T) -> Iterator[Diagnosis]:
        """One for each thing that it finds."""
        for item in self.function(seen):
            severity = self.severity if item.severity is None else item.severity
            layer = self.layer if item.layer is None else item.layer
            evidence, fix = tuple(item.evidence), tuple(item.fix)
            yield Diagnosis(self.id, layer, severity, item.subject, item.what, evidence, fix)


_cluster: dict[str, Rule[Case]] = {}
_host: dict[str, Rule[Host]] = {}


def _register(rules: dict[str, Rule[T]], rule: Rule[T]) -> None:
    if not IDENTIFIER.fullmatch(rule.id):
        raise ValueError(f"a diagnosis's identifier is like kernel.ip-forward; got {rule.id!r}")
    if rule.id in _cluster or rule.id in _host:
        raise ValueError(f"there are two diagnoses {rule.id}")
    rules[rule.id] = rule


def diagnosis(
    identifier: str, layer: Layer, *, finds: str, severity: Severity = Severity.MEND, start: bool = False
) -> Callable[[Callable[[Case], Iterator[Found]]], Callable[[Case], Iterator[Found]]]:
    """Register the function below as a diagnosis of a cluster."""

    def register(function: Callable[[Case], Iterator[Found]]) -> Callable[[Case], Iterator[Found]]:
        _register(_cluster, Rule(identifier, layer, severity, finds, function, start))
        return function

    return register


def about_host(
    identifier: str, *, finds: str, severity: Severity = Severity.MEND, start: bool = True
) -> Callable[[Callable[[Host], Iterator[Found]]], Callable[[Host], Iterator[Found]]]:
    """Register the function below as a diagnosis of the host."""

    def register(function: Callable[[Host], Iterator[Found]]) -> Callable[[Host], Iterator[Found]]:
        _register(_host, Rule(identifier, Layer.HOST, severity, finds, function, start))
        return function

    return register


@cache
def _load() -> None:
    package = importlib.import_module("lab.doctor.catalog")
    for module in sorted(found.name for found in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")


def cluster_rules() -> tuple[Rule[Case], ...]:
    """Those of a cluster, from the ground up."""
    _load()
    return tuple(sorted(_cluster.values(), key=lambda rule: (rule.layer, rule.id)))


def host_rules() -> tuple[Rule[Host], ...]:
    """Those of the host."""
    _load()
    return tuple(sorted(_host.values(), key=lambda rule: rule.id))


def every_rule() -> tuple[Rule[Host] | Rule[Case], ...]:
    """All of them, from the ground up."""
    return (*host_rules(), *cluster_rules())


def diagnose(case: Case, *, start: bool = False) -> list[Diagnosis]:
    """What is to be said of a cluster; with `start`, by what may be why `lab up` has failed."""
    return in_order(
        item for rule in cluster_rules() if rule.start or not start for item in rule.diagnoses(case)
    )


def diagnose_host(host: Host, *, start: bool = False) -> list[Diagnosis]:
    """The same of a host; with `start`, by those that may be why `lab up` has failed."""
    found = (item for rule in host_rules() if rule.start or not start for item in rule.diagnoses(host))
    return in_order(replace(item, subject=host.subject, fix=host.to_do(item.fix)) for item in found)


def diagnose_hosts(hosts: Iterable[Host], *, start: bool = False) -> list[Diagnosis]:
    """The same of several, one after the other."""
    return in_order(item for host in hosts for item in diagnose_host(host, start=start))


def in_order(found: Iterable[Diagnosis]) -> list[Diagnosis]:
    """What must be mended first, and each kind from the ground up."""
    return sorted(found, key=lambda item: (item.severity is Severity.NOTE, item.layer))
