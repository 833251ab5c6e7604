"""What has to be right of a lab file as a whole, even if some of its nodes are wrong themselves. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.spec.node import EVERY_SERVICE, ROLES

__all__ = ["nodes_problems"]

MEMBERS = (1, 3, 5)
"""Sizes of an etcd cluster that make sense: an even one survives no more losses than the next smaller."""


def nodes_problems(entries: object) -> list[str]:
    """Return problems of a lab file's nodes, as they were read from YAML."""
    nodes = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [*_etcd_problems(nodes, entries), *_doubles(nodes)]


def _etcd_problems(nodes: Sequence[Mapping[Any, Any]], entries: object) -> Iterator[str]:
    services = [_services(node) for node in nodes]
    members = sum("etcd" in (known or ()) for known in services)
    needed = any("flanneld" in (known or ()) for known in services)
    # A node that is wrong may be the missing one.
    complete = isinstance(entries, list) and len(nodes) == len(entries) and None not in services
    if members and members not in MEMBERS and (complete or members > max(MEMBERS)):
        yield f"etcd runs on {members} nodes; expected {', '.join(map(str, MEMBERS[:-1]))} or {MEMBERS[-1]}"
    if complete and needed and not members:
        yield "flanneld runs, and etcd does not: no node has the role master, or etcd among its services"


def _services(node: Mapping[Any, Any]) -> Sequence[str] | None:
    """The services that a node names; None if they cannot be made out."""
    role, services = node.get("role"), node.get("services")
    if services is None and role is not None:
        return next((known for name, known in ROLES.items() if name == role), None)
    if role is None and isinstance(services, list) and set(map(str, services)) <= set(EVERY_SERVICE):
        return services
    return None


def _doubles(nodes: Sequence[Mapping[Any, Any]]) -> Iterator[str]:
    for what in ("name", "host"):
        keys = [str(node[what]) for node in nodes if isinstance(node.get(what), str | int)]
        if double := sorted({key for key in keys if keys.count(key) > 1}):
            yield f"two nodes have the same {what}: {', '.join(double)}"
