"""The vxlan backend: the kernel encapsulates, by entries that we maintain (flannel's backend/vxlan)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Final

from flanneld_py.backend.kernel_backend import KernelBackend, Table
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.mtu import require_mtu
from flanneld_py.backend.peer_next_hops import NextHops, NextHopsTo
from flanneld_py.backend.peers import Carried, Direct, of_families
from flanneld_py.backend.source_check import SourceCheck
from flanneld_py.backend.vxlan import entries
from flanneld_py.backend.vxlan.config import Vxlan, VxlanOptions, lowest_mtu
from flanneld_py.backend.vxlan.entries import Vteps, announced
from flanneld_py.backend.vxlan.vtep import Vtep
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall.source_set import SourceCheckSpec
from flanneld_py.kernel import links
from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel.desired import DesiredDevice, pools
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.next_hop_lookup import next_hops_to
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.subnet import Address, Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["VxlanBackend"]

logger = logging.getLogger(__name__)

MAX_OFFERED: Final = 100
"""Maximum number of new peers offered to the checksum examination per call; one that answers suffices."""


class VxlanBackend(KernelBackend):
    """See `backend.Backend`. A device per address family, and in each device three entries per peer.

    Transmit checksum offload is "on", "off", or "auto": on, unless a trial shows that TCP needs it off. With
    the source check, packets are accepted only from the public addresses of peers.
    """

    def __init__(
        self,
        network: NetworkConfig,
        config: Vxlan,
        options: VxlanOptions,
        node: NodeContext,
        *,
        table: Table = kernel_table,
        ways: NextHopsTo = next_hops_to,
    ) -> None:
        reached = NextHops(ways) if config.direct_routing else None
        super().__init__(network.overlay, node.interface, table, reached)
        self._config = config
        self._lowest_mtu = lowest_mtu(network.versions)
        self._announce_16_bit_vni = False
        self._source_check = SourceCheck(
            check=options.vxlan_source_check, sends=lambda lease: lease.attrs.backend_type == Vxlan.type
        )
        self._ipv4, self._ipv6 = (
            None if pool is None else Vtep(config, version, options.vxlan_tx_checksum, pools(network))
            for version, pool in ((4, network.ipv4), (6, network.ipv6))
        )
        self.follow(node.interface, node.public)
        text = "VXLAN config: VNI=%d Port=%d GBP=%s Learning=%s DirectRouting=%s"
        switches = (config.gbp, config.learning, config.direct_routing)
        logger.info(text, config.vni, config.port, *(str(switch).lower() for switch in switches))

    @property
    def _vteps(self) -> tuple[Vtep, ...]:
        return tuple(vtep for vtep in (self._ipv4, self._ipv6) if vtep is not None)

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. A MAC that another program sets is noticed at the next `claim`."""
        ipv4, ipv6 = (
            None if vtep is None else announced(self._config.vni, vtep.mac, older=self._announce_16_bit_vni)
            for vtep in (self._ipv4, self._ipv6)
        )
        return LeaseAttrs(self._public, Vxlan.type, ipv4, ipv6)

    def try_out(self) -> None:
        """Check that this machine can create the devices; leaves nothing behind. Raises `Fatal`."""
        for vtep in self._vteps:
            vtep.try_out()

    def recall(self, said: LeaseAttrs) -> None:
        """See `Backend`. After a reboot there is no device, but peers may still remember its MAC."""
        if said.backend_type == Vxlan.type:
            for vtep, data in ((self._ipv4, said.backend_data), (self._ipv6, said.backend_v6_data)):
                if vtep is not None:
                    vtep.recall(entries.announced_mac(data))

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`. A different address or interface means a new device with the same MAC."""
        outer = min(self._config.mtu or interface.mtu, interface.mtu)
        if self._config.mtu > outer:  # the kernel would refuse it, too
            text = "Backend.MTU is %d, but the MTU of %s is only %d: using that"
            logger.warning(text, self._config.mtu, interface.name, outer)
        require_mtu(outer, self._lowest_mtu, Vxlan.type, interface)
        if self._ipv4 is not None:
            local = _required("IPv4", interface.name, interface.ipv4, public.ipv4)
            self._ipv4.stand(interface.index, local, outer)
        if self._ipv6 is not None:
            local = _required("IPv6", interface.name, interface.ipv6, public.ipv6)
            self._ipv6.stand(interface.index, local, outer)
        self._interface = interface
        self._public = of_families(public, self._overlay)
        # The smaller one, because docker has a single MTU for both families.
        self.mtu = min(vtep.mtu for vtep in self._vteps)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`. An existing device that already matches is kept."""
        self._own = subnet
        for vtep, network in ((self._ipv4, subnet.ipv4), (self._ipv6, subnet.ipv6)):
            if vtep is not None:
                if network is None:
                    raise ValueError(f"the lease {subnet} has no subnet of the address family of {vtep.name}")
                vtep.make(network.network_address)
        versions = tuple(network.version for network in subnet.networks)
        port = self._config.port or links.default_port()
        self._source_check.begin(SourceCheckSpec(port, versions, self._interface.index, self._config.vni))

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`."""
        self._source_check.carry(peers)
        super().carry(peers, until)
        self._meet(peers)

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""
        self._source_check.follow(events)
        super().change(events)
        self._meet([event.lease.subnet for event in events if isinstance(event, PeerAdded)])

    def release(self) -> None:
        """See `Backend`."""
        with ExitStack() as stack:
            for vtep in self._vteps:
                stack.callback(vtep.end_examination)
            stack.callback(self._source_check.release)
            super().release()  # first, for an examination takes a moment to end

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        return tuple(vtep.wanted() for vtep in self._vteps)

    def broken(self) -> str:
        """See `Backend`."""
        # Nothing to check: the devices are in `owned`. But this is called regularly, so lock queries are
        # answered here.
        for vtep in self._vteps:
            vtep.look()
        return ""

    def repair(self) -> int:
        """See `Backend`. Also repairs the set of allowed senders."""
        repaired = self._source_check.repair()
        self._repairs += repaired
        return super().repair() + repaired

    def statistics(self) -> Statistics:
        """See `Backend`. Adds what the source check drops before it reaches the device."""
        return super().statistics().with_dropped(self._source_check.dropped())

    def close(self) -> None:
        """See `Backend`."""
        for vtep in self._vteps:
            vtep.close()
        self._source_check.close()
        super().close()

    def _devices(self) -> Mapping[str, int]:
        return {vtep.name: vtep.index for vtep in self._vteps if vtep.index}

    def _carried(self, lease: Lease) -> Carried:
        if not self._announce_16_bit_vni and entries.is_older(lease, self._config.vni):
            text = "%s announces its VNI as flannel before 0.24, which reads no more than 16 bits: "
            text += "so will our lease"
            logger.info(text, lease.attrs.public)
            self._announce_16_bit_vni = True
        vteps = Vteps(*(None if vtep is None else vtep.index for vtep in (self._ipv4, self._ipv6)))
        direct = None if self._reached is None else Direct(self._interface.index, self._reached.known)
        return entries.entries(lease, vteps, self._config.vni, self._own, direct)

    def _meet(self, subnets: Iterable[Subnet]) -> None:
        """Have checksums examined with peers that packets are encapsulated to, once they can be sent."""
        vteps = {vtep.index: vtep for vtep in self._vteps}
        for subnet in islice(subnets, MAX_OFFERED):
            for network in subnet.networks:
                entry = self._ledger.wanted.get(network)
                if isinstance(entry, Route) and entry.onlink and entry.device in vteps:
                    vteps[entry.device].meet(network.network_address)


def _required(family: str, name: str, own: Address | None, public: Address | None) -> Address:
    """The outer address of a device. Raises `Fatal` if the interface has none of this family."""
    if own is None or public is None:
        raise Fatal(
            f"The overlay uses {family}, but {name} has no {family} address: give it one, or name another "
            "interface with -iface",
            code=Exit.INTERFACE,
        )
    return own
