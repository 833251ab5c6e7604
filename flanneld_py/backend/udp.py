"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

import errno
import logging
import os
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from flanneld_py import kernel
from flanneld_py.config import NetworkConfig, udp_port
from flanneld_py.datapath.forward import ForwardTable
from flanneld_py.datapath.proxy import Proxy
from flanneld_py.datapath.tun import open_tun
from flanneld_py.errors import Fatal
from flanneld_py.lease import Lease, LeaseAttrs

__all__ = ["UdpBackend"]

logger = logging.getLogger(__name__)

DEVICE = "flannel0"
QUEUE_LENGTH = 500  # packets: TUN_READQ_SIZE of the kernel's drivers/net/tun.c, which flannel leaves as it is
OVERHEAD = 28  # bytes: an IPv4 header without options and a UDP header
RECEIVE_BUFFER = 4 << 20  # bytes; the kernel's default of 208 KiB overflows in a burst
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python's socket module lacks it


class UdpBackend:
    """See `backend.Backend`. Holds the port from the beginning, so that no device is made if it is taken."""

    def __init__(self, config: NetworkConfig, interface: kernel.Interface) -> None:
        self.mtu = interface.mtu - OVERHEAD
        self._network = config.network
        self._port = udp_port(config)
        self._socket = _bind(interface.address, self._port)
        self._tun: int | None = None
        self._proxy: Proxy | None = None

    def attrs(self, public_ip: IPv4Address) -> LeaseAttrs:
        """See `Backend`. flannel's udp leases say no more than the address."""
        return LeaseAttrs(public_ip)

    def claim(self, subnet: IPv4Network) -> None:
        """See `Backend`."""
        if self._tun is None:
            self._tun = open_tun(DEVICE)
        address = subnet.network_address
        kernel.configure(DEVICE, address, self._network.prefixlen, self.mtu, QUEUE_LENGTH)
        if self._proxy is None:
            self._proxy = Proxy(self._tun, self._socket, self.mtu, address)
            self._proxy.start()
        self._proxy.tunnel = address
        self._proxy.open = True

    def peers(self, leases: Mapping[IPv4Network, Lease]) -> None:
        """See `Backend`. Whatever backend a lease names: 0.5.5 looks at the address only, and so do we."""
        if self._proxy is not None:
            hops = {subnet: (str(lease.attrs.public_ip), self._port) for subnet, lease in leases.items()}
            self._proxy.table = ForwardTable.of(hops, self._network)

    def release(self) -> None:
        """See `Backend`."""
        if self._proxy is not None:
            self._proxy.open = False

    def close(self) -> None:
        """See `Backend`. The device goes with its descriptor."""
        if self._proxy is not None:
            self._proxy.close()
        if self._tun is not None:
            os.close(self._tun)
        self._socket.close()


def _bind(address: IPv4Address, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        hint = (
            "another process has it; is a second flanneld running here?"
            if error.errno == errno.EADDRINUSE
            else error.strerror
        )
        raise Fatal(f"Binding UDP port {port} of {address}: {hint}") from error
    return sock
