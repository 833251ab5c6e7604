"""Access to nftables sets and counters in this network namespace."""

import threading
from collections.abc import Collection, Mapping
from typing import Final

from flanneld_py.kernel import nft_elements
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.netlink import Request
from flanneld_py.subnet import Address

__all__ = ["NftSets"]

NETLINK_NETFILTER: Final = 12  # linux/netlink.h


class NftSets:
    """The sets and counters of an inet table. For any thread; every method but `close` raises `OSError`.

    The socket stays open: closing one makes nf_tables wait, for some 20 ms, until deleted objects are freed
    on all CPUs (rcu_barrier in nft_rcv_nl_event).
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._channel = Channel(NETLINK_NETFILTER)

    def change(
        self, more: Mapping[str, Collection[Address]], less: Mapping[str, Collection[Address]]
    ) -> None:
        """Add addresses to sets and remove others, by set name, atomically."""
        requests: list[Request] = []
        for changes, add in ((less, False), (more, True)):
            for name, addresses in changes.items():
                requests += nft_elements.change(self._table, name, list(addresses), add=add)
        if requests:
            with self._lock:
                self._channel.transact(nft_elements.batch_begin(), requests, nft_elements.batch_end())

    def listed(self, name: str) -> set[Address]:
        """Return all addresses in a set."""
        with self._lock:
            dumped = self._channel.dump(nft_elements.dump(self._table, name), nft_elements.NFT_MSG_NEWSETELEM)
        return {
            address
            for data, message in dumped
            for address in nft_elements.elements(data, message.start, message.end)
        }

    def packets(self, name: str) -> int:
        """Return the packet count of a counter."""
        with self._lock:
            data, message = self._channel.ask(nft_elements.counter(self._table, name))
        return nft_elements.counted(data, message.start, message.end)

    def generation(self) -> int:
        """Return the generation, a number that differs after any change to any table."""
        with self._lock:
            data, message = self._channel.ask(nft_elements.generation())
        return nft_elements.generation_of(data, message.start, message.end)

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._channel.close()
