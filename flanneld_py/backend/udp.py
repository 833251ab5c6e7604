"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

import errno
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from flanneld_py import kernel
from flanneld_py.config import NetworkConfig, udp_port
from flanneld_py.datapath.forward import ForwardTable
from flanneld_py.datapath.proxy import Mandate, Proxy
from flanneld_py.datapath.tun import open_tun
from flanneld_py.errors import Fatal
from flanneld_py.lease import Lease, LeaseAttrs

__all__ = ["UdpBackend"]

logger = logging.getLogger(__name__)

DEVICE = "flannel0"
QUEUE_LENGTH = 500  # packets: TUN_READQ_SIZE of the kernel's drivers/net/tun.c, which flannel leaves as it is
OVERHEAD = 28  # bytes: an IPv4 header without options and a UDP header
LOWEST_MTU = 68  # bytes: ETH_MIN_MTU of linux/if_ether.h, the least that a TUN device takes
SOCKET_BUFFER = 4 << 20  # bytes; the kernel's default of 208 KiB overflows in a burst
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python's socket module lacks them


class UdpBackend:
    """See `backend.Backend`. Holds the port from the beginning, so that no device is made if it is taken."""

    def __init__(self, config: NetworkConfig, interface: kernel.Interface) -> None:
        self.mtu = interface.mtu - OVERHEAD
        if self.mtu < LOWEST_MTU:
            raise Fatal(
                f"The MTU of {interface.name} is {interface.mtu}: {LOWEST_MTU + OVERHEAD} is the least"
            )
        self._network = config.network
        self._port = udp_port(config)
        self._socket = _bind(interface.address, self._port)
        self._tun: int | None = None
        self._proxy: Proxy | None = None
        self._tunnel = IPv4Address(0)

    def attrs(self, public_ip: IPv4Address) -> LeaseAttrs:
        """See `Backend`. flannel's udp leases say no more than the address."""
        return LeaseAttrs(public_ip)

    def claim(self, subnet: IPv4Network) -> None:
        """See `Backend`."""
        if self._proxy is not None and self._proxy.failure is not None:
            self._drop_device()
        if self._tun is None:
            self._tun = open_tun(DEVICE)
        self._tunnel = subnet.network_address
        kernel.configure(DEVICE, self._tunnel, self._network.prefixlen, self.mtu, QUEUE_LENGTH)
        if self._proxy is None:
            self._proxy = Proxy(self._tun, self._socket, self.mtu)
            self._proxy.start()

    def carry(self, peers: Mapping[IPv4Network, Lease], until: float) -> None:
        """See `Backend`. Whatever backend a lease names: 0.5.5 looks at the address only, and so do we."""
        if self._proxy is not None:
            hops = {subnet: (str(lease.attrs.public_ip), self._port) for subnet, lease in peers.items()}
            self._proxy.mandate = Mandate(self._tunnel, ForwardTable.of(hops, self._network), until)

    def release(self) -> None:
        """See `Backend`."""
        if self._proxy is not None:
            self._proxy.mandate = None

    def broken(self) -> str:
        """See `Backend`."""
        if self._proxy is None or self._proxy.failure is None:
            return ""
        return f"{DEVICE} does not work any more: {self._proxy.failure.strerror}"

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
    try:
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        in_use = "another process has it; is a second flanneld running here?"
        hint = in_use if error.errno == errno.EADDRINUSE else error.strerror
        raise Fatal(f"Binding UDP port {port} of {address}: {hint}") from error
    return sock
