"""From where peers send, kept in the packet filter as the leases say."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from flanneld_py.firewall import source_set
from flanneld_py.firewall.source_set import SourceCheckSpec, SourceSet
from flanneld_py.lease.model import Lease, PeerAdded, PeerEvent
from flanneld_py.subnet import Address, Subnet

__all__ = ["SourceCheck"]


class SourceCheck:
    """`sends` tells which leases' holders send at all; without `check` nothing is checked."""

    def __init__(self, *, check: bool, sends: Callable[[Lease], bool] = lambda _: True) -> None:
        self._check = check
        self._sends = sends
        self._of: dict[Subnet, tuple[Address, ...]] = {}
        self._sources: SourceSet | None = None
        self._guarded: SourceCheckSpec | None = None

    def begin(self, guarded: SourceCheckSpec) -> None:
        """Have the packet filter's table, or, without the check, none of an earlier run."""
        if not self._check:
            source_set.remove(guarded)
            return
        if self._sources is None or self._guarded != guarded:
            self.close()
            self._sources, self._guarded = SourceSet(guarded), guarded
        self._sources.begin()

    def carry(self, peers: Mapping[Subnet, Lease]) -> None:
        """These, and nobody else."""
        self._of = {subnet: self._addresses(lease) for subnet, lease in peers.items()}
        if self._sources is not None:
            self._sources.allow(chain.from_iterable(self._of.values()))

    def follow(self, events: Iterable[PeerEvent]) -> None:
        """Peers come and go. To be told before anything is sent to them, or their answers are dropped."""
        more: set[Address] = set()
        less: set[Address] = set()
        for event in events:
            less.update(self._of.pop(event.lease.subnet, ()))
            if isinstance(event, PeerAdded):
                self._of[event.lease.subnet] = self._addresses(event.lease)
                more.update(self._of[event.lease.subnet])
        if self._sources is not None:
            self._sources.change(more, less)

    def release(self) -> None:
        """Nobody."""
        self.carry({})

    def repair(self) -> int:
        """Put right what others changed; how many things."""
        return 0 if self._sources is None else self._sources.repair()

    def dropped(self) -> Mapping[str, int]:
        """Packets by reason. For any thread."""
        return {} if self._sources is None else self._sources.dropped()

    def close(self) -> None:
        """Change nothing any more."""
        if self._sources is not None:
            self._sources.close()

    def _addresses(self, lease: Lease) -> tuple[Address, ...]:
        if not self._sends(lease):
            return ()
        public = lease.attrs.public
        return tuple(address for address in (public.ipv4, public.ipv6) if address is not None)
