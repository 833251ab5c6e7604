"""Which places are probed from where, and what the answers say of the links between them. Pure.

Each node of the overlay has one place there that stands for it: its first pod that runs, else docker0 of the
machine itself. Keys of probes: `overlay NODE`, `segment SEGMENT NODE`, `pod POD`, seen from a node.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from lab.observe.model import Observation, known
from lab.observe.parse import parse_environment
from lab.pods import RunningPod
from lab.spec import NodeSpec
from lab.web.model import Answer, Link, LinkState, Rate, Seen

__all__ = ["Place", "links", "places", "questions"]


ALIVE = ("Running", "unknown")
"""A pod whose machine does not tell is probed where it was: whether it answers is the question."""


@dataclass(frozen=True, slots=True)
class Place:
    """What stands for a node in the overlay."""

    node: str
    address: str
    pid: int
    """Of its pod's first process; 0 for the machine itself."""


def places(seen: Observation, pods: Sequence[RunningPod]) -> Mapping[str, Place]:
    """By node; without those that have no address in the overlay."""
    found: dict[str, Place] = {}
    family = next(iter(seen.spec.families), 4)
    for node in seen.spec.overlay:
        own = [pod for pod in pods if pod.node == node.name and pod.status in ALIVE and pod.infra_pid]
        address = next((pod.of(family) for pod in own), None)
        if address is not None:
            found[node.name] = Place(node.name, str(address), own[0].infra_pid)
        elif gateway := _gateway(seen, node.name, family):
            found[node.name] = Place(node.name, str(gateway.ip), 0)
    return found


def _gateway(seen: Observation, node: str, family: int) -> IPv4Interface | IPv6Interface | None:
    """docker0's address: that of the lease, as subnet.env has it; None where that tells none."""
    file = known(seen.nodes[node].subnet_env) if node in seen.nodes else None
    told = parse_environment(file.text or "") if file is not None else {}
    subnet = told.get("FLANNEL_SUBNET" if family == 4 else "FLANNEL_IPV6_SUBNET", "")
    try:
        return ip_interface(subnet)
    except ValueError:  # anybody on the machine can write the file
        return None


def questions(seen: Observation, pods: Sequence[RunningPod], node: NodeSpec) -> Mapping[str, Any]:
    """What a machine is to probe, and whose bytes it is to count: see lab/web/inside/watch.py."""
    every = places(seen, pods)
    wanted: dict[str, Mapping[str, Any]] = {}
    own = every.get(node.name)
    for other in every.values() if own is not None else ():
        if own is not None and other.node != node.name and seen.is_led(node.name, other.node):
            source = own.address if not own.pid else ""
            wanted[f"overlay {other.node}"] = {"pid": own.pid, "to": other.address, "source": source}
    for segment, other_node, address in _neighbours(seen, node):
        wanted[f"segment {segment} {other_node}"] = {"pid": 0, "to": address, "source": ""}
    for pod in pods:
        own_address = pod.address or pod.address6
        if pod.node == node.name and pod.status == "Running" and own_address is not None:
            wanted[f"pod {pod.name}"] = {"pid": 0, "to": str(own_address), "source": ""}
    counted = {pod.name: pod.infra_pid for pod in pods if pod.node == node.name and pod.infra_pid}
    return {"pods": counted, "peers": _peers(seen, node), "pings": wanted}


def _peers(seen: Observation, node: NodeSpec) -> Mapping[str, Sequence[str]]:
    """The subnets of the other nodes of the overlay, as their subnet.env has them."""
    others = [other.name for other in seen.spec.overlay if other.name != node.name]
    found = {
        name: [gateway for family in (4, 6) if (gateway := _gateway(seen, name, family))] for name in others
    }
    every = {name: [str(it.network) for it in of_node] for name, of_node in found.items() if of_node}
    return every if node in seen.spec.overlay else {}


