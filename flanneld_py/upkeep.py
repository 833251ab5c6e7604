"""While a lease is held: keep this machine's kernel as it should be, whatever others do to it."""

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from flanneld_py.backend import Backend
from flanneld_py.board import Board
from flanneld_py.clock import Time
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Fatal
from flanneld_py.holder import Claim
from flanneld_py.lease import Lease
from flanneld_py.patience import Patience
from flanneld_py.subnet import Subnet

__all__ = ["Filters", "NoFilters", "Upkeep"]

logger = logging.getLogger(__name__)

REPAIR = 10.0
"""Seconds between two looks at the kernel, as flannel's own check of routes."""

LOOK = 0.5
"""Seconds between two looks at whether all is there still, however much happens in between."""

PASSING = frozenset({errno.ENODEV, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What may be over when a device is made once more; ENODEV: it was taken away again in the middle."""


class Filters(Protocol):
    """The packet filter's rules that go with a lease."""

    def set(self, network: NetworkConfig, subnet: Subnet) -> None:
        """Have them, for this subnet of ours and no other. Raises `Fatal`."""

    def sync(self) -> int:
        """Put right what others changed; how many things."""


class NoFilters:
    """See `Filters`: rules are left to others."""

    def set(self, network: NetworkConfig, subnet: Subnet) -> None:
        """See `Filters`."""

    def sync(self) -> int:
        """See `Filters`."""
        return 0


class Upkeep:
    """Looks after what the backend and the packet filter have in the kernel. `resync` is in seconds."""

    def __init__(self, backend: Backend, filters: Filters, time: Time, board: Board, *, resync: int) -> None:
        self._backend = backend
        self._filters = filters
        self._time = time
        self._board = board
        self._resync = resync
        self._look_at = self._repair_at = self._sync_at = float("-inf")
        self._bare = False  # what was made anew carries nothing yet
        self._patience = Patience()
        self._making = Patience()

    def begin(self) -> None:
        """All is as it should be: it was just made."""
        now = self._time.now()
        self._repair_at, self._sync_at = now + REPAIR, now + self._resync
        self._bare = False

    def tend(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> Iterator[None]:
        """Put right what is not, when it is time to look; that takes no registry. Raises `Fatal`.

        Step by step, for each may take long: whoever asks looks after the lease before the first and after
        each, and goes on no more once it is lost.
        """
        steps: tuple[Callable[[Claim, Mapping[Subnet, Lease]], None], ...]
        steps = (self._make_anew, self._carry_again, self._repair, self._sync)
        for step in steps:
            try:
                step(claim, peers)
            except OSError as error:  # no file descriptor is free, say
                kind = f"Looking after this machine: {error.strerror or error}"
                if self._patience.worth_saying(kind, self._time.now()):
                    logger.error("%s. It is tried again", kind)  # noqa: TRY400
                return
            yield

    def _make_anew(self, claim: Claim, _: Mapping[Subnet, Lease]) -> None:
        now = self._time.now()
        if now < self._look_at:
            return
        self._look_at = now + LOOK
        reason = self._backend.broken()
        if not reason:
            return
        if self._making.worth_saying(reason, now):
            logger.error("%s: making it anew", reason)
        try:
            self._backend.claim(claim.subnet)
        except Fatal as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in PASSING:
                raise error.__cause__ from error
            raise
        self._bare = True

    def _carry_again(self, claim: Claim, peers: Mapping[Subnet, Lease]) -> None:
        if self._bare:
            self._backend.carry(peers, claim.expires_at)
            self._bare, self._making = False, Patience()

    def _repair(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        now = self._time.now()
        if now >= self._repair_at:
            self._repair_at = now + REPAIR
            if repaired := self._backend.repair():
                logger.warning("Put right %d entries of the kernel that others had changed", repaired)

    def _sync(self, _: Claim, __: Mapping[Subnet, Lease]) -> None:
        now = self._time.now()
        if now >= self._sync_at:
            self._sync_at = now + self._resync
            self._board.filter_repairs += self._filters.sync()
