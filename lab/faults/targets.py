"""What a fault is done to, and how that is written: NODE, NODE/UNIT, groups of nodes. Pure.

A node is its name, `minions` (those that run flanneld), `etcd` (those that run etcd), `all`, or a pattern
with `*`. What is wrong is told with what would be right (`Unfit`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from lab.errors import Unfit
from lab.spec import LabSpec, NodeSpec, ServiceName
from lab.spec.interface import announced
from lab.spec.segment import Subnets, interfaces
from lab.suggest import similar, suggest

__all__ = ["GROUPS", "NONE", "Setting", "Target", "TargetKind", "nodes", "pair", "units"]


@dataclass(frozen=True, slots=True)
class Setting:
    """The lab that a fault is for."""

    spec: LabSpec
    segments: Mapping[str, Subnets]
    """The subnets of the underlay's segments."""

    def announced(self, name: str) -> IPv4Address | IPv6Address:
        """The address that a machine's lease names: of both families IPv4's."""
        return announced(self.spec, self._node(name), self.segments).address(self.spec.families)

    def addresses(self, name: str) -> Sequence[IPv4Address | IPv6Address]:
        """All that a machine has in the underlay."""
        own = [item.ip for each in interfaces(self._node(name), self.segments) for item in each.every]
        # Of one behind a NAT the others see that.
        return list(dict.fromkeys([*own, self.announced(name)]))

    def _node(self, name: str) -> NodeSpec:
        return next(node for node in self.spec.nodes if node.name == name)

    def network(self, name: str, device: str) -> IPv4Network:
        """The subnet that a machine's device is on: eth0's, if it is none of those that the lab gave it.

        Raises `Unfit` where that has IPv6 alone.
        """
        places = {f"eth{index}": place for index, place in enumerate(self._node(name).attachments)}
        segment = places.get(device, places["eth0"]).segment
        return _of_ipv4(self.segments[segment].ipv4, f"the segment {segment}")

    @property
    def overlay(self) -> IPv4Network:
        """The overlay's network. Raises `Unfit` where that is of IPv6 alone."""
        return _of_ipv4(self.spec.network, "the overlay")

    @property
    def etcd(self) -> tuple[str, ...]:
        """The machines that run etcd."""
        return tuple(node.name for node in self.spec.running("etcd"))

    def named(self, words: Sequence[str]) -> tuple[str, ...]:
        """The machines that these words mean, each once. Raises `Unfit`."""
        return tuple(_every(self, words, None))


@dataclass(frozen=True, slots=True)
class Target:
    """A machine, or a part of one."""

    node: str
    part: str = ""
    """A unit of it."""
    group: int | None = None
    """Which of several groups it is in, from 0; None where there are no groups."""

    def __str__(self) -> str:
        return f"{self.node}/{self.part}" if self.part else self.node


def _of_ipv4(found: IPv4Network | None, what: str) -> IPv4Network:
    if found is None:
        raise Unfit(f"{what} has IPv6 alone, and this fault is one of IPv4")
    return found


Parse = Callable[[Setting, Sequence[str]], tuple[Target, ...]]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """What may be written after a fault's name."""

    usage: str
    """As in a usage line."""
    parse: Parse
    """Raises `Unfit`."""


def _named(setting: Setting, word: str) -> list[str]:
    names = [node.name for node in setting.spec.nodes]
    groups = {
        "all": names,
        "minions": [node.name for node in setting.spec.running("flanneld")],
        "etcd": list(setting.etcd),
    }
    if word in names:
        return [word]
    found = groups.get(word) or [name for name in names if fnmatchcase(name, word)]
    if not found:
        maybe = similar(word, [*names, *groups]) or suggest(word, names, "it has")
        raise Unfit(f"the lab {setting.spec.name} has no node {word}{maybe}")
    return found


