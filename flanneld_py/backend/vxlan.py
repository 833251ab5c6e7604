"""The vxlan backend: the kernel encapsulates, by entries that we keep (flannel's backend/vxlan)."""

import errno
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_interface
from itertools import islice
from typing import Final

from flanneld_py.backend import vxlan_entries
from flanneld_py.backend.peers import Carried, of_families
from flanneld_py.backend.programmed import Programmed, Table
from flanneld_py.backend.tx_checksum import Examiner
from flanneld_py.backend.underlay import Underlay, is_local
from flanneld_py.backend.vxlan_entries import BACKEND_TYPE, OVERHEAD_IPV4, OVERHEAD_IPV6, Vteps, announced
from flanneld_py.config.model import NetworkConfig, Vxlan
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.kernel import links, offload
from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel.entries import Route
from flanneld_py.lease import Added, Event, Lease, LeaseAttrs
from flanneld_py.subnet import Address, Addresses, Subnet

__all__ = ["VxlanBackend"]

logger = logging.getLogger(__name__)

MANY: Final = 100
"""New peers, of which the examiners of checksums are told; one that answers is enough."""

LONGEST_NAME: Final = 15
"""Characters: IFNAMSIZ of linux/if.h, without the zero at the end."""

LOWEST_MTU: Final = 68
"""Bytes that every IPv4 network must carry (RFC 791)."""

LOWEST_MTU_IPV6: Final = 1280
"""Bytes that every IPv6 network must carry (RFC 8200); below that the kernel takes a device's IPv6 away."""


NONE: Final = IPv4Address(0)


@dataclass(slots=True)
class _Vtep:
    """One of our devices: `local` is its outer address, `index` is 0 until it is made, `address` its own."""

    name: str
    local: Address
    mtu: int
    mac: str
    index: int = 0
    address: Address = NONE
    examiner: Examiner | None = None


