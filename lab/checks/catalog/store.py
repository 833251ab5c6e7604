"""What etcd holds: flannel's configuration, and each minion's lease [3.7]."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from lab.checks.expected import NEEDS, expected_on, leases_of, public_ip
from lab.checks.finding import Comparison, Subject, compare, equal
from lab.checks.registry import Layer, check
from lab.checks.values import Data, Items, OneOf, Text
from lab.observe import Observation, Topic

TTL = 86400
"""Seconds; flannel's subnetTTL."""


@check(
    "config.value",
    "flannel config",
    layer=Layer.STORE,
    on="etcd",
    expects="the lab file's text, to the byte",
    needs={Topic.CONFIG},
)
def config(seen: Observation) -> Iterator[Comparison]:
    """What `lab up` wrote is still there."""
    if seen.config is not None:
        subject = Subject("etcdKey", (f"{seen.spec.etcd_prefix}/config",))
        yield equal(subject, Text(seen.spec.flannel_config), Text(seen.config))


@dataclass(frozen=True, slots=True)
class OneKey:
    """Exactly one key below a folder."""

    folder: str

    @property
    def data(self) -> Data:
        """How many, and where."""
        return {"count": 1, "below": self.folder}

    @property
    def text(self) -> str:
        """For a person."""
        return f"one key {self.folder}/SUBNET"


@check(
    "leases.key",
    "lease",
    layer=Layer.STORE,
    on="minion",
    expects="exactly one key `PREFIX/subnets/SUBNET` names its address",
    needs={Topic.LEASES},
)
def key(seen: Observation) -> Iterator[Comparison]:
    """Each minion has exactly one lease."""
    if seen.leases is None:
        return
    for node in seen.minions:
        own = leases_of(seen, node)
        alone = len(own) == 1 and all(own[0].of(family) for family in seen.spec.families)
        keys = Items(tuple(lease.key for lease in own))
        yield compare(Subject.node(node.name), alone, OneKey(f"{seen.spec.etcd_prefix}/subnets"), keys)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a node's leases; if it has none, all others', since one may have been meant for it."""

    own: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def data(self) -> Data:
        """The one value there should be, or whatever there is instead."""
        return self.own[0] if len(self.own) == 1 else {"own": self.own, "others": self.others}

    @property
    def text(self) -> str:
        """For a person."""
        if self.own:
            return " and ".join(self.own)
        others = ", ".join(self.others)
        return f"no lease of this address among: {others}" if others else "no lease at all"


@check(
    "leases.value",
    "lease value",
    layer=Layer.STORE,
    on="minion",
    expects='to the byte: `{"PublicIP":"ADDRESS","PublicIPv6":null}`, with IPv6 its address; then with '
    'host-gw `"BackendType":"host-gw"`, with ipip `"BackendType":"ipip"`, with vxlan '
    '`"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"MAC"}` '
    "with the device's MAC, and with IPv6 `BackendV6Data` after it. In etcd's v2 store, as 0.5.5 writes it: "
    "no `PublicIPv6`, no `VNI`. With wireguard it is not compared",
    needs=NEEDS,
)
def value(seen: Observation) -> Iterator[Comparison]:
    """A lease holds exactly what this flannel writes with this backend."""
    if seen.leases is None:
        return
    for node in seen.minions:
        wanted = expected_on(seen, node).value
        if wanted is not None:
            own = tuple(lease.value for lease in leases_of(seen, node))
            found = Values(own, () if own else tuple(lease.value for lease in seen.leases))
            yield equal(Subject.node(node.name), Text(wanted), found)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How many seconds a lease may have left."""

    most: int

    @property
    def data(self) -> Data:
        """In seconds."""
        return {"moreThan": 0, "atMost": self.most}

    @property
    def text(self) -> str:
        """For a person."""
        return f"more than 0 s, at most {self.most} s"


@dataclass(frozen=True, slots=True)
class Seconds:
    """The seconds that each lease has left."""

    data: tuple[int, ...]

    @property
    def text(self) -> str:
        """For a person."""
        return " and ".join(f"{seconds} s" for seconds in self.data) or "no lease"


@check(
    "leases.ttl",
    "lease TTL",
    layer=Layer.STORE,
    on="minion",
    expects="more than 0 and at most 86400 seconds",
    needs={Topic.LEASES},
)
def ttl(seen: Observation) -> Iterator[Comparison]:
    """A lease ends unless it is renewed."""
    if seen.leases is None:
        return
    for node in seen.minions:
        left = tuple(lease.ttl for lease in leases_of(seen, node))
        living = len(left) == 1 and 0 < left[0] <= TTL
        yield compare(Subject.node(node.name), living, Lifetime(TTL), Seconds(left))


@check(
    "leases.owner",
    "lease owner",
    layer=Layer.STORE,
    on="etcd",
    expects="no lease of an address that is not a minion's (shown only when there is one)",
    needs={Topic.LEASES},
)
def owner(seen: Observation) -> Iterator[Comparison]:
    """Nobody else takes part in the overlay."""
    addresses = tuple(str(node.address) for node in seen.minions)
    for lease in seen.leases or ():
        if public_ip(lease) not in addresses:
            minions = OneOf(tuple(Text(address) for address in addresses))
            yield compare(Subject("etcdKey", (lease.key,)), False, minions, Text(lease.value))


@dataclass(frozen=True, slots=True)
class Apart:
    """This many subnets of a network, none overlapping another."""

    count: int
    network: str

    @property
    def data(self) -> Data:
        """How many, and in what."""
        return {"count": self.count, "within": self.network, "overlapping": False}

    @property
    def text(self) -> str:
        """For a person."""
        return f"{self.count} inside {self.network}, none overlapping another"


@check(
    "leases.subnets",
    "subnets",
    layer=Layer.STORE,
    on="etcd",
    expects="one for each minion, inside the Network, none overlapping another",
    needs={Topic.LEASES},
)
def subnets(seen: Observation) -> Iterator[Comparison]:
    """No two pods can have the same address."""
    if seen.leases is None:
        return
    for family, network in seen.spec.networks.items():
        found = [subnet for lease in seen.leases if (subnet := lease.of(family)) is not None]
        apart = not any(one.overlaps(other) for one, other in combinations(found, 2))
        inside = all(subnet.overlaps(network) and subnet.prefixlen > network.prefixlen for subnet in found)
        yield compare(
            Subject("etcd", ("etcd",), "" if family == 4 else f"IPv{family}"),
            apart and inside and len(found) == len(seen.minions),
            Apart(len(seen.minions), str(network)),
            Items(tuple(str(subnet) for subnet in found), apart=", "),
        )
