"""Would a container's packets get from each node of the overlay to every other, with or without pods there?

One command for each machine (lab/observe/inside/probe.py), all at the same time. Every stand-in for a
container exists before the first one pings, and stays until the last one has its answers.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lab import threads
from lab.deadlines import PACKET, QUESTION
from lab.errors import LabError
from lab.inside import program
from lab.observe import inside
from lab.observe.model import NodeObservation, Ping
from lab.pods import RunningPod
from lab.protocols import Conversation, LabAccess
from lab.spec.interface import is_led
from lab.spec.segment import Family

__all__ = ["probe"]


ADDRESSES: Mapping[Family, str] = {4: "address", 6: "address6"}
"""The keys under which a stand-in tells its addresses."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The stand-in on one minion, or why there is none."""

    name: str
    talk: Conversation | None
    addresses: Mapping[Family, str]
    """Of each family that it has."""
    why: str = ""


def probe(
    lab: LabAccess, nodes: Sequence[NodeObservation], pods: Collection[RunningPod]
) -> Mapping[str, tuple[Ping, ...]]:
    """By node, a ping of each of the overlay's families from there to every other.

    Those that could not be sent are among them. Empty if the backend leaves it to others to carry packets. A
    node that has not answered before is not asked again.
    """
    if len(nodes) < 2 or not lab.spec.backend.delivers:
        return {}
    places = threads.each(lambda node: _place(lab, node, pods), nodes)
    known = {node.name: node for node in lab.spec.nodes}

    def peers(place: _Place) -> Sequence[_Place]:
        led = [is_led(lab.spec, known[place.name], known[other.name], lab.segments) for other in places]
        return [other for other, reached in zip(places, led, strict=True) if reached and other is not place]

    try:
        found = threads.each(lambda place: _ask(place, peers(place), lab.spec.families), places)
    finally:
        threads.each(_end, places)
    return {place.name: tuple(pings) for place, pings in zip(places, found, strict=True)}


def _place(lab: LabAccess, node: NodeObservation, pods: Collection[RunningPod]) -> _Place:
    name = node.name
    if node.silent is not None:
        return _Place(name, None, {}, f"{name}: {node.silent.reason}")
    own = [pod for pod in pods if pod.node == name and pod.infra_pid and pod.address is not None]
    spare = [str(word) for pod in own[:1] for word in (pod.infra_pid, pod.address, pod.address6) if word]
    try:
        talk = lab.node(name).converse(program(inside, "probe", *spare))
    except LabError as error:
        return _Place(name, None, {}, error.message)
    try:
        said = _heard(talk, QUESTION.seconds)
    except LabError as error:
        said = {"error": error.message}
    addresses = {family: said[key] for family, key in ADDRESSES.items() if said.get(key)}
    why = said.get("error", "docker0 has no address of this family")
    return _Place(name, talk, addresses, f"{name}: {why}")


def _ask(place: _Place, others: Sequence[_Place], families: Sequence[Family]) -> list[Ping]:
    """What one stand-in sees of others; those that could not be set up are not pinged."""
    wanted = [(other, family) for family in families for other in others]
    peers = {
        _label(other, family): other.addresses[family]
        for other, family in wanted
        if family in other.addresses and family in place.addresses
    }
    why, answers = "", {}
    if place.talk is not None and peers:
        try:
            # Time for an answer: a flannel that has just started may not know of a peer yet.
            place.talk.say(json.dumps({"peers": peers, "seconds": PACKET.seconds}))
            answers = _heard(place.talk, QUESTION.seconds + PACKET.seconds).get("answers", {})
        except LabError as error:
            why = error.message

    def ping(other: _Place, family: Family) -> Ping:
        silent = why or (other if family in place.addresses else place).why
        answer = answers.get(_label(other, family), {"error": silent})
        return Ping(place.name, other.name, answer.get("ttl"), answer.get("error", ""), family)

    return [ping(other, family) for other, family in wanted]


def _label(other: _Place, family: Family) -> str:
    """What an address is called while one talks of it: a node's name, or of IPv6 with that after it."""
    return other.name if family == 4 else f"{other.name}/{family}"


def _heard(talk: Conversation, seconds: float) -> dict[str, Any]:
    """The JSON object that the probe prints. Raises `LabError` for anything else."""
    text = talk.hear(seconds)
    try:
        said = json.loads(text)
    except ValueError as error:
        raise LabError(f"the probe did not print a JSON object but: {text[:200]!r}") from error
    if not isinstance(said, dict):
        raise LabError(f"the probe did not print a JSON object but: {text[:200]!r}")
    return said


def _end(place: _Place) -> None:
    """End a stand-in. One that does not react ends by itself when its time is up."""
    if place.talk is not None:
        with suppress(LabError):
            place.talk.end(QUESTION.seconds)
