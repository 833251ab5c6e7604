"""The udp backend's packet loop: between the TUN device and a UDP socket, in a thread of its own."""

import logging
import os
import select
import socket
import threading
from collections import Counter
from ipaddress import IPv4Address

from flanneld_py.datapath.forward import Deliver, Drop, ForwardTable, Reply, Send, inbound, outbound

__all__ = ["Proxy"]

logger = logging.getLogger(__name__)

BATCH = 64
"""Packets that are taken from one side before the other has its turn."""

CLOSED = ForwardTable()


class Proxy:
    """Moves packets until it is closed. `table` may be replaced at any time; a packet sees one or the other.

    `tun` and `sock` must not block. While `open` is false nothing goes either way.
    """

    def __init__(self, tun: int, sock: socket.socket, mtu: int, tunnel: IPv4Address) -> None:
        self.table = CLOSED
        self.tunnel = tunnel
        self.open = False
        self.dropped: Counter[str] = Counter()
        self._tun = tun
        self._socket = sock
        # The kernel takes a packet with our own source address from us, but not from a device (a "martian").
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._size = mtu + 1  # one more, so that a datagram that is too long shows as malformed
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the loop and wait for it; the descriptors stay the caller's."""
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (self._tun, self._socket.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                return
            if self._tun in ready:
                self._from_kernel()
            if self._socket.fileno() in ready:
                self._from_network()

    def _from_kernel(self) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(self._tun, self._size)
            except BlockingIOError:
                return
            except OSError as error:  # EIO: the device is down for the moment
                self._count("reading flannel0", error)
                return
            if not self.open:
                self.dropped["no lease"] += 1
                continue
            match outbound(packet, self.table, self.tunnel):
                case Send(forwarded, next_hop):
                    self._send(forwarded, next_hop)
                case Reply(answer):
                    self._answer(answer)
                case Drop(reason):
                    self.dropped[reason] += 1

    def _from_network(self) -> None:
        for _ in range(BATCH):
            try:
                packet = self._socket.recv(self._size)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error about something we sent
                self._count("receiving", error)
                continue
            if not self.open:
                self.dropped["no lease"] += 1
                continue
            match inbound(packet):
                case Deliver(delivered):
                    self._write(delivered)
                case Drop(reason):
                    self.dropped[reason] += 1

    def _send(self, packet: bytes | bytearray, next_hop: tuple[str, int]) -> None:
        try:
            self._socket.sendto(packet, next_hop)
        except OSError as error:  # a full buffer, no route, a firewall: as on any wire, the packet is lost
            self._count(f"sending to {next_hop[0]}", error)

    def _answer(self, packet: bytes) -> None:
        """Send a packet of our own to the machine or pod that it is addressed to."""
        try:
            self._raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        except OSError as error:
            self._count("answering", error)

    def _write(self, packet: bytes | bytearray) -> None:
        try:
            os.write(self._tun, packet)
        except OSError as error:
            self._count("writing to flannel0", error)

    def _count(self, what: str, error: OSError) -> None:
        """Count a packet as lost; the first of a kind is logged, the others with -v."""
        reason = f"{what}: {error.strerror}"
        self.dropped[reason] += 1
        logger.log(logging.WARNING if self.dropped[reason] == 1 else logging.DEBUG, "Packet lost %s", reason)
