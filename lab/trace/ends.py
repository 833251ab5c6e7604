"""Where a trace begins and ends: what the words of its command line stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.errors import LabError, Unfit
from lab.pods import RunningPod
from lab.suggest import similar
from lab.trace.packet import Address, parse_address
from lab.trace.world import Answer, Ask, End, Question

__all__ = ["Container", "Known", "as_sent", "find_end"]

Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a machine's Docker that is no pod's."""

    name: str
    machine: str
    pid: int
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What a word may stand for."""

    machines: Mapping[str, Sequence[Address]]
    """Each machine's addresses in the underlay."""
    pods: Sequence[RunningPod]
    containers: Sequence[Container] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    """The machines that do not tell of their pods, and why."""

    def process(self, end: End) -> int:
        """A process in the network namespace of an end; 0 for a machine's own."""
        pids = {pod.name: pod.infra_pid for pod in self.pods if pod.node == end.machine}
        pids |= {item.name: item.pid for item in self.containers if item.machine == end.machine}
        return pids.get(end.namespace, 0)


def find_end(word: str, known: Known, family: Family) -> End:
    """A pod, a machine, a container as MACHINE/NAME, or an address of one of them. Raises `LabError`."""
    ends = list(_ends(known, family))
    for names, end in ends:
        if word in names:
            return end
    if (wanted := parse_address(word)) is not None:
        for _, end in [*ends, *_ends(known, 4 if wanted.version == 4 else 6)]:
            if end.address == wanted:
                return end
        return End(word, "", "", wanted)
    others = [name for names, _ in _ends(known, 6 if family == 4 else 4) for name in names]
    if word in others:
        raise LabError(f"{word} has no IPv{family} address", hint="see: lab status; -6 traces IPv6")
    dead = next((pod for pod in known.pods if pod.name == word), None)
    if dead is not None:
        raise LabError(
            f"the pod {word} has no network: it is {dead.status}", hint=f"see: lab pod logs {word}"
        )
    if known.silent:
        why = "; ".join(f"{name}: {reason}" for name, reason in known.silent.items())
        raise LabError(f"whether there is a pod {word} is not known: {why}", hint="see: lab status")
    there = sorted({name for names, _ in ends for name in names[:1]})
    raise Unfit(
        f"{word} is no pod, no machine, no container and no address of this lab{similar(word, there)}",
        hint=f"there is: {', '.join(there)}; a container is named MACHINE/NAME",
    )


def as_sent(start: End, end: End, ask: Ask) -> End:
    """A machine with the address that its kernel sends from: into the overlay, that of flannel's device.

    One that does not have the address that the lab has given it keeps that: it cannot send from there, and
    a trace says so.
    """

    def asked(to: Address) -> Answer:
        return ask(Question(start.machine, "", str(to), "", ""))

    chosen = parse_address(asked(end.address).source)
    return replace(start, address=chosen) if chosen and asked(start.address).local else start


def _ends(known: Known, family: Family) -> Sequence[tuple[tuple[str, ...], End]]:
    found: list[tuple[tuple[str, ...], End]] = []
    for pod in known.pods:
        address = pod.of(family)
        if address is not None and pod.infra_pid:
            found.append(((pod.name,), End(f"pod {pod.name}", pod.node, pod.name, address)))
    for name, addresses in known.machines.items():
        found += [((name,), End(name, name, "", it)) for it in _of(addresses, family)]
    for item in known.containers:
        title = f"{item.machine}/{item.name}"
        own = _of(item.addresses, family)
        found += [((title,), End(f"container {title}", item.machine, item.name, it)) for it in own]
    return found


def _of(addresses: Sequence[Address], family: Family) -> Sequence[Address]:
    """The first of a family."""
    return [it for it in addresses if it.version == family][:1]
