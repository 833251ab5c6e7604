"""The udp backend's packet loop: between the TUN device and a UDP socket, in a thread of its own."""

import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from flanneld_py import clock
from flanneld_py.datapath.forward import Deliver, Drop, ForwardTable, NextHop, Reply, Send, inbound, outbound
from flanneld_py.datapath.traffic import Traffic

__all__ = ["Mandate", "Proxy"]

logger = logging.getLogger(__name__)

BATCH = 64
"""Packets that are taken from one side before the other has its turn."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a lease entitles us to: carry packets by this table until then (seconds of the proxy's clock).

    `tunnel` is our address on the TUN device.
    """

    tunnel: IPv4Address
    table: ForwardTable
    until: float


class Proxy:
    """Moves packets until it is closed. `tun` and `sock` must not block; both stay the caller's.

    `mandate` may be replaced at any time: a packet sees one or the other. Without one that is still valid
    nothing goes either way. When the device is gone the loop ends and `failure` says why.
    """

    def __init__(
        self,
        tun: int,
        sock: socket.socket,
        mtu: int,
        traffic: Traffic,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self.mandate: Mandate | None = None
        self.failure: OSError | None = None
        self._traffic = traffic
        self._dropped = traffic.dropped
        self._tun = tun
        self._socket = sock
        self._raw = _raw_socket()
        self._now = now
        self._size = mtu + 1  # one more, so that a datagram that is too long shows as malformed
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the loop and wait for it."""
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake)
        if self._raw is not None:
            self._raw.close()

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (self._tun, self._socket.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while self.failure is None:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                return
            # Looked up once for a batch: after a pause of this process no packet goes by a lease of the past.
            mandate = self.mandate
            if mandate is not None and self._now() >= mandate.until:
                mandate = None
            if self._tun in ready:
                self._from_kernel(mandate)
            if self._socket.fileno() in ready:
                self._from_network(mandate)

    def _from_kernel(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(self._tun, self._size)
            except BlockingIOError:
                return
            except OSError as error:
                # EBADFD: the device was deleted. Anything else would come again at once, and for ever.
                self.failure = error
                return
            if mandate is None:
                self._dropped["no lease"] += 1
                continue
            match outbound(packet, mandate.table, mandate.tunnel):
                case Send(forwarded, next_hop):
                    self._send(forwarded, next_hop)
                case Reply(answer):
                    self._answer(answer)
                case Drop(reason):
                    self._dropped[reason] += 1

    def _from_network(self, mandate: Mandate | None) -> None:
        for _ in range(BATCH):
            try:
                packet, source = self._socket.recvfrom(self._size)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error about something we sent
                self._count("receiving", error)
                continue
            if mandate is None:
                self._dropped["no lease"] += 1
                continue
            match inbound(packet):
                case Deliver(delivered):
                    self._traffic.received.add(source[0], len(delivered))
                    self._write(delivered)
                case Drop(reason):
                    self._dropped[reason] += 1

    def _send(self, packet: bytes | bytearray, next_hop: NextHop) -> None:
        try:
            self._socket.sendto(packet, next_hop)
        except OSError as error:  # a full buffer, no route, a firewall: as on any wire, the packet is lost
            self._count(f"sending to {next_hop[0]}", error)
        else:
            self._traffic.sent.add(next_hop[0], len(packet))

    def _answer(self, packet: bytes) -> None:
        """Send a packet of our own to the machine or pod that it is addressed to."""
        if self._raw is None:
            self._write(packet)
            return
        try:
            self._raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        except OSError as error:
            self._count("answering", error)

    def _write(self, packet: bytes | bytearray) -> None:
        try:
            os.write(self._tun, packet)
        except OSError as error:  # EIO: the device is down for the moment
            self._count("writing to the device", error)

    def _count(self, what: str, error: OSError) -> None:
        """Count a packet as lost; the first of a kind is logged, the others with -v."""
        reason = f"{what}: {error.strerror}"
        self._dropped[reason] += 1
        logger.log(logging.WARNING if self._dropped[reason] == 1 else logging.DEBUG, "Packet lost %s", reason)


def _raw_socket() -> socket.socket | None:
    """For answers. The kernel takes a packet with our own source address from us, but not from a device.

    Without CAP_NET_RAW they go to the device all the same: there it depends on accept_local of the kernel's
    networking/ip-sysctl.rst.
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
