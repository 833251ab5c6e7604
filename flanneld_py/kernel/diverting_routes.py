"""Finds routes that divert packets for our own subnet to another machine.

Most are left over: the subnet was once another machine's, and host-gw or vxlan had a route to it. While
Docker's bridge is down, or if the route is more specific than the bridge's, it makes the local containers
unreachable.
"""

import logging
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from flanneld_py.kernel import table
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.entries import PROTOCOL, Remove, Route
from flanneld_py.kernel.limits import FLANNEL
from flanneld_py.kernel.lookup import Match, lookup
from flanneld_py.subnet import Network, Subnet

__all__ = ["DivertingRoutes", "is_astray"]

logger = logging.getLogger(__name__)


class DivertingRoutes:
    """Removes diverting routes of flannel's, and warns of others."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def put_right(self, own: Subnet, under: int) -> int:
        """Remove diverting routes of flannel's; warn once of each other one; return how many were removed.

        `under` is the index of the external interface.
        """
        removed = 0
        reported: set[str] = set()
        for network in own.networks:
            for match, name in self._found(network, under):
                words = str(_route(match)).replace(f"dev #{match.device}", f"dev {name}")
                if _is_flannels(match, name) and self._remove(match):
                    removed += 1
                    text = "Removed the %s, which led packets for our own subnet %s away from this machine"
                    logger.warning(text, words, network)
                    continue
                reported.add(words)
                if words not in self._reported:
                    logger.warning(
                        "The %s leads packets for our own subnet %s away from this machine: remove it (ip "
                        "route delete %s)",
                        words,
                        network,
                        words.removeprefix("route "),
                    )
        self._reported = reported
        return removed

    def _found(self, network: Network, under: int) -> list[tuple[Match, str]]:
        # The first and the last container address: a route that covers the subnet covers both.
        first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
        kind = IPv4Address if network.version == 4 else IPv6Address
        found: dict[Match, str] = {}
        with Channel() as channel:
            for number in dict.fromkeys((first, last)):
                match = lookup(channel, kind(number))
                if match is not None:
                    name = ""
                    with suppress(OSError):
                        name = socket.if_indextoname(match.device)
                    if is_astray(match, network, under, name):
                        found[match] = name
        return list(found.items())

    def _remove(self, match: Match) -> bool:
        return not table.perform([Remove(_route(match))])


def is_astray(match: Match, own: Network, under: int, name: str) -> bool:
    """Whether the route covers our subnet or part of it and leads to another machine."""
    if match.destination.prefixlen < own.prefixlen:
        return False
    return match.gateway is not None or match.device == under or name.startswith(FLANNEL)


def _is_flannels(match: Match, name: str) -> bool:
    return match.protocol == PROTOCOL or name.startswith(FLANNEL)


def _route(match: Match) -> Route:
    return Route(match.destination, match.device, match.gateway, metric=match.metric, protocol=match.protocol)
