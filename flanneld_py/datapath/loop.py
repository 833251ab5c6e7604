"""What all packet loops of the udp backend share: the thread, the lease check, counters and ICMP answers."""

import errno
import logging
import os
import select
import socket
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from typing import Final

from flanneld_py.datapath import sockets
from flanneld_py.datapath.forward import Drop, Mandate, Reply
from flanneld_py.datapath.packet import Buffer
from flanneld_py.datapath.token_bucket import TokenBucket
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.runtime import clock

__all__ = ["BATCH", "Loop"]

logger = logging.getLogger(__name__)

BATCH: Final = 64
"""Maximum reads from one side before the other gets its turn."""


class Loop(ABC):
    """Moves packets between a TUN device and a UDP socket in its own thread until it is closed.

    `tun` and `sock` must be non-blocking and remain the caller's to close. `mandate` may be replaced at any
    time: each batch is handled under either the old or the new one. Without a mandate, or after it expires,
    nothing is carried in either direction. When the device is gone the loop ends and `failure` says why.
    """

    def __init__(
        self, tun: int, sock: socket.socket, traffic: Traffic, *, now: Callable[[], float] = clock.now
    ) -> None:
        self._mandate: Mandate | None = None
        self._changes = array("Q", [0])  # how often the mandate was replaced; compiled code looks at it
        self.failure: OSError | None = None
        self._traffic = traffic
        self._dropped = traffic.dropped
        self._tun = tun
        self._socket = sock
        self._raw = sockets.raw()
        self._now = now
        self._answers = TokenBucket()
        self._when_ready: dict[int, Callable[[Mandate | None], None]] = {
            tun: self._from_kernel,
            sock.fileno(): self._from_network,
        }
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="proxy", daemon=True)

    @property
    def mandate(self) -> Mandate | None:
        """Under which packets are carried."""
        return self._mandate

    @mandate.setter
    def mandate(self, mandate: Mandate | None) -> None:
        self._mandate = mandate
        self._changes[0] += 1

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._wake)
        if self._raw is not None:
            self._raw.close()

    @abstractmethod
    def _from_kernel(self, mandate: Mandate | None) -> None:
        """Handle a batch from the device; a persistent read error is stored in `failure`."""

    @abstractmethod
    def _from_network(self, mandate: Mandate | None) -> None:
        """Handle a batch from the socket."""

    @abstractmethod
    def _write(self, packet: bytes | bytearray) -> bool:
        """Write one packet to the device, as `_put` does."""

    def _work(self) -> None:
        """Run the loop; an unexpected exception ends this loop but not the daemon, which starts another."""
        try:
            self._run()
        except Exception as error:
            logger.debug("The packet loop has ended", exc_info=True)
            self.failure = OSError(errno.EPROTO, f"unexpected {type(error).__name__}: {error}")

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (*self._when_ready, self._wake):
            poll.register(descriptor, select.POLLIN)
        while self.failure is None:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._wake in ready:
                return
            self._serve(ready)

    def _serve(self, ready: Sequence[int]) -> None:
        """Handle a batch from each of these descriptors."""
        # Read once per batch: after this process was paused, no packet is carried under an expired lease.
        mandate = self.mandate
        if mandate is not None and self._now() >= mandate.until:
            mandate = None
        for descriptor in ready:
            self._when_ready[descriptor](mandate)

    def _put(self, parts: Sequence[Buffer], packets: int = 1) -> bool:
        """Write this many packets to the device at once; on failure count them as lost and return False."""
        try:
            os.writev(self._tun, parts)
        except OSError as error:  # EIO: the device is down at the moment
            self._count("writing to the device", error, packets)
            return False
        return True

    def _refuse(self, verdict: Drop | Reply, packets: int = 1) -> None:
        """Count dropped packets and, if one is due, send a single answer for all of them."""
        self._dropped[verdict.reason] += packets
        if isinstance(verdict, Reply):
            self._answer(verdict.packet)

    def _answer(self, packet: bytes) -> None:
        """Send a packet of our own, addressed to this machine or to a pod.

        Without CAP_NET_RAW it is written to the device; whether the kernel accepts it there depends on
        accept_local (see networking/ip-sysctl.rst).
        """
        if not self._answers.take(self._now()):
            self._dropped["too many ICMP errors a second"] += 1
            return
        if self._raw is None:
            self._write(packet)
            return
        try:
            self._raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        except OSError as error:
            self._count("answering", error)

    def _count(self, what: str, error: OSError, packets: int = 1) -> None:
        """Count packets as lost; the first loss of each kind is a warning, later ones are logged with -v."""
        reason = f"{what}: {error.strerror}"
        level = logging.DEBUG if self._dropped[reason] else logging.WARNING
        self._dropped[reason] += packets
        logger.log(level, "Packet lost %s", reason)
