"""Kernel notifications about links, addresses and routes (rtnetlink(7), multicast groups)."""

import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Final

from flanneld_py.kernel.channel import ANSWER
from flanneld_py.kernel.desired import KernelNotice, RouteNotice
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.netlink import messages
from flanneld_py.kernel.rtnetlink import RTM_DELROUTE, RTM_NEWROUTE, seen_route

__all__ = ["Listener", "heard"]

logger = logging.getLogger(__name__)

# linux/rtnetlink.h: RTMGRP_* bits for links, and for addresses and routes of IPv4 and IPv6.
GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

BUFFER: Final = 64 * 1024
"""Receive buffer in bytes.

If it overflows, all we know is that something happened, so a flood of events costs no more than this many
bytes each time.
"""

AT_ONCE: Final = 256
"""Maximum datagrams to read before handing them on, because a flood of them may never end."""

EVERYTHING: Final = KernelNotice(links=True, many=True)


def heard(data: bytes) -> KernelNotice:
    """Decode one datagram. Raises `ValueError`."""
    routes: list[RouteNotice] = []
    links = False
    for message in messages(data):
        if message.kind not in (RTM_NEWROUTE, RTM_DELROUTE):
            links = True
            continue
        item = seen_route(data, message.start, message.end)
        if item is not None and isinstance(item.entry, Route):
            routes.append(RouteNotice(item.entry, message.kind == RTM_DELROUTE, item.altered))
    return KernelNotice(links, tuple(routes))


class Listener:
    """Passes on kernel notifications, combined, in its own thread.

    `tell` receives them and returns for how many seconds it wants no more; later ones are buffered until
    then.
    """

    def __init__(self, tell: Callable[[KernelNotice], float]) -> None:
        """Open the socket and start the thread. Raises `OSError`."""
        self._tell = tell
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.bind((0, GROUPS))
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        os.eventfd_write(self._end, 1)
        self._thread.join()
        os.close(self._end)
        self._socket.close()

    def _run(self) -> None:
        ended = select.poll()
        ended.register(self._end, select.POLLIN)
        anything = select.poll()
        for descriptor in (self._end, self._socket.fileno()):
            anything.register(descriptor, select.POLLIN)
        while True:
            anything.poll()
            if ended.poll(0):
                return
            pause = self._tell(reduce(KernelNotice.joined, self._received(), KernelNotice()))
            if ended.poll(1000 * pause):
                return

    def _received(self) -> Iterator[KernelNotice]:
        """Yield what has been received."""
        for _ in range(AT_ONCE):
            try:
                yield heard(self._socket.recv(ANSWER))
            except BlockingIOError:
                return
            except ValueError as error:
                logger.debug("Cannot decode a kernel notification: %s", error)
                yield EVERYTHING
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield EVERYTHING