def _neighbours(seen: Observation, node: NodeSpec) -> Iterator[tuple[str, str, str]]:
    """The other nodes on its segments."""
    on = {place.segment for place in node.attachments}
    for other in seen.spec.nodes:
        for place in other.attachments if other.name != node.name else ():
            if place.segment in on and place.segment in seen.segments:
                interface = seen.segments[place.segment].address(place.host, router=other.router)
                yield place.segment, other.name, str(interface.ip)


def links(seen: Seen) -> Sequence[Link]:
    """Every line of the picture."""
    if seen.observation is None:
        return ()
    traffic = {name: (devices, pods) for name, devices, pods in seen.rates()}
    return [
        *_overlay(seen, seen.observation),
        *_segments(seen, seen.observation, {name: devices for name, (devices, _) in traffic.items()}),
        *_pods(seen, {name: pods for name, (_, pods) in traffic.items()}),
    ]


def _answer(seen: Seen, node: str, key: str) -> Answer | None:
    watched = seen.watched.get(node)
    return watched.answers.get(key) if watched is not None else None


def _state(answers: Sequence[Answer | None]) -> LinkState:
    """Broken if any direction is; ok if all are known to be."""
    told = [answer for answer in answers if answer is not None]
    if any(answer.ms is None for answer in told):
        return "broken"
    return "ok" if told and len(told) == len(answers) else "unknown"


def _slowest(answers: Sequence[Answer | None]) -> float | None:
    return max((it.ms for it in answers if it is not None and it.ms is not None), default=None)


def _oldest(answers: Sequence[Answer | None]) -> float | None:
    return max((it.age for it in answers if it is not None), default=None)


def _words(answers: Mapping[str, Answer | None]) -> str:
    parts = []
    for way, answer in answers.items():
        if answer is None:
            parts.append(f"{way}: not known")
        elif answer.ms is None:
            parts.append(f"{way}: {answer.error}")
        else:
            parts.append(f"{way}: {answer.ms:.1f} ms")
    return "; ".join(parts)


def _overlay(seen: Seen, observation: Observation) -> Iterator[Link]:
    names, between = [node.name for node in observation.spec.overlay], seen.between()
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            asked = {
                f"{here} to {there}": _answer(seen, here, f"overlay {there}")
                for here, there in ((one, other), (other, one))
                if observation.is_led(here, there)
            }
            if asked:
                told, rate = list(asked.values()), between.get((one, other))
                if rate is None and (there := between.get((other, one))) is not None:
                    rate = there.seen_from_there
                age = _oldest(told)
                yield Link("overlay", one, other, _state(told), _words(asked), _slowest(told), age, rate)


def _segments(
    seen: Seen, observation: Observation, traffic: Mapping[str, Mapping[str, Rate]]
) -> Iterator[Link]:
    """A node reaches its segment if it reaches anybody there."""
    for node in observation.spec.nodes:
        for index, place in enumerate(node.attachments):
            on = f"segment {place.segment} "
            own = seen.watched.get(node.name)
            told = [it for key, it in own.answers.items() if key.startswith(on)] if own is not None else []
            answered = [it for it in told if it.ms is not None]
            words = f"{len(answered)} of {len(told)} other nodes answer"
            if not told:  # it does not tell: the others may have asked it
                told = [it for other in seen.watched.values() if (it := other.answers.get(on + node.name))]
                answered = [it for it in told if it.ms is not None]
                words = f"it answers {len(answered)} of {len(told)} other nodes" if told else "not known"
            state: LinkState = "ok" if answered else "broken" if told else "unknown"
            rate = traffic.get(node.name, {}).get(f"eth{index}")
            yield Link(
                "segment", node.name, place.segment, state, words, _slowest(answered), _oldest(told), rate
            )


def _pods(seen: Seen, traffic: Mapping[str, Mapping[str, Rate]]) -> Iterator[Link]:
    for pod in seen.pods:
        answer = _answer(seen, pod.node, f"pod {pod.name}")
        way = f"{pod.node} to {pod.name}"
        rate = traffic.get(pod.node, {}).get(pod.name)
        yield Link(
            "pod",
            pod.node,
            pod.name,
            _state([answer]),
            _words({way: answer}),
            _slowest([answer]),
            _oldest([answer]),
            rate,
        )
