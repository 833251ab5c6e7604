"""Whether engines are of one swarm, so that one network reaches all of them. Pure.

Docker Swarm carries a lab's underlay from engine to engine (docs/adr/0017).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NETWORKS", "OVERHEAD", "Member", "member", "problems", "to_join"]

OVERHEAD = 50
"""Bytes that a swarm's overlay network takes of each packet: it is vxlan, over IPv4 (RFC 7348)."""

NETWORKS = "198.18.128.0/17"
"""Of what the swarm's own networks are taken: addresses for tests (RFC 2544), not the half of 10.0.0.0/8."""


@dataclass(frozen=True, slots=True)
class Member:
    """What an engine says of the swarm that it is in."""

    node: str = ""
    """Its identifier in the swarm; empty if it is in none."""
    manages: bool = False
    """Whether it can make networks."""
    address: str = ""
    """That the others reach it by."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Of a manager: each engine of the swarm, with its state, such as ready."""


def member(told: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]] = ()) -> Member:
    """Read the member `Swarm` of the engine's `GET /info`, and of a manager the list of `GET /nodes`."""
    if told.get("LocalNodeState") != "active":
        return Member()
    return Member(
        told.get("NodeID", ""),
        bool(told.get("ControlAvailable")),
        told.get("NodeAddr", ""),
        {item["ID"]: item["Status"]["State"] for item in nodes},
    )


def problems(home: str, members: Mapping[str, Member]) -> Iterator[str]:
    """Yield what keeps these engines, by the lab file's names, from carrying one network."""
    first = members[home]
    if not first.node:
        yield f"{home} is in no swarm"
    elif not first.manages:
        yield f"{home} is not a manager of its swarm, and only a manager makes networks"
    for name, found in members.items():
        if name == home:
            continue
        if not found.node:
            yield f"{name} is in no swarm"
        elif first.manages and found.node not in first.nodes:
            yield f"{name} is in another swarm than {home}"
        elif first.manages and first.nodes[found.node] != "ready":
            yield f"the swarm takes {name} for {first.nodes[found.node]}"


def to_join(home: str, members: Mapping[str, Member]) -> Sequence[str]:
    """Return the engines that have to join so that all are one swarm, the home first if it has to begin one.

    Those that are in another swarm are not: they would have to leave it, which is not ours to do.
    """
    return [name for name in (home, *(each for each in members if each != home)) if not members[name].node]
