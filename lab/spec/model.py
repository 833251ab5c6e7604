"""The parts of a lab, as frozen values."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from pydantic import ValidationError

from lab.backends import Backend, BackendConfig, backend
from lab.errors import LabError, Unfit
from lab.flannel import EtcdApi, monitor_url
from lab.lab_names import TUTORIAL, lab_name
from lab.pods import PodSpec
from lab.spec.backend import backend_of
from lab.spec.check import CommandCheck
from lab.spec.engine import EngineSpec
from lab.spec.network import networks_of
from lab.spec.node import EVERY_SERVICE, NodeSpec, ServiceName
from lab.spec.segment import FAMILIES, Family, Segment, Subnets
from lab.validation import Model, short

__all__ = [
    "Etcd",
    "LabSpec",
    "no_underlay",
    "underlay_network",
    "underlay_of",
]

TUTORIAL_UNDERLAY = IPv4Network("192.168.199.0/24")
UNDERLAYS = tuple(IPv4Network(f"192.168.{third}.0/24") for third in range(200, 256))
"""The candidates for every other lab."""

NOWHERE = ("is_loopback", "is_multicast", "is_link_local", "is_reserved", "is_unspecified")


def underlay_network(value: object) -> IPv4Network:
    """Parse an underlay network. Raises `ValueError`."""
    try:
        network = IPv4Network(str(value))
    except ValueError:
        network = None
    if network is None or network.prefixlen != 24 or any(getattr(network, kind) for kind in NOWHERE):
        raise ValueError(
            f"expected an IPv4 network of length 24, such as 192.168.50.0/24; got {short(value)}"
        )
    return network


def underlay_of(name: str) -> IPv4Network | None:
    """Return the underlay that belongs to a lab's name; None for the next free one."""
    return TUTORIAL_UNDERLAY if name == TUTORIAL else None


def no_underlay(network: IPv4Network | None, underlay: IPv4Network | None) -> str:
    """Return a problem if no underlay is possible with this overlay network; else ""."""
    if _underlays(network, underlay):
        return ""
    every = underlay or f"{UNDERLAYS[0]} to {UNDERLAYS[-1]}"
    return f"the Network {network} overlaps the network of the machines themselves, {every}"


def _underlays(network: IPv4Network | None, underlay: IPv4Network | None) -> tuple[IPv4Network, ...]:
    every = UNDERLAYS if underlay is None else (underlay,)
    return tuple(item for item in every if network is None or not item.overlaps(network))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class Etcd(Model):
    """Whom etcd lets in."""

    tls: bool = False
    """Clients and members show each other certificates of a CA that the lab makes."""
    auth: bool = False
    """etcd has users with passwords that the lab makes: root, and flannel, who has flannel's keys alone."""


