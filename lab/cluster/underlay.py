"""The network of a lab's machines: one that neither the engine nor the machine below it has already."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path

from lab.engine import Engine, Network, SubnetTaken
from lab.errors import LabError
from lab.spec.engine import FIRST_OF_ENGINES

__all__ = ["Taken", "make", "of_networks", "of_routes", "refusal", "who_has"]

ROUTES = Path("/proc/net/route")

RTF_REJECT = 0x0200
"""linux/route.h: what is sent there is refused, so nobody is there."""

DEFAULT_LENGTH = 1
"""Up to this length a route leads everywhere: a default route, or one of a VPN's two halves of it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A network that is there, and where."""

    network: IPv4Network
    where: str


def of_networks(networks: Iterable[Network]) -> tuple[Taken, ...]:
    """The engine's networks."""
    return tuple(
        Taken(subnet, f"{found.name}, a network of the engine")
        for found in networks
        for subnet in map(ip_network, found.subnets)
        if isinstance(subnet, IPv4Network)
    )


def of_routes(text: str) -> tuple[Taken, ...]:
    """What this text of /proc/net/route (proc_net_route(5)) leads to, other than everywhere."""
    found = []
    for line in text.splitlines()[1:]:
        device, destination, _, flags, _, _, _, mask, *_ = line.split()
        network = IPv4Network((_address(destination), str(_address(mask))))
        if network.prefixlen > DEFAULT_LENGTH and not int(flags, 16) & RTF_REJECT:
            found.append(Taken(network, f"{device}, an interface of this machine"))
    return tuple(found)


def _address(number: str) -> IPv4Address:
    """An address as the kernel prints it there: as a number of this machine's byte order, in hexadecimal."""
    return IPv4Address(struct.pack("=I", int(number, 16)))


def who_has(wanted: IPv4Network, taken: Iterable[Taken]) -> Taken | None:
    """Who has the network, or a part of it, or is reached by way of it."""
    return next((item for item in taken if item.network.overlaps(wanted)), None)


def refusal(candidates: Sequence[IPv4Network], taken: Sequence[Taken]) -> str:
    """What is wrong when somebody has each of them."""
    holder = who_has(candidates[-1], taken)
    told = f"{holder.network} is on {holder.where}" if holder else "the engine says so"
    if len(candidates) > 1:
        return f"each network from {candidates[0]} to {candidates[-1]} is taken; the last: {told}"
    return f"the lab's network {candidates[0]} is taken: {told}"


def of_engines(network: IPv4Network) -> str:
    """The part of a swarm's network, a /24, from which each engine takes an address for itself."""
    return f"{network[FIRST_OF_ENGINES]}/28"


def make(
    engine: Engine,
    name: str,
    candidates: Sequence[IPv4Network],
    labels: Mapping[str, str],
    *,
    internal: bool,
    mtu: int | None = None,
    swarm: bool = False,
) -> Network:
    """Make the first of these networks that nobody has: a bridge, or with `swarm` one of all its engines.

    Raises `LabError`.

    This machine's routes count where the engine runs on it: a second one would take the other's packets.
    """
    taken = of_networks(engine.networks())
    if engine.is_here:
        taken += of_routes(ROUTES.read_text())
    for candidate in candidates:
        if who_has(candidate, taken) is None:
            try:
                if swarm:
                    ours = of_engines(candidate)
                    return engine.create_overlay(name, str(candidate), labels, engines=ours, mtu=mtu)
                return engine.create_network(name, str(candidate), labels, internal=internal, mtu=mtu)
            except SubnetTaken:
                continue  # another lab was quicker
    raise LabError(
        refusal(candidates, taken),
        hint="Another one: lab up --underlay 192.168.50.0/24, or `underlay:` in the lab file. "
        "The networks of labs: lab ls",
    )
