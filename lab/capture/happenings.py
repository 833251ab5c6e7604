"""What happens while packets are captured, in words: faults begin and end, leases change. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.faults.status import node_fault
from lab.observe.parse import subnets_of_key
from lab.soak.history import Change, changes, holder_of
from lab.soak.records import ETCD, Line
from lab.spec import LabSpec

__all__ = ["Faults", "Leases", "watching"]


def watching(spec: LabSpec) -> Mapping[str, Mapping[str, str]]:
    """Which of flannel's keys are watched, by machine.

    Each member tells of them, also while others do not answer; revisions show which words are of one change.
    """
    told = {"api": spec.etcd_api, "prefix": spec.etcd_prefix}
    return {node.name: told for node in spec.running("etcd")}


class Leases:
    """What is known of the leases, from etcd's own words."""

    def __init__(self, known: Mapping[str, str]) -> None:
        """`known` are the values of all keys, by key."""
        self._values = dict(known)
        self._heard: set[tuple[int, str, str | None]] = set()

    def heard(self, text: str) -> Iterator[str]:
        """What is new in what etcdctl has printed."""
        lines = [Line(0.0, "", ETCD, line) for line in text.split("\n") if line.strip()]
        for change in changes(lines):
            # The value, too, for the revisions of a store that was set back begin anew.
            known = change.revision, change.key, change.value
            if known not in self._heard:
                self._heard.add(known)
                yield self._told(change)

    def _told(self, change: Change) -> str:
        before, now = self._values.pop(change.key, None), change.value
        if now is not None:
            self._values[change.key] = now
        subnet, subnet6 = subnets_of_key(change.key)
        if subnet is None and subnet6 is None:
            return f"etcd's key {change.key} was {'deleted' if now is None else 'written'}"
        what = f"lease {subnet or subnet6}"
        had, has = holder_of(before) or "somebody", holder_of(now) or "somebody"
        if now is None:
            return f"{what} of {had} was deleted"
        if before is None:
            return f"{what} of {has} was created"
        if had != has:
            return f"{what} of {had} was written over: it is {has}'s now"
        return f"{what} of {has} was {'written again' if before == now else 'changed'}"


class Faults:
    """Which faults are in force, from what machines have on record, and from how their containers are."""

    def __init__(self) -> None:
        self._about: dict[str, str] = {}
        self._holders: dict[str, set[str]] = {}
        self._stand: dict[str, str] = {}

    def shown(self, node: str, faults: Mapping[str, Mapping[str, Any]], *, first: bool) -> Iterator[str]:
        """What is new where a machine has these on record, by identifier; `first`: as it begins to tell."""
        for identifier, about in faults.items():
            if identifier not in self._holders:
                self._about[identifier] = _words(about["fault"], about["targets"])
                options = ", ".join(f"{name} {value}" for name, value in about["options"].items())
                verb = "was in force before" if first else "started"
                yield f"{self._about[identifier]} {verb}" + (f" ({options})" if options else "")
            self._holders.setdefault(identifier, set()).add(node)
        for identifier, holders in list(self._holders.items()):
            if identifier not in faults and node in holders:
                holders.remove(node)
                if not holders:
                    del self._holders[identifier]
                    yield f"{self._about.pop(identifier)} ended"

    def containers(self, states: Iterable[tuple[str, str, str]]) -> Iterator[str]:
        """What is new where these machines' containers are in these states, in the engine's words."""
        for name, state, status in states:
            found = node_fault(name, state, status)
            words = _words(found.name, found.targets) if found else ""
            before = self._stand.get(name, "")
            if before and before != words:
                yield f"{before} ended"
            if words and before != words:
                yield f"{words} started"
            self._stand[name] = words


def _words(name: str, targets: Sequence[str]) -> str:
    return " ".join(["fault", name, *targets])
