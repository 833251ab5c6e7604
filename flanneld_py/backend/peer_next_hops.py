"""How the peers are reached: what the kernel's routes to their public addresses say, kept up to date."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from flanneld_py.kernel.next_hop_lookup import next_hops_to
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Address, Subnet
from flanneld_py.underlay.interface import NextHop

__all__ = ["NextHops", "NextHopsTo"]

logger = logging.getLogger(__name__)

NextHopsTo: TypeAlias = Callable[[Sequence[Address]], Mapping[Address, NextHop]]
"""Asks the kernel which way packets to these addresses go. Raises `OSError`."""


class NextHops:
    """The ways to the peers of today. What the kernel could not be asked is asked with the next `renew`."""

    def __init__(self, ask: NextHopsTo = next_hops_to) -> None:
        self._ask = ask
        self._leases: dict[Subnet, Lease] = {}
        self.known: dict[Address, NextHop] = {}

    def begin(self, leases: Iterable[Lease]) -> None:
        """The peers are these, and none else."""
        self._leases, self.known = {}, {}
        self.learn(leases)

    def learn(self, leases: Iterable[Lease]) -> None:
        """These are new, or new in something."""
        news = {lease.subnet: lease for lease in leases}
        self._leases |= news
        self.known |= self._asked(_addresses(news.values())) or {}

    def forget(self, subnet: Subnet) -> None:
        """This peer is gone."""
        self._leases.pop(subnet, None)

    def renew(self) -> list[Lease]:
        """Ask again; the peers that are reached in another way than before."""
        found = self._asked(_addresses(self._leases.values()))
        if found is None:
            return []
        before, self.known = self.known, found
        changed = {
            address for address in found.keys() | before.keys() if found.get(address) != before.get(address)
        }
        return [lease for lease in self._leases.values() if not changed.isdisjoint(_addresses([lease]))]

    def _asked(self, addresses: Sequence[Address]) -> dict[Address, NextHop] | None:
        try:
            found = self._ask(addresses) if addresses else {}
        except OSError as error:
            logger.error("Asking for the routes to peers: %s. Retrying", error)  # noqa: TRY400
            return None
        # Its own address, of which peers know nothing, may change for reasons that are none here.
        return {address: replace(way, source=None) for address, way in found.items()}


def _addresses(leases: Iterable[Lease]) -> tuple[Address, ...]:
    """Their public addresses, each once."""
    publics = [(lease.attrs.public.ipv4, lease.attrs.public.ipv6) for lease in leases]
    return tuple(dict.fromkeys(address for pair in publics for address in pair if address is not None))
