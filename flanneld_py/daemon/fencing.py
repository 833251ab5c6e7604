"""The end of a lost lease: what it had in force is withdrawn, however many attempts that takes."""

import logging
from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.runtime.backoff import FIRST_DELAY, Backoff
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Subnet

__all__ = ["Fence"]

logger = logging.getLogger(__name__)

LONGEST: Final = 10.0
"""Seconds between two attempts, fewer at first. What fails for that long has been logged by then."""


class Fence:
    """Makes the backend carry nothing from the loss of a lease until another is held."""

    def __init__(self, backend: Backend, time: Time, status: NetworkStatus) -> None:
        self._backend = backend
        self._time = time
        self._status = status
        self._lost: Subnet | None = None  # the one that is still in force
        self._backoff = Backoff()
        self._pause, self._again_at = 0.0, 0.0

    def shut(self, lost: Subnet) -> None:
        """The lease is lost: nothing may be carried under it from now on."""
        self._lost, self._backoff = lost, Backoff()
        self._pause, self._again_at = FIRST_DELAY, float("-inf")
        self.look()

    def look(self) -> None:
        """Try again, unless it is done or was tried a moment ago."""
        if self._lost is None or self._time.now() < self._again_at:
            return
        self._again_at, self._pause = self._time.now() + self._pause, min(2 * self._pause, LONGEST)
        try:
            self._backend.release()
        except OSError as error:
            kind = f"Withdrawing what the lease of {self._lost} had in force"
            self._status.unfenced = f"{kind}: {error.strerror or error}"
            if self._backoff.worth_saying(kind, self._time.now()):
                logger.error("%s. Retrying until it is done", self._status.unfenced)  # noqa: TRY400
            return
        if self._status.unfenced:
            logger.info("Everything that the lease of %s had in force is withdrawn now", self._lost)
        self.lift()

    def close(self) -> None:
        """The daemon ends: try once more, as nobody will afterwards."""
        self._again_at = float("-inf")
        self.look()

    def lift(self) -> None:
        """Another lease is held: what is in force now belongs to that."""
        self._lost, self._status.unfenced = None, ""
