"""Nodes behind a NAT: which router hides them, and what has to be right for them to be reached. Pure."""

from collections.abc import Iterator, Sequence
from itertools import permutations

from lab.backends import BACKENDS
from lab.spec.node import NodeSpec
from lab.spec.segment import Segment, reaches
from lab.suggest import suggest

__all__ = ["hidden_problems", "nat_of", "nat_problems"]


def nat_of(nodes: Sequence[NodeSpec], node: NodeSpec) -> NodeSpec | None:
    """The router whose address a node's flanneld announces, as it leads a UDP port there; None for none."""
    if not node.runs("flanneld"):
        return None
    leading = ((router, forward) for router in nodes for forward in router.forwards)
    return next(
        (router for router, to in leading if to.to == node.name and to.protocol == "udp"),
        None,
    )


def nat_problems(nodes: Sequence[NodeSpec], segments: Sequence[Segment]) -> Iterator[str]:
    """Yield what is wrong with the routers that hide segments."""
    for at, node in enumerate(nodes):
        yield from _of_router(at, node, nodes, segments)


def _of_router(
    at: int, router: NodeSpec, nodes: Sequence[NodeSpec], segments: Sequence[Segment]
) -> Iterator[str]:
    where = f"nodes[{at}].masquerade"
    own = [place.segment for place in router.attachments]
    if router.masquerade and not router.router:
        yield f"{where}: {router.name} is no router; expected `router: true`"
    for name in router.masquerade:
        if name not in own:
            yield f"{where}: {router.name} is not on {name}; it is on {', '.join(own)}"
    if router.masquerade and not router.outside:
        yield f"{where}: {router.name} hides every segment that it is on; expected one that it does not"
    for segment in segments:
        if segment.name in router.masquerade and (segment.ipv6 is not None or not segment.ipv4):
            yield f"{where}: {segment.name} has ipv6; NAT is of IPv4 alone"
    if router.masquerade:
        by_name = {segment.name: segment for segment in segments}
        outside = [by_name[place.segment] for place in router.outside[:1] if place.segment in by_name]
        if outside and not outside[0].ipv4:
            yield f"{where}: {router.name} has no IPv4 address on {outside[0].name}, which is to be theirs"
    yield from _of_forwards(at, router, nodes)


def _of_forwards(at: int, router: NodeSpec, nodes: Sequence[NodeSpec]) -> Iterator[str]:
    known = {node.name: node for node in nodes}
    ports = [(forward.protocol, forward.port) for forward in router.forwards]
    announcing = dict.fromkeys(
        forward.to
        for forward in router.forwards
        if forward.protocol == "udp" and forward.to in known and known[forward.to].runs("flanneld")
    )
    for index, forward in enumerate(router.forwards):
        where = f"nodes[{at}].forwards[{index}]"
        if forward.to not in known:
            yield f"{where}.to: there is no node {forward.to}{suggest(forward.to, known, 'nodes')}"
        elif not {place.segment for place in known[forward.to].attachments} & set(router.masquerade):
            hides = ", ".join(router.masquerade) or "none"
            yield f"{where}.to: {forward.to} is on no segment that {router.name} hides: {hides}"
        if (forward.protocol, forward.port) in ports[:index]:
            yield f"{where}.port: {forward.protocol} {forward.port} leads somewhere else already"
    if len(announcing) > 1:
        yield (
            f"nodes[{at}].forwards: {' and '.join(announcing)} would announce one address, that of "
            f"{router.name}; expected UDP for one node that runs flanneld"
        )


def hidden_problems(nodes: Sequence[NodeSpec], segments: Sequence[Segment], backend: str) -> Iterator[str]:
    """Yield who is hidden from whom and must not be, where the routers and segments are right."""
    every = [segment.name for segment in segments]
    seen = {node.name: reaches(node, nodes, every) for node in nodes if node.runs("flanneld")}
    hides = {name for router in nodes for name in router.masquerade}
    told = set()
    for one, other in permutations(nodes, 2):
        on = {place.segment for place in other.attachments}
        if not one.runs("flanneld") or not on <= hides or on & set(seen[one.name]):
            continue
        where = f"{other.name} is behind a NAT, where {one.name} does not reach it"
        if other.runs("etcd"):
            yield f"nodes: {where}; expected etcd in front of it"
        if other.runs("flanneld") and other.name not in told:
            told.add(other.name)
            yield from _not_passed(nodes, other, backend, where)


def _not_passed(nodes: Sequence[NodeSpec], node: NodeSpec, backend: str, where: str) -> Iterator[str]:
    """Yield why packets of the overlay do not get to a node behind a NAT."""
    if backend in BACKENDS and not BACKENDS[backend].passes_nat:
        able = ", ".join(name for name, found in BACKENDS.items() if found.passes_nat)
        yield f"flannel.config.Backend.Type: {where} by {backend}; expected one of {able}"
    elif nat_of(nodes, node) is None:
        yield f"nodes: {where}; expected `forwards` to it, of the backend's UDP port"
