"""What our backend would have said beside our lease, said again whenever it is not there any more."""

import logging
from collections.abc import Iterable

from flanneld_py.backend import Backend
from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import Announcement, Registry, RegistryUnavailable, announcements
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Subnet

__all__ = ["Announcer"]

logger = logging.getLogger(__name__)

AGAIN = 1.0
"""Seconds between two times that we say something, for another may take it away as often."""

RETRY = 10.0
"""Seconds until it is tried again where it could not be said; as for a renewal."""


class Announcer:
    """Says what the backend announces, of the lease as it is held. No failure of it ends anything."""

    def __init__(self, registry: Registry, backend: Backend, time: Time) -> None:
        self._registry = registry
        self._backend = backend
        self._time = time
        self._said = b""  # the value that is there, as far as we know
        self._say_at = float("-inf")

    def begin(self) -> None:
        """Nothing was said yet of the lease that is held now."""
        self._said, self._say_at = b"", float("-inf")

    def listed(self, ours: Subnet, said: Iterable[Announcement]) -> None:
        """All that is said, by a list."""
        if Announcement(ours, self._said) not in said:
            self._said = b""  # it went in the meantime, or never came

    def told(self, ours: Subnet, said: Announcement) -> None:
        """What is said by now, by a watch; of us perhaps by somebody else's hand."""
        if said.subnet == ours and said.text != self._said:
            self._said = b""

    def say_if_due(self, held: StoredLease) -> None:
        """Say it, unless it is said."""
        text, now = self._backend.announcement(), self._time.now()
        if not text or now < self._say_at:
            return
        value = announcements.said_at(text, held.revision)
        if value == self._said:
            return
        self._say_at = now + AGAIN
        try:
            self._registry.announce(held, text)
        except RegistryUnavailable as error:
            self._say_at = now + RETRY
            told = "Error announcing how we are reached (trying again in %.0f s): %s"
            logger.error(told, RETRY, error)  # noqa: TRY400
        else:
            self._said = value
