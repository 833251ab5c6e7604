"""A cluster as the diagnoses get it: what was seen, and which checks do not hold. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from lab.checks.expected import docker0_of, subnet_of
from lab.checks.finding import Finding, Kind
from lab.doctor.questions import devices_of, underlay_devices
from lab.doctor.seen import Device, Look, Unit
from lab.observe import NodeObservation, Observation, Silent, Told, known
from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import Family

__all__ = ["Case", "short", "texts"]

LONGEST = 200
"""Characters of a line of a log."""


@dataclass(frozen=True, slots=True)
class Case:
    """What was seen of a lab that is up."""

    seen: Observation
    looks: Mapping[str, Told[Look]]
    """By machine."""
    findings: tuple[Finding, ...]
    """Of the checks that what was asked is enough for."""
    option: str = ""
    """What a command of `lab` needs to mean this lab, such as ` --name mine`."""

    @property
    def spec(self) -> LabSpec:
        """What the lab was made from."""
        return self.seen.spec

    def each(self) -> Iterator[tuple[NodeSpec, Look]]:
        """The machines that have told."""
        for node in self.spec.nodes:
            look = known(self.looks.get(node.name))
            if look is not None:
                yield node, look

    def silences(self) -> Iterator[tuple[NodeObservation, Silent]]:
        """The machines of which something is not known, and why: once each."""
        for node in self.seen.nodes.values():
            look = self.looks.get(node.name)
            silent = node.silent or (look if isinstance(look, Silent) else None)
            if silent is not None:
                yield node, silent

    def look(self, name: str) -> Look | None:
        """What one machine has told."""
        return known(self.looks.get(name))

    def units(self) -> Iterator[tuple[NodeSpec, Look, Unit]]:
        """The units that machines are meant to run."""
        for node, look in self.each():
            for name in node.watched:
                if name in look.units:
                    yield node, look, look.units[name]

    def underlay(self) -> Iterator[tuple[NodeSpec, Look, Device]]:
        """The machines' devices in the underlay that are there."""
        for node, look in self.each():
            for name in underlay_devices(node):
                device = look.device(name)
                if device is not None:
                    yield node, look, device

    def devices(self) -> Iterator[tuple[NodeSpec, Look, str, Device | None]]:
        """The devices that pods' packets pass, whether they are there or not."""
        for node, look in self.each():
            for name in devices_of(self.spec, node) if look.devices is not None else ():
                yield node, look, name, look.device(name)

    def failing(self, *checks: str) -> Iterator[Finding]:
        """The findings of these checks that do not hold."""
        return (item for item in self.findings if item.id in checks and item.kind is Kind.FAIL)

    def on(self, node: str, *argv: str) -> str:
        """A command on a machine, as it can be pasted."""
        return f"lab exec{self.option} {node} -- {shlex.join(argv)}"

    def shell(self, node: str, script: str) -> str:
        """A command on a machine that takes a shell there."""
        return self.on(node, "sh", "-c", script)

    def lab(self, *words: str) -> str:
        """A verb of `lab` about this lab."""
        verb, *rest = words
        return " ".join(["lab", f"{verb}{self.option}", *rest])

    def etcdctl(self, *argv: str) -> str:
        """A command of etcdctl on the first machine with etcd that answers."""
        members = [node.name for node in self.spec.running("etcd")]
        healthy = [
            name for name in members if (look := self.look(name)) and look.etcd and not look.etcd.health
        ]
        return self.on((healthy or members or ["NODE"])[0], "etcdctl", *argv)

    def delete_key(self, key: str) -> str:
        """The command that deletes a key in etcd."""
        return self.etcdctl("del" if self.spec.etcd_api == "v3" else "rm", key)

    def pods_of(self, node: NodeObservation, family: Family) -> IPv4Network | IPv6Network | None:
        """The addresses of a machine's pods: docker0's network; None if nobody can tell."""
        fixed = docker0_of(self.seen, node, family)
        if fixed is not None:
            return ip_network(fixed, strict=False)
        return subnet_of(self.seen, node, family) if self.seen.node_spec(node.name).runs("flanneld") else None

    def key(self, *names: str) -> str:
        """One of flannel's keys in etcd."""
        return "/".join([self.spec.etcd_prefix, *names])


def texts(finding: Finding) -> Sequence[str]:
    """Both sides of a comparison, as evidence."""
    return (
        f"expected: {_line(finding.expected.text)}",
        f"seen: {_line(finding.seen.text)}",
    )


def short(line: str) -> str:
    """A line of a log, whose beginning says what it is about."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _line(text: str) -> str:
    return "; ".join(line for line in text.splitlines() if line.strip())
