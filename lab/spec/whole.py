"""What has to be right of a lab file as a whole, even if some of its nodes are wrong themselves. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.spec.node import EVERY_SERVICE, ROLES, NodeSpec
from lab.spec.segment import Segment, gateways_of, unreachable
from lab.suggest import suggest

__all__ = ["nodes_problems", "segment_problems"]

MEMBERS = (1, 3, 5)
"""Sizes of an etcd cluster that make sense: an even one survives no more losses than the next smaller."""


def nodes_problems(entries: object, first: str) -> list[str]:
    """Return problems of a lab file's nodes, as they were read from YAML. `first` is the first segment."""
    nodes = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [*_etcd_problems(nodes, entries), *_doubles(nodes, first), *_files(nodes)]


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


def _doubles(nodes: Sequence[Mapping[Any, Any]], first: str) -> Iterator[str]:
    names = [str(node["name"]) for node in nodes if isinstance(node.get("name"), str)]
    if double := sorted({name for name in names if names.count(name) > 1}):
        yield f"two nodes have the same name: {', '.join(double)}"
    places = [place for node in nodes for place in _places(node, first)]
    for segment in dict.fromkeys(segment for segment, _ in places):
        hosts = [host for where, host in places if where == segment]
        if double := sorted({host for host in hosts if hosts.count(host) > 1}):
            on = f" on {segment}" if segment != first else ""
            yield f"two nodes have the same host{on}: {', '.join(double)}"


def _places(node: Mapping[Any, Any], first: str) -> Iterator[tuple[str, str]]:
    """Where a node is: segments, the first of the lab if it does not say, and host parts."""
    also = node.get("alsoOn")
    for item in (node, *(also if isinstance(also, list) else ())):
        if isinstance(item, dict) and isinstance(item.get("host"), str | int):
            yield str(item.get("segment") or first), str(item["host"])


def _files(nodes: Sequence[Mapping[Any, Any]]) -> Iterator[str]:
    """Yield paths that one node cannot have, because another one is the same, or below it."""
    for node in nodes:
        files = node.get("files")
        paths = (
            [str(item.get("path")) for item in files if isinstance(item, dict)]
            if isinstance(files, list)
            else []
        )
        for path in dict.fromkeys(paths):
            if paths.count(path) > 1 or any(other.startswith(f"{path}/") for other in paths):
                yield f"{node.get('name')}: {path} is there twice, or a folder of another file"


def segment_problems(nodes: Sequence[NodeSpec], segments: Sequence[Segment]) -> Iterator[str]:
    """Yield problems of segments, and of nodes with those that they are on."""
    subnets = [segment.subnet for segment in segments if segment.subnet is not None]
    if double := sorted({str(subnet) for subnet in subnets if subnets.count(subnet) > 1}):
        yield f"segments: two have the same subnet: {', '.join(double)}"
    subnets6 = [segment.ipv6 for segment in segments if segment.ipv6 is not None]
    if double := sorted({str(subnet) for subnet in subnets6 if subnets6.count(subnet) > 1}):
        yield f"segments: two have the same ipv6: {', '.join(double)}"
    for segment in segments:
        if segment.on_link == "gateway" and not gateways_of(segment.name, nodes):
            yield (
                f"segments: {segment.name} has onLink: gateway, and no router is on it: expected a node with "
                f"`router: true`, or onLink: subnet"
            )
    names = [segment.name for segment in segments]
    known = True
    for index, node in enumerate(nodes):
        for place in node.attachments:
            if place.segment not in names:
                known = False
                maybe = suggest(place.segment, names, "segments")
                yield f"nodes[{index}]: there is no segment {place.segment}{maybe}"
        on = [place.segment for place in node.attachments]
        if len(set(on)) < len(on):
            yield f"nodes[{index}].alsoOn: {node.name} is on one segment twice; expected each once"
        if node.router and len(on) == 1:
            yield f"nodes[{index}].router: {node.name} is on one segment only; expected some in alsoOn"
    differ = len({(segment.ipv4, segment.ipv6 is None) for segment in segments}) > 1
    alike = ", and IPv4 or IPv6 has to be on every segment between" if differ else ""
    for one, other in unreachable(nodes, segments) if known else ():
        yield f"segments: nothing leads from {one} to {other}: a node on both needs `router: true`{alike}"
