"""Packets that arrive: from node to node, and from pod to pod."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.checks.finding import Comparison, Kind, Subject, compare
from lab.checks.registry import Layer, check
from lab.checks.values import Data, Failure
from lab.observe import Observation, Ping, Topic, known
from lab.spec.segment import Family

TTL = 64
"""The TTL of a packet that a pod sends: the kernel's default (ip_default_ttl)."""

NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to an echo request."""

    ttl: int | None
    """The TTL it arrived with; None for any."""

    @property
    def data(self) -> Data:
        """Its TTL."""
        return {"ttl": self.ttl}

    @property
    def text(self) -> str:
        """For a person."""
        return "an answer" if self.ttl is None else f"an answer with TTL {self.ttl}"


def _left(seen: Observation, *nodes: str | None) -> int | None:
    """The TTL that is left of what one of these machines sends another; None where it cannot be predicted."""
    hops = seen.spec.backend.hops
    flannel = {node.name for node in seen.minions}
    return TTL - hops if hops is not None and set(nodes) <= flannel else None


def _compare(subject: Subject, ping: Ping, ttl: int | None) -> Comparison:
    ok = ping.ttl is not None and ttl in {None, ping.ttl}
    return compare(subject, ok, Reply(ttl), Failure(ping.error) if ping.ttl is None else Reply(ping.ttl))


@check(
    "ping.nodes",
    "overlay probe",
    layer=Layer.PATH,
    on="pair of minions",
    expects="the same answer as between pods (below), even if there are none, with host-gw only where no "
    "router is between: a throw-away network namespace behind docker0 pings another, so that packets pass "
    "routes, `ip_forward`, both FORWARD chains and flannel's own path as a container's do. Nothing is left "
    "behind",
    needs={Topic.PODS, Topic.PROBES},  # where a subnet is full, a pod's namespace is used
)
def between_nodes(seen: Observation) -> Iterator[Comparison]:
    """The path of a container's packets, with the TTL that they have left."""
    yield from _between_nodes(seen, 4)


@check(
    "ping.nodes6",
    "overlay probe by IPv6",
    layer=Layer.PATH,
    on="pair of minions",
    expects="the same by IPv6, in an overlay that has it",
    needs={Topic.PODS, Topic.PROBES},
)
def between_nodes6(seen: Observation) -> Iterator[Comparison]:
    """The same, with IPv6's hop limit."""
    yield from _between_nodes(seen, 6)


def _between_nodes(seen: Observation, family: Family) -> Iterator[Comparison]:
    if not seen.spec.backend.delivers or family not in seen.spec.families:
        return
    for client in seen.overlay:
        tried = {ping.server: ping for ping in known(client.probes) or () if ping.family == family}
        for server in seen.overlay:
            if server is client or not seen.is_led(client.name, server.name):
                continue
            subject = Subject("nodePair", (client.name, server.name))
            ping = tried.get(server.name, Ping(client.name, server.name, None, NOT_TRIED))
            found = _compare(subject, ping, _left(seen, client.name, server.name))
            unseen = server.name not in tried or client.silent or server.silent
            yield Comparison(subject, Kind.UNKNOWN, found.expected, found.seen) if unseen else found


@check(
    "ping.pods",
    "ping",
    layer=Layer.TRAFFIC,
    on="pair of pods",
    expects="an answer whose TTL, sent as 64, has arrived as 62 from another machine (each one's kernel "
    "forwards), as 60 with udp (each one's flanneld forwards, too), and as 64 on the same machine",
    needs={Topic.PODS, Topic.PINGS},
)
def between_pods(seen: Observation) -> Iterator[Comparison]:
    """From each running pod to every other one."""
    yield from _between_pods(seen, 4)


@check(
    "ping.pods6",
    "ping by IPv6",
    layer=Layer.TRAFFIC,
    on="pair of pods",
    expects="the same by IPv6, in an overlay that has it",
    needs={Topic.PODS, Topic.PINGS},
)
def between_pods6(seen: Observation) -> Iterator[Comparison]:
    """The same, with IPv6's hop limit."""
    yield from _between_pods(seen, 6)


def _between_pods(seen: Observation, family: Family) -> Iterator[Comparison]:
    home = {pod.name: pod.node for pod in seen.pods}
    for node in seen.nodes.values():
        for ping in known(node.pings) or ():
            apart = home.get(ping.client) != home.get(ping.server)
            if ping.family != family or (apart and not seen.spec.backend.delivers):
                continue
            ttl = _left(seen, home.get(ping.client), home.get(ping.server)) if apart else TTL
            yield _compare(Subject("podPair", (ping.client, ping.server)), ping, ttl)