class LabSpec(Model):
    """A whole lab."""

    name: str
    segments: tuple[Segment, ...] = (Segment(),)
    """Of the underlay; eth0 of a node that does not say otherwise is on the first."""
    engines: tuple[EngineSpec, ...] = ()
    """Those that the nodes are spread over; none: all are on the one that the environment selects."""
    nodes: tuple[NodeSpec, ...]
    flannel_config: str
    etcd_prefix: str
    etcd_api: EtcdApi = "v3"
    """Which of etcd's two stores flannel's keys are in; etcd keeps them apart."""
    etcd: Etcd = Etcd()
    flanneld_options: tuple[str, ...]
    pods: tuple[PodSpec, ...]
    checks: tuple[CommandCheck, ...] = ()
    """The lab file's own."""
    privileged: bool

    def running(self, service: ServiceName) -> tuple[NodeSpec, ...]:
        """Return the nodes that run a service, in the lab file's order."""
        return tuple(node for node in self.nodes if node.runs(service))

    def readyz_url(self, node: NodeSpec) -> str:
        """Where a node's flanneld says whether it is ready, from its own machine; "" where none does.

        A flannel of somebody else's has no such page, whatever its -healthz-port.
        """
        if not node.runs("flanneld") or node.flanneld.program is not None:
            return ""
        url = monitor_url([*self.flanneld_options, *node.flanneld.options])
        return f"{url}/readyz" if url else ""

    @property
    def minions(self) -> tuple[NodeSpec, ...]:
        """The nodes that run flanneld."""
        return self.running("flanneld")

    @property
    def overlay(self) -> tuple[NodeSpec, ...]:
        """The nodes whose containers are expected to reach each other, whatever carries their packets."""
        return tuple(node for node in self.nodes if node.in_overlay)

    @property
    def network(self) -> IPv4Network | None:
        """The overlay network, from flannel's configuration; None if that has IPv6 alone."""
        return networks_of(self.flannel_config)[0]

    @property
    def network6(self) -> IPv6Network | None:
        """The overlay network of IPv6, if there is one."""
        return networks_of(self.flannel_config)[1]

    @property
    def networks(self) -> Mapping[Family, IPv4Network | IPv6Network]:
        """Those that the overlay has, IPv4's first."""
        found = zip(FAMILIES, networks_of(self.flannel_config), strict=True)
        return {family: network for family, network in found if network is not None}

    @property
    def families(self) -> tuple[Family, ...]:
        """Those of the overlay."""
        return tuple(self.networks)

    @property
    def has_ipv6(self) -> bool:
        """Whether anything in it has IPv6 addresses that somebody has given it."""
        return 6 in self.families or any(segment.ipv6 is not None for segment in self.segments)

    @property
    def backend_config(self) -> BackendConfig:
        """The backend settings in flannel's configuration."""
        return backend_of(self.flannel_config)

    @property
    def backend(self) -> Backend:
        """The lab's knowledge of that backend."""
        return backend(self.backend_config.type)

    @property
    def tunnel_port(self) -> int | None:
        """The UDP port that machines receive pods' packets on; None with a backend without datagrams."""
        own = self.backend.port
        return None if own is None else self.backend_config.port or own

    @property
    def bare(self) -> bool:
        """Whether packets may cross a segment with addresses that are not its own.

        Those are pods' addresses if packets are not encapsulated, and those of other segments.
        """
        of_others = any(not node.runs("flanneld") for node in self.overlay) or len(self.segments) > 1
        return self.backend.bare or self.backend_config.direct_routing or of_others

    @property
    def underlay(self) -> IPv4Network | None:
        """The subnet of the first segment; None for the next free one."""
        return self.segments[0].subnet

    def subnets_of(self, given: Mapping[str, IPv4Network]) -> Mapping[str, Subnets]:
        """What nodes have addresses of on each segment, where the engine has given these subnets."""
        return {segment.name: segment.subnets(given[segment.name]) for segment in self.segments}

    def impairments(self, node: NodeSpec) -> Mapping[str, str]:
        """What is done to all that a node sends, by its interface."""
        wanted = {segment.name: segment.impairment for segment in self.segments}
        places = enumerate(node.attachments)
        return {f"eth{index}": wanted[place.segment] for index, place in places if wanted[place.segment]}

    def subnets(self, segment: Segment) -> tuple[IPv4Network, ...]:
        """The possible subnets of a segment, best first: not the overlay's, and no other segment's."""
        others = {item.subnet for item in self.segments if item is not segment}
        return tuple(item for item in _underlays(self.network, segment.subnet) if item not in others)

    def describe(self) -> str:
        """One line for a person."""
        counts = {service: len(self.running(service)) for service in EVERY_SERVICE}
        services = ", ".join(f"{service} on {count}" for service, count in counts.items() if count)
        carried = f"flannel's backend {self.backend_config.type}" if self.minions else "no flannel"
        overlay = " and ".join(map(str, self.networks.values()))
        return (
            f"The lab {self.name}: {_count(len(self.nodes), 'node')} ({services or 'no services'}), "
            f"{_count(len(self.pods), 'pod')}, the overlay {overlay} with {carried}"
        )

    def with_name(self, name: str) -> "LabSpec":
        """Return this lab under another name, with the underlay of that name, or its own. Raises `Unfit`."""
        try:
            lab_name(name)
        except ValueError as error:
            raise Unfit(str(error)) from error
        first, *others = self.segments
        own = underlay_of(name) if self.underlay == underlay_of(self.name) else self.underlay
        segments = (first.model_copy(update={"subnet": own}), *others)
        changed = self.model_copy(update={"name": name, "segments": segments})
        if why := no_underlay(changed.network, own):
            raise Unfit(f"the lab {name}: {why}")
        return changed

    def public(self) -> "LabSpec":
        """Return the lab without the values of the pods' variables, for places that everybody can read."""
        return self.model_copy(update={"pods": tuple(pod.without_values() for pod in self.pods)})

    def to_json(self) -> str:
        """Encode as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "LabSpec":
        """Decode what `to_json` wrote. Raises `LabError` for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise LabError(f"its label lab.spec cannot be read ({error.error_count()} errors)") from error
