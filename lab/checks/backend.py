"""What each of flannel's backends makes of a set of leases on one machine. Pure.

The forms are those that genuine flannels show: 0.5.5 (etcd v2) and 0.20.2 (etcd v3).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.checks.dialect import Dialect
from lab.checks.facts import Link
from lab.spec import BackendSpec

__all__ = ["COMPARED", "Expected", "Peer", "expected"]

COMPARED = frozenset({"udp", "vxlan", "host-gw", "alloc"})
"""The backends whose devices, routes and lease values the checks know."""

OVERHEAD = {"udp": 28, "vxlan": 50, "ipip": 20, "wireguard": 80}
"""Bytes that a backend takes off the underlay's MTU. udp: IPv4 (20) and UDP (8). vxlan: those, VXLAN (8) and
the inner Ethernet header (14)."""

TUN_QUEUE = 500
"""TUN_READQ_SIZE in the kernel's drivers/net/tun.c: a TUN device's queue length, as the tutorial shows it."""

HOPS = {"udp": 4, "vxlan": 2, "host-gw": 2}
"""What a packet from pod to pod on another machine has lost of its TTL: one for each machine's kernel, which
forwards it, and with udp one for each machine's flanneld."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another machine's lease."""

    subnet: IPv4Network
    address: IPv4Address
    mac: str
    """vxlan: of its device, as its lease has it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be seen on a machine. None: the checks do not know, and nothing is compared."""

    mtu: int | None
    """Of docker0 and pods; None where eth0 is missing or not known."""
    value: str | None
    """The lease's."""
    device: str | None
    """flannel's own; empty for none."""
    address: str | None
    """The device's."""
    queue: int | None
    """The device's transmit queue length in packets."""
    routes: frozenset[str] | None
    """All that lead into the overlay but docker0's, as `ip -4 route` writes them."""
    neighbours: frozenset[str] | None
    """On the device: "ADDRESS MAC"."""
    fdb: frozenset[str] | None
    """On the device: "MAC ADDRESS"."""
    fdb_only: bool
    """Whether there may be no others."""


def expected(
    backend: BackendSpec,
    dialect: Dialect,
    address: IPv4Address,
    network: IPv4Network,
    subnet: IPv4Network | None,
    peers: tuple[Peer, ...],
    links: Mapping[str, Link] | None,
) -> Expected:
    """What a machine of this underlay address and subnet must look like; `links`: its devices, if known."""
    eth0 = links.get("eth0") if links is not None else None
    base = subnet.network_address if subnet else None
    above = backend.mtu if backend.mtu and backend.type == "vxlan" else (eth0.mtu if eth0 else None)
    mtu = above - OVERHEAD.get(backend.type, 0) if above else None
    kernels = f"{network} dev {{}} proto kernel scope link src {base}"
    value: dict[str, Any] = {"PublicIP": str(address)}
    if dialect.public_ipv6:
        value["PublicIPv6"] = None
    if backend.type not in {"udp", "alloc"}:
        value["BackendType"] = backend.type
    device, on_device, queue, neighbours, fdb = "", 32, None, None, None
    routes: set[str] | None = set()
    known = backend.type in COMPARED
    match backend.type:
        case "udp":
            device, queue = "flannel0", TUN_QUEUE
            routes = {kernels.format(device) if dialect.udp_network else f"{network} dev {device}"}
            routes = routes if base or not dialect.udp_network else None
            on_device = network.prefixlen if dialect.udp_network else 32
        case "vxlan":
            device = f"flannel.{backend.vni}"
            own = links.get(device) if links is not None else None
            vni = {"VNI": backend.vni} if dialect.vni else {}
            value["BackendData"] = {**vni, "VtepMAC": own.mac if own else f"that of {device}"}
            through = () if backend.direct_routing else peers
            fdb = frozenset(f"{peer.mac} {peer.address}" for peer in through)
            if dialect.vxlan_static:
                neighbours = frozenset(f"{peer.subnet.network_address} {peer.mac}" for peer in through)
                routes = {
                    f"{peer.subnet} via {peer.subnet.network_address} dev {device} onlink" for peer in through
                }
                if backend.direct_routing:
                    routes = _direct(peers)
            else:
                routes, on_device = {kernels.format(device)} if base else None, network.prefixlen
        case "host-gw":
            routes = _direct(peers)
    # Without its devices nobody can say which MAC a machine's lease must have.
    certain = known and (links is not None or "BackendData" not in value)
    return Expected(
        mtu=mtu,
        value=json.dumps(value, separators=(",", ":")) if certain else None,
        device=device if known else None,
        address=f"{base}/{on_device}" if base else None,
        queue=queue,
        routes=frozenset(routes) if known and routes is not None else None,
        neighbours=neighbours,
        fdb=fdb,
        fdb_only=dialect.fdb_clean,
    )


def _direct(peers: tuple[Peer, ...]) -> set[str]:
    return {f"{peer.subnet} via {peer.address} dev eth0" for peer in peers}
