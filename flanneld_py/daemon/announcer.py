"""Keeps what our backend announces beside our lease in the registry, whoever removes it."""

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
"""Seconds between two announcements, in case somebody keeps removing them."""

RETRY = 10.0
"""Seconds until a failed announcement is retried; as for a renewal."""


class Announcer:
    """Announces what the backend has to say, for the lease as it is held. Its failures end nothing."""

    def __init__(self, registry: Registry, backend: Backend, time: Time) -> None:
        self._registry = registry
        self._backend = backend
        self._time = time
        self._announced = b""  # the current value, as far as we know
        self._due_at = float("-inf")

    def begin(self) -> None:
        """Nothing has been announced yet for the lease that is held now."""
        self._announced, self._due_at = b"", float("-inf")

    def listed(self, ours: Subnet, said: Iterable[Announcement]) -> None:
        """All announcements, from a list."""
        if Announcement(ours, self._announced) not in said:
            self._announced = b""  # it was removed in the meantime, or never arrived

    def heard(self, ours: Subnet, said: Announcement) -> None:
        """An announcement from a watch; it may be ours, changed by somebody else."""
        if said.subnet == ours and said.text != self._announced:
            self._announced = b""

    def announce_if_due(self, held: StoredLease) -> None:
        """Announce it, unless that is done."""
        text, now = self._backend.announcement(), self._time.now()
        if not text or now < self._due_at:
            return
        value = announcements.stamped(text, held.revision)
        if value == self._announced:
            return
        self._due_at = now + AGAIN
        try:
            self._registry.announce(held, text)
        except RegistryUnavailable as error:
            self._due_at = now + RETRY
            message = "Error announcing how we are reached (trying again in %.0f s): %s"
            logger.error(message, RETRY, error)  # noqa: TRY400
        else:
            self._announced = value