def _runs(setting: Setting, name: str, service: ServiceName | None) -> None:
    (node,) = [node for node in setting.spec.nodes if node.name == name]
    if service is not None and not node.runs(service):
        able = ", ".join(item.name for item in setting.spec.running(service))
        raise Unfit(f"{name} does not run {service}; these do: {able}")


def _every(setting: Setting, words: Iterable[str], service: ServiceName | None) -> list[str]:
    found = dict.fromkeys(name for word in words for name in _named(setting, word))
    for name in found:
        _runs(setting, name, service)
    return list(found)


def nodes(service: ServiceName | None = None, *, otherwise_all: bool = False) -> TargetKind:
    """One or more machines that run a service; where none is named, with `otherwise_all`, every such one."""

    def parse(setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
        if not words and otherwise_all and service is not None:
            return tuple(Target(node.name) for node in setting.spec.running(service))
        _some(words, "NODE...")
        return tuple(Target(name) for name in _every(setting, words, service))

    return TargetKind("[NODE...]" if otherwise_all else "NODE...", parse)


def units(unit: str = "") -> TargetKind:
    """Units of machines, NODE/UNIT; or one unit of the machines that are named."""

    def parse(setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
        _some(words, "NODE/UNIT...")
        found: list[Target] = []
        for word in words:
            node, slash, part = word.partition("/")
            if not slash or not part:
                services = ", ".join(_of(setting, node)) or "flanneld"
                raise Unfit(f"expected NODE/UNIT, with a unit such as {services}; got {word}")
            found += [Target(name, _unit(part)) for name in _named(setting, node)]
        return tuple(dict.fromkeys(found))

    def of_all(setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
        service: ServiceName = unit  # type: ignore[assignment]  # the catalogue gives only services
        found = nodes(service, otherwise_all=unit == "etcd").parse(setting, words)
        return tuple(Target(target.node, _unit(unit)) for target in found)

    if not unit:
        return TargetKind("NODE/UNIT...", parse)
    return TargetKind("[NODE...]" if unit == "etcd" else "NODE...", of_all)


def _of(setting: Setting, node: str) -> tuple[str, ...]:
    return tuple(service for item in setting.spec.nodes if item.name == node for service in item.services)


def _unit(name: str) -> str:
    """systemd's full name."""
    return name if "." in name else f"{name}.service"


def _some(words: Sequence[str], usage: str) -> None:
    if not words:
        raise Unfit(f"expected {usage}; got nothing")


def pair(service: ServiceName | None = None) -> TargetKind:
    """Two machines that run a service; what is done goes from the first to the second."""

    def parse(setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
        if len(words) != 2:
            raise Unfit(f"expected two machines, FROM and TO; got {' '.join(words) or 'nothing'}")
        found = [_one(setting, word) for word in words]
        if found[0] == found[1]:
            raise Unfit(f"expected two machines; got {found[0]} twice")
        for name in found:
            _runs(setting, name, service)
        return tuple(Target(name, group=number) for number, name in enumerate(found))

    return TargetKind("FROM TO", parse)


def _one(setting: Setting, word: str) -> str:
    found = _named(setting, word)
    if len(found) > 1:
        raise Unfit(f"expected one machine; {word} means {', '.join(found)}")
    return found[0]


def _groups(setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
    if len(words) < 2:
        raise Unfit(f"expected two groups of machines or more; got {' '.join(words) or 'nothing'}")
    found: dict[str, int] = {}
    for number, word in enumerate(words):
        for name in _every(setting, word.split(","), None):
            if found.setdefault(name, number) != number:
                raise Unfit(f"{name} is in two groups; a machine is on one side of a partition")
    return tuple(Target(name, group=number) for name, number in found.items())


def _none(_setting: Setting, words: Sequence[str]) -> tuple[Target, ...]:
    if words:
        raise Unfit(f"it takes no target; got {' '.join(words)}")
    return ()


GROUPS = TargetKind("NODE[,NODE...] NODE[,NODE...]...", _groups)
NONE = TargetKind("", _none)
