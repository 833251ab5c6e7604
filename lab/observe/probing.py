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

__all__ = ["probe"]


@dataclass(frozen=True, slots=True)
class _Place:
    """The stand-in on one minion, or why there is none."""

    name: str
    talk: Conversation | None
    address: str
    why: str = ""


def probe(
    lab: LabAccess, nodes: Sequence[NodeObservation], pods: Collection[RunningPod]
) -> Mapping[str, tuple[Ping, ...]]:
    """By node, one ping from there to every other, including those that could not be sent.

    Empty if the backend leaves it to others to carry packets. A node that has not answered before is not
    asked again.
    """
    if len(nodes) < 2 or not lab.spec.backend.delivers:
        return {}
    places = threads.each(lambda node: _place(lab, node, pods), nodes)
    try:
        found = threads.each(lambda place: _ask(place, places), places)
    finally:
        threads.each(_end, places)
    return {place.name: tuple(pings) for place, pings in zip(places, found, strict=True)}


def _place(lab: LabAccess, node: NodeObservation, pods: Collection[RunningPod]) -> _Place:
    name = node.name
    if node.silent is not None:
        return _Place(name, None, "", f"{name}: {node.silent.reason}")
    own = [pod for pod in pods if pod.node == name and pod.infra_pid and pod.address is not None]
    spare = (str(own[0].infra_pid), str(own[0].address)) if own else ()
    try:
        talk = lab.node(name).converse(program(inside, "probe", *spare))
    except LabError as error:
        return _Place(name, None, "", error.message)
    try:
        said = _heard(talk, QUESTION.seconds)
    except LabError as error:
        said = {"error": error.message}
    return _Place(name, talk, said.get("address", ""), f"{name}: {said.get('error', '')}")


def _ask(place: _Place, places: list[_Place]) -> list[Ping]:
    """What one stand-in sees of all others; those that could not be set up are not pinged."""
    peers = {other.name: other.address for other in places if other is not place and other.address}
    why, answers = "", {}
    if place.talk is not None and place.address and peers:
        try:
            # Time for an answer: a flannel that has just started may not know of a peer yet.
            place.talk.say(json.dumps({"peers": peers, "seconds": PACKET.seconds}))
            answers = _heard(place.talk, QUESTION.seconds + PACKET.seconds).get("answers", {})
        except LabError as error:
            why = error.message
    return [
        Ping(place.name, other.name, answer.get("ttl"), answer.get("error", ""))
        for other in places
        if other is not place
        for answer in [answers.get(other.name, {"error": why or (other if place.address else place).why})]
    ]


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
