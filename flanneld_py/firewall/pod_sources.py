"""Reverse-path check with nft: packets leave the pods' bridge with addresses of pods only.

Docker's containers may send raw packets, so with any source. With the address of another machine's pod they
pass every check of the machine that receives them; with a peer's own address they are, to it, the peer's. The
kernel's own check, rp_filter, is off on most machines where containers run.

The route back to a packet's source must lead to the interface that the packet came from. So a container may
still be a router for addresses that the machine has a route to through it. What one pod sends in the name of
another on the same bridge cannot be told apart here.

There is one table for each network of an overlay; like the other rules they stay when flanneld exits.
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Final

from flanneld_py.firewall.nft_table import NftTable, remove_table
from flanneld_py.firewall.program import ProgramMissing, run
from flanneld_py.firewall.resync import Resync
from flanneld_py.kernel.pod_interface import pod_interface
from flanneld_py.subnet import Network, Subnet

__all__ = ["TABLES", "PodSources", "table_name", "text"]

logger = logging.getLogger(__name__)

COUNTER: Final = "forged"
REASON: Final = "sent by a container with an address that is no pod's here"

TABLES: Final = re.compile(r"flannel-pods\.[0-9a-f._-]+")
"""Names of these tables."""


def table_name(network: Network) -> str:
    """Name of the table of an overlay's network, in the family inet."""
    return f"flannel-pods.{network.network_address}-{network.prefixlen}".replace(":", "_")


def text(network: Network, bridge: int) -> str:
    """Write nft input that creates the table, or its chain anew; `bridge` is the pods' interface's index."""
    table = f"inet {table_name(network)}"
    # After `source_set`, which says more of what is for the overlay's own port. Packets between two pods of
    # the bridge pass here, too, where br_netfilter is on.
    which = f"meta nfproto ipv{network.version} iif {bridge} oif != {bridge}"
    return (
        f"add table {table}\n"
        f"add counter {table} {COUNTER}\n"
        f"add chain {table} forward {{ type filter hook forward priority -9 ; policy accept ; }}\n"
        f"flush chain {table} forward\n"
        f"add rule {table} forward {which} fib saddr . iif oif missing counter name {COUNTER} drop\n"
    )


class PodSources:
    """The check for one overlay; without `check` nothing is checked. Without nft this is logged once."""

    def __init__(
        self, *, check: bool, interface_of: Callable[[Network, int], int | None] = pod_interface
    ) -> None:
        self._check = check
        self._interface_of = interface_of
        self._own: dict[Network, Network] = {}
        self._tables: dict[Network, NftTable] = {}
        self._bridges: dict[Network, int] = {}
        self._under = 0
        self._reported = ""
        self._lock = threading.Lock()
        self._resync = Resync(self._repair)

    def set(self, overlay: Subnet, own: Subnet, under: int) -> None:
        """Check what leaves our own subnet. `under` is the index of the external interface."""
        with self._lock:
            self._set(overlay, own)
            self._under = under
        if self._check:
            self._repair()

    def _set(self, overlay: Subnet, own: Subnet) -> None:
        pairs = ((overlay.ipv4, own.ipv4), (overlay.ipv6, own.ipv6))
        self._own = {network: subnet for network, subnet in pairs if network and subnet}
        for network in self._tables.keys() - self._own.keys():
            self._bridges.pop(network, None)
            self._tables.pop(network).close()
            remove_table(table_name(network))
        for network in () if self._check else self._own:
            remove_table(table_name(network))

    def sync(self, under: int) -> int:
        """Follow the bridge, and repair what others changed, in a thread; return the number of repairs."""
        self._under = under
        return self._resync() if self._check else 0

    def dropped(self) -> Mapping[str, int]:
        """Return dropped packets by reason since the tables were created. For any thread."""
        packets = 0
        for table in list(self._tables.values()):
            try:
                packets += table.sets.packets(COUNTER)
            except OSError as error:  # gone: `sync` makes it again
                logger.debug("Cannot read a counter of the table %s: %s", table.name, error)
        return {REASON: packets} if packets else {}

    def _repair(self) -> int:
        """Return how many tables others had changed."""
        with self._lock:
            return sum(self._keep(network, subnet) for network, subnet in self._own.items())

    def _keep(self, network: Network, own: Network) -> bool:
        """Return whether others had changed the table, and it is right again."""
        try:
            bridge = self._interface_of(own, self._under)
        except OSError as error:
            logger.debug("Cannot look up the route to our own subnet %s: %s", own, error)
            return False
        if bridge is None:  # until there is one no container sends anything
            return False
        table = self._tables.get(network)
        followed = bridge == self._bridges.get(network)
        if table is not None and followed and (not table.may_have_changed() or table.is_unchanged()):
            return False
        return self._make(network, bridge) and followed

    def _make(self, network: Network, bridge: int) -> bool:
        try:
            run(["nft", "-f", "-"], text(network, bridge))
            table = self._tables.get(network)
            if table is None:
                table = self._tables[network] = NftTable(table_name(network), ["forward"])
        except OSError as error:
            self._report(error)
            return False
        self._bridges[network] = bridge
        table.remember()
        return True

    def _report(self, error: OSError) -> None:
        if str(error) == self._reported:
            return
        self._reported = str(error)
        if isinstance(error, ProgramMissing):
            remedy = "install the package nftables"
        else:  # for example, a kernel without CONFIG_NFT_FIB_INET
            remedy = "containers without CAP_NET_RAW cannot send such packets"
        text = "What local containers send with an address that is no pod's is not dropped: %s; %s"
        logger.info(text, error, remedy)
