"""Sets and counters of nftables in this network namespace."""

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
    """Those of an inet table. For any thread; every method but `close` raises `OSError`.

    The socket stays open: when one is closed, nf_tables waits until all CPUs have forgotten what was deleted
    (rcu_barrier in its nft_rcv_nl_event), some 20 ms.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._channel = Channel(NETLINK_NETFILTER)

    def change(
        self, more: Mapping[str, Collection[Address]], less: Mapping[str, Collection[Address]]
    ) -> None:
        """Put addresses into sets, by their names, and take others out; all of it at once."""
        requests: list[Request] = []
        for changes, add in ((less, False), (more, True)):
            for name, addresses in changes.items():
                requests += nft_elements.change(self._table, name, list(addresses), add=add)
        if requests:
            with self._lock:
                self._channel.transact(nft_elements.batch_begin(), requests, nft_elements.batch_end())

    def listed(self, name: str) -> set[Address]:
        """All that is in a set."""
        with self._lock:
            dumped = self._channel.dump(nft_elements.dump(self._table, name), nft_elements.NFT_MSG_NEWSETELEM)
        return {
            address
            for data, message in dumped
            for address in nft_elements.elements(data, message.start, message.end)
        }

    def packets(self, name: str) -> int:
        """Of a counter."""
        with self._lock:
            data, message = self._channel.ask(nft_elements.counter(self._table, name))
        return nft_elements.counted(data, message.start, message.end)

    def generation(self) -> int:
        """A number that every change to any table makes another."""
        with self._lock:
            data, message = self._channel.ask(nft_elements.generation())
        return nft_elements.generation_of(data, message.start, message.end)

    def close(self) -> None:
        """Ask no more."""
        with self._lock:
            self._channel.close()
