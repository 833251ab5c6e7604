"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from flanneld_py import kernel
from flanneld_py.backend import Statistics
from flanneld_py.backend.underlay import Underlay
from flanneld_py.config.model import NetworkConfig, Udp
from flanneld_py.datapath import sockets
from flanneld_py.datapath.announcement import LOWEST_MTU, Announcement
from flanneld_py.datapath.forward import OVERHEAD, ForwardTable, Mandate, Peer
from flanneld_py.datapath.loop import Loop
from flanneld_py.datapath.plain import PlainLoop
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tun import open_tun, require_tun
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.lease import Added, Event, Lease, LeaseAttrs
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["UdpBackend"]

DEVICE = "flannel0"
QUEUE_LENGTH = 500  # packets: TUN_READQ_SIZE of the kernel's drivers/net/tun.c, which flannel leaves as it is


class UdpBackend:
    """See `backend.Backend`. Holds the port from the beginning, so that no device is made if it is taken."""

    def __init__(
        self,
        network: NetworkConfig,
        config: Udp,
        interface: Interface,
        public: Addresses,
        options: Options,
        *,
        device: str = DEVICE,
    ) -> None:
        if network.ipv4 is None:
            message = "The udp backend carries IPv4 only: set EnableIPv4, or choose the backend vxlan"
            raise Fatal(message, code=Exit.CONFIG)
        if interface.ipv4 is None:
            message = f"The udp backend carries IPv4 only, and {interface.name} has no IPv4 address"
            raise Fatal(message, code=Exit.INTERFACE)
        require_tun()
        self.mtu = interface.mtu - OVERHEAD
        if self.mtu < LOWEST_MTU:
            raise Fatal(
                f"The MTU of {interface.name} is {interface.mtu}: {LOWEST_MTU + OVERHEAD} is the least",
                code=Exit.INTERFACE,
            )
        self._network = network.ipv4.network
        self._underlay = Underlay(interface, network.overlay)
        self._public = public
        self._port = config.port
        self._socket = sockets.bind(interface.ipv4, self._port)
        self._wanted_device = self._device = device
        self._tun: int | None = None
        self._loop: Loop | None = None
        self._check_source = options.udp_source_check
        self._own = IPv4Network(0)
        self._table = ForwardTable(self._network)
        self._traffic = Traffic()

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. flannel's udp leases say no more than the address."""
        return LeaseAttrs(self._public)

    def announcement(self) -> bytes:
        """See `Backend`."""
        return Announcement(self.mtu + OVERHEAD).encode()

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`. Raises `Fatal` where the interface is not the one any more that we began with."""
        self._underlay.require()
        if self._loop is not None and self._loop.failure is not None:
            self._drop_device()
        if self._tun is None:
            self._tun, self._device = open_tun(self._wanted_device)
        if subnet.ipv4 is None:
            raise ValueError(f"a lease without IPv4: {subnet}")
        self._own = subnet.ipv4
        tunnel = self._own.network_address
        kernel.configure(self._device, tunnel, self._network.prefixlen, self.mtu, QUEUE_LENGTH)
        if self._loop is None:
            self._loop = PlainLoop(self._tun, self._socket, self.mtu, self._traffic)
            self._loop.start()

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`. Whatever backend a lease names: 0.5.5 looks at the address only, and so do we."""
        self._table = ForwardTable(self._network)
        for lease in peers.values():
            self._put(lease)
        self.extend(until)

    def change(self, events: Sequence[Event]) -> None:
        """See `Backend`."""
        for event in events:
            if isinstance(event, Added):
                self._put(event.lease)
            elif event.lease.subnet.ipv4 is not None:
                self._table.remove(event.lease.subnet.ipv4)

    def extend(self, until: float) -> None:
        """See `Backend`."""
        if self._loop is not None:
            tunnel = self._own.network_address
            self._loop.mandate = Mandate(tunnel, self._own, self._table, until, self._check_source)

    def _put(self, lease: Lease) -> None:
        subnet, address = lease.subnet.ipv4, lease.attrs.public.ipv4
        if subnet is not None and address is not None:
            mtu = Announcement.decode(lease.announced).inner_mtu(self.mtu)
            self._table.put(subnet, Peer((str(address), self._port), mtu))
            self._traffic.know(str(address))

    def release(self) -> None:
        """See `Backend`."""
        if self._loop is not None:
            self._loop.mandate = None

    def broken(self) -> str:
        """See `Backend`."""
        if self._loop is not None and self._loop.failure is not None:
            return f"{self._device} does not work any more: {self._loop.failure.strerror}"
        return self._underlay.trouble()

    def repair(self) -> int:
        """See `Backend`. The table is ours alone, so nobody can have changed it."""
        return 0

    def statistics(self) -> Statistics:
        """See `Backend`."""
        return self._traffic.statistics()

    def close(self) -> None:
        """See `Backend`."""
        self._drop_device()
        self._socket.close()

    def _drop_device(self) -> None:
        """End the loop; the device goes with its descriptor."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None
        if self._tun is not None:
            os.close(self._tun)
            self._tun = None
