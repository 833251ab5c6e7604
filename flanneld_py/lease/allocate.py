"""Which subnet this node should hold, decided from all leases.

The order is flannel's (v0.8 and later): the lease that this public IP already holds, else the subnet that
it had before, else a free one. flannel picks at random among the first hundred free ones; this picks among
all of them, at random, the lowest, or by a hash of the machine.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, TypeAlias

from flanneld_py.config.model import N, NetworkConfig, Pool
from flanneld_py.lease.model import StoredLease
from flanneld_py.subnet import Addresses, Network, Subnet, key

__all__ = ["Choice", "Create", "FreeSubnets", "OutOfSubnets", "Pick", "Replace", "Reuse"]
__all__ += ["choose_subnet", "picker"]


@dataclass(frozen=True, slots=True)
class Reuse:
    """Renew this lease, provided that its key is still at its revision."""

    held: StoredLease


@dataclass(frozen=True, slots=True)
class Replace:
    """Delete `old`, which the configuration no longer allows, and create a lease of `subnet`."""

    old: StoredLease
    subnet: Subnet


@dataclass(frozen=True, slots=True)
class Create:
    """Create a lease of `subnet`, provided that there is none."""

    subnet: Subnet


Choice: TypeAlias = Reuse | Replace | Create


class OutOfSubnets(Exception):
    """Every subnet between SubnetMin and SubnetMax overlaps a lease. Leases end: try again later."""


@dataclass(frozen=True, slots=True)
class FreeSubnets(Generic[N]):
    """The free subnets in ascending order, kept as ranges: 2**90 of them cost no more than a few.

    Subnets are numbered from the pool's first; `runs` are the ranges of free ones and `ends` how many free
    ones there are up to the end of each.
    """

    pool: Pool[N]
    runs: tuple[range, ...]
    ends: tuple[int, ...] = field(repr=False)

    @classmethod
    def of(cls, pool: Pool[N], leased: Iterable[N]) -> "FreeSubnets[N]":
        """What the pool allows and no network in `leased` overlaps."""
        base, total = int(pool.subnet_min.network_address), _total(pool)
        shift = pool.network.max_prefixlen - pool.subnet_len
        blocked = sorted(
            ((first - base) >> shift, (last - base) >> shift) for first, last in map(_ends, leased)
        )
        runs: list[range] = []
        start = 0
        for first, last in blocked:
            if start < min(first, total):
                runs.append(range(start, min(first, total)))
            start = max(start, last + 1)
        if start < total:
            runs.append(range(start, total))
        return cls(pool, tuple(runs), tuple(accumulate(run.stop - run.start for run in runs)))

    @property
    def count(self) -> int:
        """How many there are; len() cannot return numbers that large."""
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, position: int) -> N:
        if not 0 <= position < self.count:
            raise IndexError(position)
        run = bisect_right(self.ends, position)
        return self._subnet(self.runs[run].stop - (self.ends[run] - position))

    def at_or_after(self, number: int) -> N:
        """The first free subnet from the pool's `number`th on; after the last comes the first."""
        number %= _total(self.pool)
        run = next((run for run in self.runs if number < run.stop), None)
        return self[0] if run is None else self._subnet(max(number, run.start))

    def __contains__(self, subnet: object) -> bool:
        if not isinstance(subnet, type(self.pool.network)) or subnet.prefixlen != self.pool.subnet_len:
            return False
        size, base = self.pool.subnet_min.num_addresses, int(self.pool.subnet_min.network_address)
        number, rest = divmod(int(subnet.network_address) - base, size)
        return rest == 0 and any(number in run for run in self.runs)

    def _subnet(self, number: int) -> N:
        first = self.pool.subnet_min
        address = int(first.network_address) + number * first.num_addresses
        return type(self.pool.network)((address, first.prefixlen))