class VxlanBackend(Programmed):
    """See `backend.Backend`: a device for each family, and three entries for each peer in each.

    `tx_checksum` is "on", "off", or "auto": on unless TCP gets through only without.
    """

    def __init__(
        self,
        network: NetworkConfig,
        config: Vxlan,
        interface: Interface,
        public: Addresses,
        *,
        tx_checksum: str = "auto",
        table: Table = kernel_table,
    ) -> None:
        super().__init__(network.overlay, interface, table)
        self._config = config
        self._tx_checksum = tx_checksum
        self._underlay = Underlay(interface, network.overlay)
        self._public = of_families(public, network.overlay)
        outer = min(config.mtu or interface.mtu, interface.mtu)
        if config.mtu > outer:  # the kernel would not have it either
            text = "Backend.MTU is %d, and %s carries no more than %d: that is what counts here"
            logger.warning(text, config.mtu, interface.name, outer)
        self._ipv4 = self._ipv6 = None
        if network.ipv4 is not None:
            local = _address("IPv4", interface, interface.ipv4, public.ipv4)
            self._ipv4 = _vtep(f"flannel.{config.vni}", local, outer - OVERHEAD_IPV4, LOWEST_MTU)
        if network.ipv6 is not None:
            local = _address("IPv6", interface, interface.ipv6, public.ipv6)
            self._ipv6 = _vtep(f"flannel-v6.{config.vni}", local, outer - OVERHEAD_IPV6, LOWEST_MTU_IPV6)
        # What a pod may send: docker has one MTU for both families.
        self.mtu = min(vtep.mtu for vtep in self._vteps)
        text = "VXLAN config: VNI=%d Port=%d GBP=%s Learning=%s DirectRouting=%s"
        switches = (config.gbp, config.learning, config.direct_routing)
        logger.info(text, config.vni, config.port, *(str(switch).lower() for switch in switches))

    @property
    def _vteps(self) -> tuple[_Vtep, ...]:
        return tuple(vtep for vtep in (self._ipv4, self._ipv6) if vtep is not None)

    # See `Backend`

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. The MAC may change while we run, by a hand that is not ours."""
        ipv4, ipv6 = (
            None if vtep is None else announced(self._config.vni, vtep.mac)
            for vtep in (self._ipv4, self._ipv6)
        )
        return LeaseAttrs(self._public, BACKEND_TYPE, ipv4, ipv6)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`. An existing device stays as it is, if it is what is wanted."""
        self._underlay.require()
        self._own = subnet
        for vtep, network in ((self._ipv4, subnet.ipv4), (self._ipv6, subnet.ipv6)):
            if vtep is not None:
                if network is None:
                    raise ValueError(f"a lease without the family of {vtep.name}: {subnet}")
                self._make(vtep, network.network_address)

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`."""
        super().carry(peers, until)
        self._meet(peers)

    def change(self, events: Sequence[Event]) -> None:
        """See `Backend`."""
        super().change(events)
        self._meet([event.lease.subnet for event in events if isinstance(event, Added)])

    def release(self) -> None:
        """See `Backend`."""
        self._end_examinations()
        super().release()

    def broken(self) -> str:
        """See `Backend`. Asked every few seconds, so it is here that a new MAC is noticed."""
        for vtep in self._vteps:
            found = links.link(vtep.name)
            if found is None:
                return f"The device {vtep.name} is gone"
            if found.index != vtep.index:
                return f"The device {vtep.name} was made anew by another"
            if not found.up:
                return f"The device {vtep.name} was set down"
            if found.mac != vtep.mac:
                text = "The MAC of %s was changed from %s to %s: peers are told"
                logger.warning(text, vtep.name, vtep.mac, found.mac)
                vtep.mac = found.mac
        return self._underlay.trouble()

    def repair(self) -> int:
        """See `Backend`. Also the devices' own addresses and MTU."""
        changed = [vtep for vtep in self._vteps if _is_changed(vtep)]
        for vtep in changed:
            try:
                links.set_up(vtep.name, [ip_interface(vtep.address)], vtep.mtu)
                logger.info("Put right: address %s and MTU %d of %s", vtep.address, vtep.mtu, vtep.name)
            except Fatal as error:  # `broken` is asked soon, and looks deeper
                logger.error("%s. It is tried again", error)  # noqa: TRY400
        self._repairs += len(changed)
        return super().repair() + len(changed)

    def close(self) -> None:
        """See `Backend`."""
        self._end_examinations()
        super().close()

    # The devices

    def _make(self, vtep: _Vtep, address: Address) -> None:
        """Have the device, with this address alone, and up."""
        config = self._config
        link = links.ensure_vxlan(
            links.VxlanLink(
                vtep.name, config.vni, self._interface.index, vtep.local,
                port=config.port, gbp=config.gbp, learning=config.learning, mtu=vtep.mtu, mac=vtep.mac,
            )
        )  # fmt: skip
        vtep.index, vtep.mac, vtep.address = link.index, link.mac, address
        # A network of one address, so that there is no route to a network or for broadcasts.
        try:
            links.set_up(vtep.name, [ip_interface(address)], vtep.mtu)
        except Fatal as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
                port = self._config.port or links.VXLAN_PORT
                hint = f"`ss -lunp 'sport = :{port}'` shows who has it; end that, or set another Backend.Port"
                message = f"{vtep.name} needs the UDP port {port}, which is taken: {hint} for all machines"
                raise Fatal(message, code=Exit.TAKEN) from error
            raise
        self._see_to_checksums(vtep, address)

    def _devices(self) -> Mapping[str, int]:
        return {vtep.name: vtep.index for vtep in self._vteps if vtep.index}

    def _carried(self, lease: Lease) -> Carried:
        vteps = Vteps(*(None if vtep is None else vtep.index for vtep in (self._ipv4, self._ipv6)))
        direct_on = self._interface if self._config.direct_routing else None
        return vxlan_entries.entries(lease, vteps, self._config.vni, self._own, direct_on)

    # Checksums

    def _see_to_checksums(self, vtep: _Vtep, address: Address) -> None:
        """Turn the offload on or off, or begin to find out. It is off already where others found out."""
        if vtep.examiner is not None:
            vtep.examiner.stop()
            vtep.examiner = None
        try:
            if self._tx_checksum != "auto":
                offload.set_tx_checksum(vtep.name, self._tx_checksum == "on")
            elif offload.tx_checksum(vtep.name):
                vtep.examiner = Examiner(vtep.name, address, partial(offload.set_tx_checksum, vtep.name))
            else:
                text = (
                    "Transmit checksum offload of %s is off and stays so (-vxlan-tx-checksum=on turns it on)"
                )
                logger.info(text, vtep.name)
        except OSError as error:
            logger.warning("The transmit checksum offload of %s stays as it is: %s", vtep.name, error)

    def _meet(self, subnets: Iterable[Subnet]) -> None:
        """Tell the examiners of peers that packets are encapsulated to, once the kernel can send them."""
        examiners = {
            vtep.index: vtep.examiner
            for vtep in self._vteps
            if vtep.examiner is not None and not vtep.examiner.ended
        }
        for subnet in islice(subnets, MANY) if examiners else ():
            for network in subnet.networks:
                entry = self._ledger.wanted.get(network)
                if isinstance(entry, Route) and entry.onlink and entry.device in examiners:
                    examiners[entry.device].meet(network.network_address)

    def _end_examinations(self) -> None:
        for vtep in self._vteps:
            if vtep.examiner is not None:
                vtep.examiner.stop()
                vtep.examiner = None


def _is_changed(vtep: _Vtep) -> bool:
    """Whether a device of ours has lost its address or its MTU; `broken` looks at the rest."""
    found = links.link(vtep.name)
    return found is not None and (found.mtu != vtep.mtu or not is_local(vtep.address))


def _address(family: str, interface: Interface, own: Address | None, public: Address | None) -> Address:
    """The outer address of a device. Raises `Fatal` where the interface cannot carry the overlay."""
    if own is None or public is None:
        raise Fatal(
            f"The overlay has {family}, and {interface.name} has no {family} address: give it one, or name "
            "another interface with -iface",
            code=Exit.INTERFACE,
        )
    return own


def _vtep(name: str, local: Address, mtu: int, lowest: int) -> _Vtep:
    """A device that is not made yet, with the MAC of one that is there, so that no peer notices a restart."""
    if len(name) > LONGEST_NAME:
        raise Fatal(
            f"Backend.VNI makes the name {name}, and a device's has at most {LONGEST_NAME} characters: "
            "choose a VNI of fewer digits",
            code=Exit.CONFIG,
        )
    if mtu < lowest:
        raise Fatal(
            f"{name} would have an MTU of {mtu}, and {lowest} is the least: raise Backend.MTU, or the MTU of "
            "the interface",
            code=Exit.CONFIG,
        )
    found = links.link(name)
    mac = found.mac if found is not None and vxlan_entries.is_vtep_mac(found.mac) else _new_mac()
    return _Vtep(name, local, mtu, mac)


def _new_mac() -> str:
    """One machine's, locally administered (IEEE 802). Given at birth, systemd-udevd leaves it alone."""
    first, *others = secrets.token_bytes(6)
    return bytes([first & ~1 | 2, *others]).hex(":")
