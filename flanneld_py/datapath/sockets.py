"""The udp backend's sockets."""

import errno
import socket
import time
from contextlib import suppress
from ipaddress import IPv4Address

from flanneld_py.errors import Exit, Fatal

__all__ = ["IP_RECVFRAGSIZE", "UDP_GRO", "bind", "pair_cost", "raw", "receive_trains"]

BUFFER = 4 << 20  # bytes; the kernel's default of 208 KiB overflows in a burst
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python's socket module lacks them
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h
IP_RECVFRAGSIZE = 25  # linux/in.h
UDP_GRO = 104  # linux/udp.h


def bind(address: IPv4Address, port: int) -> socket.socket:
    """The socket that datagrams of the overlay come to and go from, not blocking. Raises `Fatal`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    for forced, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER)
        with suppress(PermissionError):  # only the machine's own root may exceed net.core.rmem_max
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
    # DF is clear: a narrower path takes datagrams in fragments, as vxlan's, also where its ICMP errors are
    # lost. Whoever receives them is told, and tells the sender.
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVFRAGSIZE, 1)
    try:
        sock.bind((str(address), port))
    except OSError as error:
        sock.close()
        hint, code = error.strerror, Exit.KERNEL
        if error.errno == errno.EADDRINUSE:
            hint, code = "another process has it; is a second flanneld running here?", Exit.TAKEN
        raise Fatal(f"Binding UDP port {port} of {address}: {hint}", code=code) from error
    return sock


def receive_trains(sock: socket.socket) -> bool:
    """Have datagrams that came one after the other handed over together; whether the kernel can."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def raw() -> socket.socket | None:
    """A socket for answers. The kernel takes a packet with our own source address from it, not from a device.

    None without CAP_NET_RAW.
    """
    try:
        return socket.socket(
            socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW
        )
    except PermissionError:
        return None
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
        return None


def pair_cost() -> float:
    """Seconds that this machine takes to put a datagram of 1472 bytes into a socket and to take it out there.

    The least of a few: what else the machine does only adds to it.
    """
    datagram, room = bytes(1472), bytearray(1472)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def once() -> float:
        begun = time.perf_counter()
        for _ in range(64):
            near.send(datagram)
            far.recv_into(room)
        return (time.perf_counter() - begun) / 64

    with near, far:
        return min(once() for _ in range(8))
