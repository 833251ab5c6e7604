"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.mtu import require_mtu
from flanneld_py.backend.source_check import SourceCheck
from flanneld_py.backend.udp.config import Udp, UdpOptions
from flanneld_py.backend.udp.protected_routes import ProtectedRoutes
from flanneld_py.config.model import NetworkConfig
from flanneld_py.datapath import sockets
from flanneld_py.datapath.announcement import Announcement
from flanneld_py.datapath.forward import OVERHEAD, ForwardTable, Mandate, Peer
from flanneld_py.datapath.tun import require_tun
from flanneld_py.datapath.tunnel import Outside, Tunnel
from flanneld_py.errors import Exit, Fatal
from flanneld_py.firewall.source_set import SourceCheckSpec
from flanneld_py.kernel import own_devices
from flanneld_py.kernel.desired import DesiredDevice, pools
from flanneld_py.kernel.entries import KERNEL, Entry, Route, Slot, slot
from flanneld_py.kernel.limits import LOWEST_MTU
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.subnet import Address, Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["UdpBackend"]

DEVICE, ANY_DEVICE = "flannel0", "flannel%d"
QUEUE_LENGTH = 500  # packets: TUN_READQ_SIZE of the kernel's drivers/net/tun.c, which flannel leaves as it is


class UdpBackend:
    """See `backend.Backend`. Holds the port from the beginning, so that no device is made if it is taken."""

    def __init__(self, network: NetworkConfig, config: Udp, options: UdpOptions, node: NodeContext) -> None:
        if network.ipv4 is None:
            raise ValueError("a network without IPv4")
        interface = node.interface
        address = _address(interface)
        require_tun()
        self.mtu = _inner_mtu(interface)
        self._network = network.ipv4.network
        self._pools = pools(network)
        self._public = node.public
        self._outside = Outside(sockets.bind(address, config.port), address, config.port, interface.name)
        self._needs = node.needs
        self._protected = ProtectedRoutes(self._network, interface)
        self._source_check = SourceCheck(check=options.udp_source_check)
        self._guarded = SourceCheckSpec(config.port, (4,), interface.index)
        self._options = options
        self._announcements = node.announcements
        # As flannel: of several networks each takes the first that is free, the only one has always the same.
        self._wanted_device = DEVICE if node.alone else ANY_DEVICE
        self._tunnel: Tunnel | None = None
        self._own = IPv4Network(0)
        self._table = ForwardTable(self._network)

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. flannel's udp leases say no more than the address."""
        return LeaseAttrs(self._public)

    def recall(self, said: LeaseAttrs) -> None:
        """See `Backend`. All that it says can be said anew."""

    def announcement(self) -> bytes:
        """See `Backend`."""
        fast = self._tunnel is not None and self._tunnel.fast
        return Announcement(self.mtu + OVERHEAD, fast).encode()

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`. The socket is another one only if the address is."""
        address, mtu, before = _address(interface), _inner_mtu(interface), self._outside
        if address == before.address:
            self._outside = replace(before, interface=interface.name)
        else:
            bound = sockets.bind(address, before.port)
            self._outside = Outside(bound, address, before.port, interface.name)
            if self._tunnel is None or self._tunnel.outside.socket is not before.socket:
                before.socket.close()
        self.mtu, self._public = mtu, public
        self._protected.follow_to(interface)
        self._guarded = replace(self._guarded, under=interface.index)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""
        if subnet.ipv4 is None:
            raise ValueError(f"a lease without IPv4: {subnet}")
        if self._tunnel is not None and not self._tunnel.alive:
            self._drop()
        self._own = subnet.ipv4
        self._source_check.begin(self._guarded)
        self._protected.begin(self._needed())  # before there is the device, whose route takes them along
        if self._tunnel is not None:
            own_devices.establish(self._device(self._tunnel))
            self._move(self._tunnel)
            return
        options = self._options
        tunnel = Tunnel(
            self._wanted_device,
            self._outside,
            self.mtu,
            fast_path=options.udp_fast_path,
            offloads=options.udp_offloads,
        )
        try:
            own_devices.establish(self._device(tunnel))
            tunnel.begin()
        except BaseException:
            tunnel.close()
            raise
        self._tunnel = tunnel

    def _move(self, tunnel: Tunnel) -> None:
        """Have it stand on the interface as it is by now, and with all its programs."""
        before = tunnel.outside
        if (tunnel.outside, tunnel.mtu) != (self._outside, self.mtu):
            tunnel.move(self._outside, self.mtu)
            if before.socket is not self._outside.socket:
                before.socket.close()
        elif tunnel.damage:
            tunnel.renew()

    def _device(self, tunnel: Tunnel) -> DesiredDevice:
        """The tunnel's device as it should be: with an address and a route of the whole network."""
        own = self._own.network_address
        address = IPv4Interface((own, self._network.prefixlen))
        route = Route(self._network, tunnel.index, source=own, protocol=KERNEL)
        return DesiredDevice(
            tunnel.device, tunnel.index, self.mtu, (address,), (route,), QUEUE_LENGTH, pools=self._pools
        )

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`. Whatever backend a lease names: 0.5.5 looks at the address only, and so do we."""
        self._source_check.carry(peers)
        self._protected.begin(self._needed(), peers.values())
        known = [of for of in map(self._of, peers.values()) if of is not None]
        self._table = ForwardTable.of({of.subnet: of.peer for of in known}, self._network)
        if self._tunnel is not None:
            self._tunnel.replace({of.subnet: (of.peer, of.fast) for of in known})
        self.extend(until)

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""
        self._source_check.follow(events)
        self._protected.follow(events)
        for event in events:
            of = self._of(event.lease)
            if of is None:
                continue
            if isinstance(event, PeerAdded):
                self._table.put(of.subnet, of.peer)
            else:
                self._table.remove(of.subnet)
            if self._tunnel is None:
                continue
            if isinstance(event, PeerAdded):
                self._tunnel.put(of.subnet, of.peer, fast=of.fast)
            else:
                self._tunnel.remove(of.subnet)

    def _needed(self) -> Iterator[Address]:
        """What must be reached past the overlay, whoever the peers are."""
        needs = self._needs()
        yield from needs.registries
        yield from needs.gateways

    def _of(self, lease: Lease) -> "_Neighbour | None":
        """Where a lease's packets go; None for one without IPv4."""
        subnet, address = lease.subnet.ipv4, lease.attrs.public.ipv4
        if subnet is None or address is None:
            return None
        said = Announcement.decode(lease.announced)
        # Where there is no place for announcements, all are as ours.
        paced = said == Announcement() and self._announcements
        peer = Peer((str(address), self._outside.port), said.inner_mtu(self.mtu), paced)
        return _Neighbour(subnet, peer, said.fast_path)

    def extend(self, until: float) -> None:
        """See `Backend`."""
        if self._tunnel is not None:
            tunnel, check = self._own.network_address, self._options.udp_source_check
            self._tunnel.allow(Mandate(tunnel, self._own, self._table, until, check))

    def release(self) -> None:
        """See `Backend`."""
        if self._tunnel is not None:
            self._tunnel.forbid()

    def broken(self) -> str:
        """See `Backend`."""
        if self._tunnel is None:
            return f"{self._wanted_device} could not be recreated"
        if self._tunnel.failure is not None:
            return f"{self._tunnel.device} does not work any more: {self._tunnel.failure.strerror}"
        return self._tunnel.damage

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`. The device, and beside it the fast path's."""
        if self._tunnel is None:
            return ()
        inlet = self._tunnel.inlet
        return (self._device(self._tunnel), *([] if inlet is None else [DesiredDevice(*inlet)]))

    def wanted(self) -> Mapping[Slot, Entry]:
        """See `Backend`."""
        routes = [route for device in self.owned() for route in device.routes]
        return {slot(route): route for route in (*routes, *self._protected.routes())}

    def repair(self) -> int:
        """See `Backend`. The tables are ours alone, so nobody can have changed them; routes are not."""
        self._protected.refresh(self._needed())
        return self._protected.repair() + self._source_check.repair()

    def statistics(self) -> Statistics:
        """See `Backend`."""
        tunnel = self._tunnel  # which may be made anew meanwhile
        found = Statistics() if tunnel is None else tunnel.statistics()
        return found.with_dropped(self._source_check.dropped())

    def close(self) -> None:
        """See `Backend`."""
        self._drop()
        self._protected.close()
        self._source_check.close()
        self._outside.socket.close()

    def _drop(self) -> None:
        """End what carries; the device goes with it."""
        if self._tunnel is not None:
            tunnel, self._tunnel = self._tunnel, None
            tunnel.close()
            if tunnel.outside.socket is not self._outside.socket:
                tunnel.outside.socket.close()


def _address(interface: Interface) -> IPv4Address:
    if interface.ipv4 is None:
        message = f"The udp backend carries IPv4 only, and {interface.name} has no IPv4 address"
        raise Fatal(message, code=Exit.INTERFACE)
    return interface.ipv4


def _inner_mtu(interface: Interface) -> int:
    require_mtu(interface.mtu, LOWEST_MTU[4] + OVERHEAD, Udp.type, interface)
    return interface.mtu - OVERHEAD


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """A subnet, the node that holds it, and whether that takes super-packets."""

    subnet: IPv4Network
    peer: Peer
    fast: bool
