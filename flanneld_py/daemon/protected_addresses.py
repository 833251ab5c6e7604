"""The addresses that this machine has and needs: its own, its gateways', its registry's.

No lease may take these away. They are checked every few seconds, so that must take microseconds; names are
looked up in a thread, because DNS may be slow.
"""

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from flanneld_py.kernel import local_addresses
from flanneld_py.lease.validation import ProtectedAddresses
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Address

__all__ = ["AddressLookup", "hosts"]

logger = logging.getLogger(__name__)

AGAIN = 300.0
"""Seconds after which names are looked up again; sooner while one of them is unknown."""

SOON = 10.0


class AddressLookup:
    """`registries` are hosts, by name or address."""

    def __init__(self, registries: Iterable[str], time: Time) -> None:
        self._time = time
        self._addresses: frozenset[Address] = frozenset()
        self._last = ProtectedAddresses()
        names: list[str] = []
        for host in registries:
            try:
                self._addresses |= {ip_address(host)}
            except ValueError:
                names.append(host)
        self._known = self._addresses
        if names:
            threading.Thread(target=self._look_up, args=(names,), name="names", daemon=True).start()

    def needs(self) -> ProtectedAddresses:
        """The current state, or the one when the kernel last answered. For any thread."""
        registries = self._known
        try:
            around = local_addresses.look(registries)
        except OSError as error:
            logger.debug("Listing addresses and gateways: %s", error)
        else:
            self._last = ProtectedAddresses(around.own, around.broadcasts, registries, around.gateways)
        return self._last

    def _look_up(self, names: Sequence[str]) -> None:
        while not self._time.stopping.is_set():
            found = [_resolved(name) for name in names]
            # A name that cannot be looked up for a while keeps its addresses.
            if all(found) or not self._known:
                self._known = self._addresses.union(*found)
            self._time.stopping.wait(AGAIN if all(found) else SOON)


def hosts(endpoints: Iterable[str]) -> list[str]:
    """The hosts of http://HOST:PORT, or of HOST:PORT."""
    parts = [urlsplit(text if "://" in text else f"//{text}") for text in endpoints]
    return [part.hostname for part in parts if part.hostname]


def _resolved(name: str) -> set[Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        logger.debug("Looking up %s: %s", name, error)
        return set()
    return {ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found}
