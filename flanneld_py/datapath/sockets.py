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
    """Open the non-blocking socket that sends and receives the overlay's datagrams. Raises `Fatal`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    for forced, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER)
        with suppress(PermissionError):  # only the host's root may exceed net.core.rmem_max
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
    # Datagrams are sent without DF: like vxlan's they are fragmented on a path with a smaller MTU, even where
    # ICMP errors are lost. The receiver notices the fragments and informs the sender.
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
    """Enable UDP_GRO, which delivers consecutive datagrams together; return whether the kernel can."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def raw() -> socket.socket | None:
    """Open a raw socket for ICMP answers; None without CAP_NET_RAW.

    Through a raw socket the kernel accepts packets with our own source address; through a device it does not.
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
    """Measure the seconds it takes to send and receive a datagram of 1472 bytes over a socket pair.

    The minimum of several runs is used, because other load can only add to it.
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
