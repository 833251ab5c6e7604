"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

import errno
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address

from flanneld_py import kernel
from flanneld_py.backend import Statistics
from flanneld_py.backend.underlay import Underlay
from flanneld_py.config.model import NetworkConfig, Udp
from flanneld_py.datapath.forward import ForwardTable
from flanneld_py.datapath.proxy import Mandate, Proxy
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tun import open_tun, require_tun
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.lease import Added, Event, Lease, LeaseAttrs
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["UdpBackend"]

logger = logging.getLogger(__name__)

DEVICE = "flannel0"
QUEUE_LENGTH = 500  # packets: TUN_READQ_SIZE of the kernel's drivers/net/tun.c, which flannel leaves as it is
OVERHEAD = 28  # bytes: an IPv4 header without options and a UDP header
LOWEST_MTU = 68  # bytes: ETH_MIN_MTU of linux/if_ether.h, the least that a TUN device takes
SOCKET_BUFFER = 4 << 20  # bytes; the kernel's default of 208 KiB overflows in a burst
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python's socket module lacks them
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h


class UdpBackend:
    """See `backend.Backend`. Holds the port from the beginning, so that no device is made if it is taken."""

    def __init__(
        self,
        network: NetworkConfig,
        config: Udp,
        interface: Interface,
        public: Addresses,
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
        self._socket = _bind(interface.ipv4, self._port)
        self._wanted_device = self._device = device
        self._tun: int | None = None
        self._proxy: Proxy | None = None
        self._tunnel = IPv4Address(0)
        self._table = ForwardTable(self._network)
        self._traffic = Traffic()

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. flannel's udp leases say no more than the address."""
        return LeaseAttrs(self._public)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`. Raises `Fatal` where the interface is not the one any more that we began with."""
        self._underlay.require()
        if self._proxy is not None and self._proxy.failure is not None:
            self._drop_device()
        if self._tun is None:
            self._tun, self._device = open_tun(self._wanted_device)
        if subnet.ipv4 is None:
            raise ValueError(f"a lease without IPv4: {subnet}")
        self._tunnel = subnet.ipv4.network_address
        kernel.configure(self._device, self._tunnel, self._network.prefixlen, self.mtu, QUEUE_LENGTH)
        if self._proxy is None:
            self._proxy = Proxy(self._tun, self._socket, self.mtu, self._traffic)
            self._proxy.start()

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
        if self._proxy is not None:
            self._proxy.mandate = Mandate(self._tunnel, self._table, until)

    def _put(self, lease: Lease) -> None:
        subnet, address = lease.subnet.ipv4, lease.attrs.public.ipv4
        if subnet is not None and address is not None:
            self._table.put(subnet, (str(address), self._port))
            self._traffic.know(str(address))

    def release(self) -> None:
        """See `Backend`."""
        if self._proxy is not None:
            self._proxy.mandate = None

    def broken(self) -> str:
        """See `Backend`."""
        if self._proxy is not None and self._proxy.failure is not None:
            return f"{self._device} does not work any more: {self._proxy.failure.strerror}"
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
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None
        if self._tun is not None:
            os.close(self._tun)
            self._tun = None


def _bind(address: IPv4Address, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    for forced, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        sock.setsockopt(socket.SOL_SOCKET, plain, SOCKET_BUFFER)
        with suppress(PermissionError):  # only the machine's own root may exceed net.core.rmem_max
            sock.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER)
    # A narrower path takes datagrams in fragments, as vxlan's, also where its ICMP errors are lost.
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    try:
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        hint, code = error.strerror, Exit.KERNEL
        if error.errno == errno.EADDRINUSE:
            hint, code = "another process has it; is a second flanneld running here?", Exit.TAKEN
        raise Fatal(f"Binding UDP port {port} of {address}: {hint}", code=code) from error
    return sock