def _ends(network: Network) -> tuple[int, int]:
    """First and last address. Not by `broadcast_address`, which is cached in each network for ever."""
    first = int(network.network_address)
    return first, first + (1 << (network.max_prefixlen - network.prefixlen)) - 1


def _total(pool: Pool[N]) -> int:
    first, last = int(pool.subnet_min.network_address), int(pool.subnet_max.network_address)
    return (last - first) // pool.subnet_min.num_addresses + 1


class Pick:
    """How one of several free subnets is chosen: a function for each family."""

    def __init__(self, choose: Callable[[int], int] | None = None, number: int = 0) -> None:
        self._choose = choose
        self._number = number

    def __call__(self, free: FreeSubnets[N]) -> N:
        """Choose one of them; there is at least one."""
        return free.at_or_after(self._number) if self._choose is None else free[self._choose(free.count)]


def picker(mode: str, public: Addresses, randrange: Callable[[int], int]) -> Pick:
    """The `Pick` of -subnet-allocation: `sticky` begins at a hash of the machine's address."""
    match mode:
        case "random":
            return Pick(randrange)
        case "sticky":
            digest = hashlib.sha256(str(public).encode()).digest()
            return Pick(number=int.from_bytes(digest))
        case "lowest":
            return Pick()
    raise ValueError(f"{mode!r} is not a way to choose a subnet")


def choose_subnet(
    config: NetworkConfig,
    leases: Sequence[StoredLease],
    public: Addresses,
    previous: Subnet | None,
    pick: Pick,
    taken: Iterable[Subnet] = (),
) -> Choice:
    """Decide; raises OutOfSubnets.

    `previous` is the subnet that this node had, `taken` are subnets whose key exists although its value
    cannot be read. Where `public` holds several leases that the configuration allows, `previous` is chosen if
    among them, else the one whose key is the oldest, for that is a peer's (see `admission`); the others are
    left to expire. Where all it holds are no longer allowed, that one is replaced. A replaced lease does not
    block its own range.
    """
    ours = sorted(
        (
            held
            for held in leases
            if held.lease.attrs.public.is_same_machine(public) and _has_canonical_key(held)
        ),
        key=_by_age,
    )
    usable = [held for held in ours if config.allows(held.lease.subnet)]
    if usable:
        return Reuse(next((held for held in usable if held.lease.subnet == previous), usable[0]))
    old = ours[0] if ours else None
    blocked = [*(held.lease.subnet for held in leases if held is not old), *taken]
    # One family at a time: when a network becomes dual-stack, every node keeps its IPv4 subnet.
    before = [item for item in (previous, None if old is None else old.lease.subnet) if item is not None]
    subnet = Subnet(
        _take(config.ipv4, [item.ipv4 for item in blocked], [item.ipv4 for item in before], pick),
        _take(config.ipv6, [item.ipv6 for item in blocked], [item.ipv6 for item in before], pick),
    )
    return Create(subnet) if old is None else Replace(old, subnet)


def _take(
    pool: Pool[N] | None, blocked: Iterable[N | None], preferred: Iterable[N | None], pick: Pick
) -> N | None:
    """One family's part: None if the overlay does not have that family."""
    if pool is None:
        return None
    free = FreeSubnets.of(pool, [network for network in blocked if network is not None])
    if not free.count:
        raise OutOfSubnets(_nothing_left(pool))
    for network in preferred:
        if network is not None and network in free:
            return network
    return pick(free)


def _nothing_left(pool: Pool[N]) -> str:
    return (
        f"out of subnets: no free /{pool.subnet_len} in range {pool.subnet_min.network_address} ..."
        f" {pool.subnet_max.network_address}: "
        "a lease must end, or the network's configuration must allow more"
    )


def _has_canonical_key(held: StoredLease) -> bool:
    return held.name in ("", key(held.lease.subnet))


def _by_age(held: StoredLease) -> tuple[int, Subnet]:
    return held.created, held.lease.subnet
