"""Which subnet this node is to hold, decided from every lease there is.

The order is flannel's (v0.8 and later): the lease that this public IP holds already, else the subnet that
it had before, else a random free one. flannel picks among the first hundred free ones; this picks among all
of them.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from itertools import accumulate
from typing import TypeAlias, overload

from flanneld_py.config import NetworkConfig
from flanneld_py.lease import Lease, key

__all__ = [
    "Choice",
    "Create",
    "FreeSubnets",
    "HeldLease",
    "OutOfSubnets",
    "Replace",
    "Reuse",
    "choose_subnet",
]


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease as the registry has it.

    `revision` is the registry's revision of its last change. `name` is the last part of its key where that
    is not `key(lease.subnet)` (dual-stack or unaligned): such a lease takes its range, but is never ours to
    renew.
    """

    lease: Lease
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reuse:
    """Renew this lease, provided that its key is still at `revision`."""

    lease: Lease
    revision: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Delete `old`, which the configuration no longer allows, and create a lease of `subnet`."""

    old: HeldLease
    subnet: IPv4Network


@dataclass(frozen=True, slots=True)
class Create:
    """Create a lease of `subnet`, provided that there is none."""

    subnet: IPv4Network


Choice: TypeAlias = Reuse | Replace | Create
Pick: TypeAlias = Callable[[Sequence[IPv4Network]], IPv4Network]


class OutOfSubnets(Exception):
    """Every subnet between SubnetMin and SubnetMax overlaps a lease. Leases end: worth trying again."""


def choose_subnet(
    config: NetworkConfig,
    leases: Sequence[HeldLease],
    public_ip: IPv4Address,
    previous: IPv4Network | None,
    pick: Pick,
    taken: Iterable[IPv4Network] = (),
) -> Choice:
    """Decide; raises OutOfSubnets.

    `previous` is the subnet that this node had, `pick` is random.choice or a test's, `taken` are subnets
    whose key exists though its value says nothing readable. Where `public_ip` holds several leases that the
    configuration allows, `previous` is chosen if among them, else the lowest; the others are left to
    expire. Where all it holds are no longer allowed, the lowest is replaced. A replaced lease does not
    block its own range.
    """
    ours = sorted(
        (held for held in leases if held.lease.attrs.public_ip == public_ip and _has_canonical_key(held)),
        key=_by_subnet,
    )
    usable = [held for held in ours if _allows(config, held.lease.subnet)]
    if usable:
        kept = next((held for held in usable if held.lease.subnet == previous), usable[0])
        return Reuse(kept.lease, kept.revision)
    old = ours[0] if ours else None
    free = FreeSubnets.of(config, (*(held.lease.subnet for held in leases if held is not old), *taken))
    if not free:
        raise OutOfSubnets(
            f"out of subnets: no free /{config.subnet_len} in range {config.subnet_min} ..."
            f" {config.subnet_max}: a lease must end, or the network's configuration must allow more"
        )
    subnet = previous if previous is not None and previous in free else pick(free)
    return Create(subnet) if old is None else Replace(old, subnet)


def _has_canonical_key(held: HeldLease) -> bool:
    return held.name in ("", key(held.lease.subnet))


def _by_subnet(held: HeldLease) -> IPv4Network:
    return held.lease.subnet


def _allows(config: NetworkConfig, subnet: IPv4Network) -> bool:
    return (
        subnet.prefixlen == config.subnet_len
        and config.subnet_min <= subnet.network_address <= config.subnet_max
    )


@dataclass(frozen=True, slots=True)
class FreeSubnets(Sequence[IPv4Network]):
    """The free subnets in ascending order, kept as ranges: millions cost no more than a few."""

    base: int
    length: int
    runs: tuple[range, ...]
    ends: tuple[int, ...] = field(repr=False)

    @classmethod
    def of(cls, config: NetworkConfig, leased: Iterable[IPv4Network]) -> "FreeSubnets":
        """What `config` allows and no network in `leased` overlaps."""
        size = 2 ** (32 - config.subnet_len)
        base = int(config.subnet_min)
        count = (int(config.subnet_max) - base) // size + 1
        blocked = sorted(
            (
                (int(network.network_address) - base) // size,
                (int(network.broadcast_address) - base) // size,
            )
            for network in leased
        )
        runs: list[range] = []
        start = 0
        for first, last in blocked:
            if start < min(first, count):
                runs.append(range(start, min(first, count)))
            start = max(start, last + 1)
        if start < count:
            runs.append(range(start, count))
        return cls(base, config.subnet_len, tuple(runs), tuple(accumulate(len(run) for run in runs)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, index: int) -> IPv4Network: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[IPv4Network]: ...
    def __getitem__(self, index: int | slice) -> IPv4Network | Sequence[IPv4Network]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        run = bisect_right(self.ends, position)
        return self._subnet(self.runs[run][position - self.ends[run]])

    def __iter__(self) -> Iterator[IPv4Network]:
        return (self._subnet(step) for run in self.runs for step in run)

    def __contains__(self, subnet: object) -> bool:
        if not isinstance(subnet, IPv4Network) or subnet.prefixlen != self.length:
            return False
        step, rest = divmod(int(subnet.network_address) - self.base, 2 ** (32 - self.length))
        return rest == 0 and any(step in run for run in self.runs)

    def _subnet(self, step: int) -> IPv4Network:
        return IPv4Network((self.base + step * 2 ** (32 - self.length), self.length))
