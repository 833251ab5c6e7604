"""Whether a device's packets arrive when their checksums are left to the network card: a trial with real TCP.

Cards and virtual machines' drivers exist that offer to fill in checksums and then do not do so inside an
encapsulated packet (flannel #1279, kubernetes #88986). ping works then, because the kernel fills in ICMP's
checksum itself, and every TCP packet is thrown away by whoever receives it.
"""

import errno
import logging
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import Enum
from functools import partial
from typing import Final

from flanneld_py.runtime.clock import now
from flanneld_py.subnet import Address

__all__ = ["ChecksumVerdict", "Examiner", "TrialAnswer", "examine", "exchange"]

logger = logging.getLogger(__name__)

PORT: Final = 9
"""discard (RFC 863): closed nearly everywhere, and where it is open nothing happens.

A refusal proves as much as an acceptance, for the kernel answers only a SYN whose checksum is right; and it
says nothing of the peer's own card, because the kernel computes the checksum of a refusal (RST) itself.
"""

TIMEOUT: Final = 3.5
"""Seconds; the kernel sends a SYN again after 1 and after 3 (TCP_TIMEOUT_INIT of net/tcp.h)."""

HEAD_START: Final = 1.5
"""Seconds for the first peer's answer, before others are tried: it may have to hear of us first.

Each peer that is tried takes an entry in the kernel's table of neighbours, here and there. Machines that are
network namespaces of one kernel share that table: a hundred that start at once would fill it.
"""

MAX_TRIED: Final = 8
"""Maximum number of peers to try; an answer from one of them holds for all."""

AGAIN: Final = 60.0
"""Seconds until peers that did not answer are tried again; each time twice as many, up to MOST."""

MOST: Final = 600.0


class TrialAnswer(Enum):
    """What came of an attempt to connect."""

    ARRIVED = "arrived"
    """The peer's kernel answered."""
    SILENCE = "silence"
    """Nothing came back."""
    NO_WAY = "no way"
    """It could not even be sent, or something on the way refused it: that says nothing."""


class ChecksumVerdict(Enum):
    """What an examination found."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


def examine(attempt: Callable[[], TrialAnswer], offload: Callable[[bool], None]) -> ChecksumVerdict:
    """Try it with offload on, off, and on again: only if it gets through without, and not with, it is bad.

    The third time is because a peer may have begun to answer meanwhile for a reason of its own. Offload is
    off afterwards only where the verdict is `BAD`.
    """
    match attempt():
        case TrialAnswer.ARRIVED:
            return ChecksumVerdict.GOOD
        case TrialAnswer.NO_WAY:
            return ChecksumVerdict.UNKNOWN
    offload(False)
    without = attempt()
    offload(True)
    if without is not TrialAnswer.ARRIVED:
        return ChecksumVerdict.UNKNOWN
    if attempt() is TrialAnswer.ARRIVED:
        return ChecksumVerdict.GOOD
    offload(False)
    return ChecksumVerdict.BAD


class Examiner:
    """Examines one device, in a thread of its own, until the answer is known.

    `source` is the device's address; `offload` turns its transmit checksum offload on or off (OSError).
    """

    def __init__(self, device: str, source: Address, offload: Callable[[bool], None]) -> None:
        self._device = device
        self._source = source
        self._offload = offload
        self._peers: deque[Address] = deque(maxlen=MAX_TRIED)
        self._met = threading.Event()
        self._hangup, self._line = os.pipe()  # closing the one end wakes whoever polls the other
        self.ended = False
        self._thread = threading.Thread(target=self._run, name=f"checksums of {device}", daemon=True)
        self._thread.start()

    def meet(self, peer: Address) -> None:
        """A peer's address of its device, which can be tried. Returns at once."""
        if not self.ended and peer not in self._peers:
            self._peers.append(peer)
            self._met.set()

    def stop(self) -> None:
        """End it; offload may be off then, which is safe."""
        self.ended = True
        self._met.set()
        if self._line >= 0:
            os.close(self._line)
            self._line = -1
        self._thread.join(1)

    def _run(self) -> None:
        try:
            self._examine()
        except OSError as error:  # the device went, or its address: whoever makes it anew examines it anew
            logger.debug("Examining checksums of %s: %s", self._device, error)
        finally:
            self.ended = True
            os.close(self._hangup)

    def _examine(self) -> None:
        pause: float | None = None  # wait for the first peer, however long it takes
        while True:
            self._met.wait(pause)
            self._met.clear()
            if self.ended:
                return
            attempt = partial(exchange, self._device, self._source, tuple(self._peers), self._hangup)
            verdict = examine(attempt, self._offload)
            if self.ended:
                return
            if verdict is ChecksumVerdict.GOOD:
                logger.debug("TCP gets through %s with checksums left to the card", self._device)
                return
            if verdict is ChecksumVerdict.BAD:
                logger.warning(BAD, self._device, self._device)
                return
            pause = AGAIN if pause is None else min(2 * pause, MOST)
            text = "Cannot judge checksums on %s because no peer answers; trying again in %.0f s"
            logger.debug(text, self._device, pause)


BAD: Final = (
    "TCP gets through %s only while its transmit checksum offload is off: the card or its driver does not "
    "fill in the checksums of encapsulated packets. It stays off, which costs some speed; "
    "-vxlan-tx-checksum=off has it off from the start (ethtool -K %s tx off does the same)"
)


def exchange(device: str, source: Address, peers: Sequence[Address], hangup: int) -> TrialAnswer:
    """Connect to the first peer, and unless it soon answers to all, by this device and no other.

    Returns whether any of them answers. Ends early, with `NO_WAY`, when `hangup` is hung up.
    """
    with ExitStack() as stack:
        waiting: dict[int, socket.socket] = {}
        poll = select.poll()
        poll.register(hangup, 0)  # POLLHUP is always reported

        def connect(peers: Sequence[Address]) -> None:
            for peer in peers:
                sock = stack.enter_context(_bound(device, source))
                if sock.connect_ex((str(peer), PORT)) == errno.EINPROGRESS:
                    waiting[sock.fileno()] = sock
                    poll.register(sock, select.POLLOUT)

        silent = False
        connect(peers[:1])
        others = peers[1:]
        others_at = now() + HEAD_START
        deadline = now() + TIMEOUT
        while waiting or others:
            if others and (not waiting or now() >= others_at):
                connect(others)
                others, deadline = (), now() + TIMEOUT
                continue
            ready = poll.poll(max(0.0, (others_at if others else deadline) - now()) * 1000)
            if not ready and not others:
                return TrialAnswer.SILENCE
            for descriptor, _ in ready:
                if descriptor == hangup:
                    return TrialAnswer.NO_WAY
                error = waiting.pop(descriptor).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                poll.unregister(descriptor)
                if error in (0, errno.ECONNREFUSED):
                    return TrialAnswer.ARRIVED
                silent |= error == errno.ETIMEDOUT
        return TrialAnswer.SILENCE if silent else TrialAnswer.NO_WAY


def _bound(device: str, source: Address) -> socket.socket:
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((str(source), 0))
    except OSError:
        sock.close()
        raise
    return sock
