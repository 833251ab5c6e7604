"""What every registry keeps to: tests, for each kind of registry to inherit.

A kind is a class with a fixture `world` (its server as the one who runs it sees it) that inherits
`RegistryContract`, for whatever keeps leases, or `StoreContract`, where every node takes its own lease, and
`DualStackContract`. What a kind does not have it says in `cannot`.
"""

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, ClassVar, Protocol

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.backend.udp.config import Udp
from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.errors import Stopped
from flanneld_py.lease.allocate import OutOfSubnets, Pick
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease, agree
from flanneld_py.registry import (
    LeaseAdded,
    LeaseChanges,
    LeaseEvent,
    LeaseRemoved,
    LeaseRequest,
    LeaseUnreadable,
    Registry,
    RegistryUnavailable,
    Reset,
    WatchMessage,
)
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.subnet import Addresses, Subnet

PREFIX = "/coreos.com/network"
DAY = 86400
PATIENCE = float(os.environ.get("LAB_PATIENCE") or 1)
"""As `lab.deadlines.patience` has it, which is not there where this runs beside a real etcd."""
ANSWERED, UNANSWERED = 10 * PATIENCE, 0.5 * PATIENCE
"""Seconds a registry waits for an answer: where it comes, on a busy machine, too, and where none does."""


def subnet(text: str) -> Subnet:
    return Subnet(IPv4Network(text))


def machine(number: int, *, ipv6: bool = False) -> LeaseAttrs:
    """What the tutorial's machine with this address says of itself."""
    address = IPv6Address(f"fd00:50::{number}") if ipv6 else None
    return LeaseAttrs(Addresses(IPv4Address(f"192.168.199.{number}"), address))


# The tutorial's two minions.
OURS, THEIRS = subnet("10.2.35.0/24"), subnet("10.2.52.0/24")
US, THEM = machine(52), machine(53)
NETWORK = b'{ "Network": "10.2.0.0/16" }'
ONE_SUBNET = b'{ "Network": "10.2.0.0/16", "SubnetMin": "10.2.35.0", "SubnetMax": "10.2.35.0" }'
DUAL = NetworkConfig(
    Pool(IPv4Network("10.2.0.0/16"), IPv4Network("10.2.35.0/24"), IPv4Network("10.2.35.0/24")),
    Pool(
        IPv6Network("2001:cafe:42::/48"),
        IPv6Network("2001:cafe:42:1::/64"),
        IPv6Network("2001:cafe:42:ffff::/64"),
    ),
    Udp(),
)
LOWEST = Pick()


@dataclass(frozen=True)
class Stored:
    """What a key holds. `ttl` in seconds is None where it has no end."""

    value: bytes
    revision: int
    ttl: float | None


class World(Protocol):
    """A registry's server. `name` is the last part of a lease's key; `value` is of the udp backend."""

    def value(self, address: str) -> bytes:
        """What flannel writes for a machine with this address."""

    def connect(self, timeout: float = ANSWERED) -> Registry:
        """Another daemon's connection, which waits so long for an answer; closed with the world."""

    def configure(self, text: bytes) -> None: ...

    def put(self, name: str, value: bytes, *, permanent: bool = False) -> int:
        """Write a key, whoever holds it; its revision."""

    def put_brief(self, name: str, value: bytes) -> None:
        """Write a key that has run out within a few seconds."""

    def delete(self, name: str) -> None: ...

    def stored(self, name: str) -> Stored | None: ...

    def forget(self) -> None:
        """Lose the history of everything up to now, as by a compaction."""

    def break_connections(self) -> None:
        """End every watch, as a restart does."""

    def pause(self) -> None:
        """Answer nothing, with connections open, as a process that was stopped."""

    def resume(self) -> None: ...


class Watched:
    """The messages of a watch, as they come."""

    def __init__(self, registry: Registry, revision: int) -> None:
        self.messages: queue.SimpleQueue[WatchMessage] = queue.SimpleQueue()
        registry.watch(revision, self.messages.put)

    def events(self, count: int) -> list[LeaseEvent]:
        """The next so many; a registry may tell several in one message."""
        events: list[LeaseEvent] = []
        while len(events) < count:
            message = self.messages.get(timeout=10)
            assert isinstance(message, LeaseChanges), message
            events += message.events
        assert len(events) == count, events
        return events

    def reset(self) -> Reset:
        message = self.messages.get(timeout=10)
        assert isinstance(message, Reset), message
        return message

    def nothing(self) -> bool:
        return self.messages.empty()


def following(registry: Registry, world: Any) -> Watched:
    """A watch that stands: it has told of a write."""
    watched = Watched(registry, registry.snapshot().revision)
    world.put("10.2.99.0-24", world.value("192.168.199.99"))
    watched.events(1)
    return watched


def names(registry: Registry) -> list[str]:
    return sorted(str(held.lease.subnet) for held in registry.snapshot().leases)


class RegistryContract:
    """Of every registry. `cannot` are the names of tests whose subject a kind does not have."""

    cannot: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture(autouse=True)
    def _able(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ in self.cannot:
            pytest.skip("this kind of registry has no such thing")

    @pytest.fixture
    def registry(self, world) -> Registry:
        connected: Registry = world.connect()
        return connected

    @pytest.fixture
    def hasty(self, world) -> Registry:
        """One that does not wait long for what will not come."""
        connected: Registry = world.connect(UNANSWERED)
        return connected

    # Configuration

    def test_where_there_is_no_configuration_there_is_none(self, registry):
        assert registry.config() is None
        assert registry.probe() is None

    def test_the_configuration_is_what_was_written(self, registry, world):
        world.configure(NETWORK)
        assert registry.config() == NETWORK
        assert registry.probe() == NETWORK

    # Lists

    def test_an_empty_registry_lists_nothing(self, registry):
        assert (registry.snapshot().leases, registry.snapshot().spoiled) == ((), ())

    def test_every_lease_is_listed_with_its_revision_and_whether_it_ends(self, registry, world):
        first = world.put("10.2.35.0-24", world.value("192.168.199.52"))
        second = world.put("10.2.52.0-24", world.value("192.168.199.53"), permanent=True)
        snapshot = registry.snapshot()
        assert sorted(snapshot.leases, key=lambda held: held.revision) == [
            StoredLease(Lease(OURS, US), first),
            StoredLease(Lease(THEIRS, THEM), second, permanent=True),
        ]
        assert snapshot.revision >= second

    def test_a_key_that_names_no_subnet_is_left_out_with_one_warning(self, registry, world, caplog):
        world.put("not-a-subnet", world.value("192.168.199.52"))
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        for _ in range(2):
            assert names(registry) == ["10.2.35.0/24"]
            assert registry.snapshot().spoiled == ()
        assert sum("not-a-subnet" in record.getMessage() for record in caplog.records) == 1

    def test_a_subnets_key_that_says_nothing_readable_is_spoiled_with_one_warning(
        self, registry, world, caplog
    ):
        revision = world.put("10.2.35.0-24", b"junk")
        for _ in range(2):
            assert registry.snapshot().leases == ()
            assert registry.snapshot().spoiled == (LeaseUnreadable(OURS, revision),)
        assert sum("10.2.35.0-24" in record.getMessage() for record in caplog.records) == 1

    def test_a_lease_under_a_key_that_flannel_would_spell_otherwise_is_listed_by_its_name(
        self, registry, world
    ):
        world.put("10.2.35.7-24", world.value("192.168.199.52"))
        (held,) = registry.snapshot().leases
        assert (held.lease.subnet, held.name) == (OURS, "10.2.35.7-24")

    # Taking a lease

    def lease_request(
        self, attrs: LeaseAttrs = US, previous: Subnet | None = None, text: bytes = NETWORK
    ) -> LeaseRequest:
        return LeaseRequest(parse_config(text), attrs, previous, LOWEST)

    def acquire(self, registry: Registry, lease_request: LeaseRequest) -> StoredLease:
        held = registry.acquire(registry.snapshot(), lease_request)
        assert held is not None
        return held

    def test_a_lease_is_written_as_flannel_does_for_a_day(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request(previous=OURS))
        assert held.lease == Lease(OURS, US)
        stored = world.stored("10.2.35.0-24")
        assert (stored.value, stored.revision) == (world.value("192.168.199.52"), held.revision)
        assert DAY - 60 < stored.ttl <= DAY

    def test_a_machine_that_comes_again_has_the_lease_that_its_address_holds(self, registry, world):
        world.configure(NETWORK)
        before = world.put("10.2.35.0-24", world.value("192.168.199.52"))
        held = self.acquire(registry, self.lease_request(previous=THEIRS))
        assert held.lease.subnet == OURS
        assert held.revision == world.stored("10.2.35.0-24").revision > before

    def test_a_reservation_is_used_and_stays_one(self, registry, world):
        world.configure(NETWORK)
        world.put("10.2.35.0-24", world.value("192.168.199.52"), permanent=True)
        held = self.acquire(registry, self.lease_request())
        assert held.lease.subnet == OURS
        assert held.permanent
        assert world.stored("10.2.35.0-24").ttl is None

    def test_a_subnet_that_was_had_before_is_had_again_unless_it_is_taken(self, registry, world):
        world.configure(NETWORK)
        assert self.acquire(registry, self.lease_request(US, previous=OURS)).lease.subnet == OURS
        assert self.acquire(registry, self.lease_request(THEM, previous=OURS)).lease.subnet != OURS

    def test_a_lease_that_the_configuration_no_longer_allows_is_given_for_one_that_it_does(
        self, registry, world
    ):
        world.configure(ONE_SUBNET)
        world.put("10.2.52.0-24", world.value("192.168.199.52"))
        held = self.acquire(registry, self.lease_request(text=ONE_SUBNET))
        assert held.lease.subnet == OURS
        assert names(registry) == ["10.2.35.0/24"]

    def test_when_every_subnet_is_taken_it_says_so(self, registry, world):
        world.configure(ONE_SUBNET)
        world.put("10.2.35.0-24", world.value("192.168.199.53"))
        with pytest.raises(OutOfSubnets, match=r"10\.2\.35\.0"):
            registry.acquire(registry.snapshot(), self.lease_request(text=ONE_SUBNET))

    def test_nobody_takes_a_spoiled_subnet(self, registry, world):
        world.configure(ONE_SUBNET)
        world.put("10.2.35.0-24", b"junk")
        with pytest.raises(OutOfSubnets):
            registry.acquire(registry.snapshot(), self.lease_request(text=ONE_SUBNET))

    def test_of_many_that_take_leases_at_once_no_two_have_the_same(self, world):
        world.configure(NETWORK)
        leases: list[StoredLease] = []

        def take(number: int) -> None:
            registry = world.connect()
            held = None
            while held is None:
                held = registry.acquire(registry.snapshot(), self.lease_request(machine(number)))
            leases.append(held)

        threads = [threading.Thread(target=take, args=(number,)) for number in range(10, 14)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len({held.lease.subnet for held in leases}) == 4
        assert names(world.connect()) == sorted(str(held.lease.subnet) for held in leases)

    # Renewal

    def test_a_lease_that_is_as_we_know_it_is_renewed_for_a_day(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request(previous=OURS))
        revision = registry.renew(held, US)
        stored = world.stored("10.2.35.0-24")
        assert held.revision < revision == stored.revision
        assert DAY - 60 < stored.ttl <= DAY

    def test_a_renewal_may_change_what_the_lease_says(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request())
        said = LeaseAttrs(US.public, "host-gw")
        assert registry.renew(held, said) is not None
        assert [held.lease.attrs for held in registry.snapshot().leases] == [said]

    def test_what_is_listed_and_told_of_a_lease_agrees_with_what_its_holder_wrote(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request())
        said = LeaseAttrs(US.public, "vxlan", {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"})
        watched = Watched(registry, registry.snapshot().revision)
        registry.renew(held, said)
        (told,) = watched.events(1)
        (listed,) = registry.snapshot().leases
        assert isinstance(told, LeaseAdded)
        assert agree(told.held.lease.attrs, said)
        assert agree(listed.lease.attrs, said)
        assert not agree(listed.lease.attrs, US)

    def test_a_lease_that_another_has_written_is_not_renewed(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request(previous=OURS))
        world.put("10.2.35.0-24", world.value("192.168.199.53"))
        assert registry.renew(held, US) is None
        assert world.stored("10.2.35.0-24").value == world.value("192.168.199.53")

    def test_a_lease_that_was_deleted_is_not_renewed(self, registry, world):
        world.configure(NETWORK)
        held = self.acquire(registry, self.lease_request(previous=OURS))
        world.delete("10.2.35.0-24")
        assert registry.renew(held, US) is None
        assert world.stored("10.2.35.0-24") is None

    # Watching

    def test_a_watch_tells_everything_after_its_revision_once_and_in_order(self, registry, world):
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        revision = registry.snapshot().revision
        before = [world.put(f"10.2.{n}.0-24", world.value(f"192.168.199.{n}")) for n in range(40, 45)]
        watched = Watched(registry, revision)
        after = [world.put(f"10.2.{n}.0-24", world.value(f"192.168.199.{n}")) for n in range(45, 50)]
        assert watched.events(10) == [
            LeaseAdded(StoredLease(Lease(subnet(f"10.2.{n}.0/24"), machine(n)), revision))
            for n, revision in zip(range(40, 50), before + after, strict=True)
        ]
        assert watched.nothing()

    def test_a_watch_tells_of_our_own_lease(self, registry, world):
        world.configure(NETWORK)
        watched = following(registry, world)
        held = self.acquire(registry, self.lease_request())
        assert watched.events(1) == [LeaseAdded(held)]

    def test_a_watch_tells_of_deletions(self, registry, world):
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        watched = following(registry, world)
        world.delete("10.2.35.0-24")
        (event,) = watched.events(1)
        assert isinstance(event, LeaseRemoved)
        assert event.subnet == OURS
        assert event.revision >= registry.snapshot().revision

    def test_a_watch_tells_of_leases_that_run_out(self, registry, world):
        watched = following(registry, world)
        world.put_brief("10.2.35.0-24", world.value("192.168.199.52"))
        written, expired = watched.events(2)
        assert isinstance(written, LeaseAdded)
        assert isinstance(expired, LeaseRemoved)
        assert expired.subnet == OURS

    def test_a_watch_tells_of_spoiled_keys_and_leaves_out_junk(self, registry, world):
        watched = following(registry, world)
        world.put("not-a-subnet", b"junk")
        revision = world.put("10.2.35.0-24", b"junk")
        assert watched.events(1) == [LeaseUnreadable(OURS, revision)]

    def test_a_watch_tells_whether_a_lease_ends(self, registry, world):
        watched = following(registry, world)
        world.put("10.2.35.0-24", world.value("192.168.199.52"), permanent=True)
        (event,) = watched.events(1)
        assert isinstance(event, LeaseAdded)
        assert event.held.permanent

    def test_a_new_watch_silences_the_one_before(self, registry, world):
        first = following(registry, world)
        second = following(registry, world)
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        second.events(1)
        assert first.nothing()

    def test_a_watch_of_a_history_that_is_forgotten_is_reset(self, registry, world):
        revision = registry.snapshot().revision
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        world.forget()
        watched = Watched(registry, revision)
        assert watched.reset().reason
        assert names(registry) == ["10.2.35.0/24"]

    def test_a_watch_whose_connection_breaks_is_reset_and_nothing_follows(self, registry, world):
        watched = following(registry, world)
        world.break_connections()
        assert watched.reset().reason
        eventually(registry.snapshot)
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        again = Watched(registry, registry.snapshot().revision)
        world.put("10.2.36.0-24", world.value("192.168.199.54"))
        again.events(1)
        assert watched.nothing()

    # Trouble

    def test_a_server_that_does_not_answer_is_unavailable_within_seconds(self, world):
        # One that has waited in vain would wait for longer the next time.
        several = [world.connect(UNANSWERED) for _ in range(3)]
        for registry in several:
            registry.snapshot()
        world.pause()
        begun = time.monotonic()
        for ask in (several[0].config, several[1].snapshot, several[2].probe):
            with pytest.raises(RegistryUnavailable):
                ask()
        assert time.monotonic() - begun < 40 * PATIENCE

    def test_a_probe_that_is_not_answered_ends_the_watch(self, hasty, world):
        watched = following(hasty, world)
        world.pause()
        with pytest.raises(RegistryUnavailable):
            hasty.probe()
        assert watched.reset().reason

    def test_a_server_that_answers_again_is_used_again(self, hasty, world):
        world.configure(NETWORK)
        world.pause()
        with pytest.raises(RegistryUnavailable):
            hasty.config()
        world.resume()
        assert eventually(hasty.config) == NETWORK

    def test_after_close_nothing_is_answered_and_the_watch_says_nothing(self, registry, world):
        watched = following(registry, world)
        registry.close()
        for ask in (registry.config, registry.snapshot, registry.probe):
            with pytest.raises(Stopped):
                ask()
        world.put("10.2.35.0-24", world.value("192.168.199.52"))
        other = world.connect()
        following(other, world)
        assert watched.nothing()

    def test_a_call_under_way_ends_when_another_thread_closes(self, hasty, world):
        hasty.snapshot()
        world.pause()
        closer = threading.Timer(0.2, hasty.close)
        closer.start()
        begun = time.monotonic()
        with pytest.raises(Stopped):
            eventually(hasty.config)
        assert time.monotonic() - begun < 10 * PATIENCE
        closer.join()


class StoreContract(RegistryContract):
    """Of registries in which every node takes its own lease: all of etcd's kinds."""

    @pytest.fixture
    def registry(self, world) -> LeaseStore:
        connected: LeaseStore = world.connect()
        return connected

    def test_a_subnet_is_taken_only_where_nobody_has_it(self, registry, world):
        revision = registry.create(OURS, US)
        assert registry.create(OURS, THEM) is None
        stored = world.stored("10.2.35.0-24")
        assert (stored.value, stored.revision) == (world.value("192.168.199.52"), revision)

    def test_somebody_who_was_quicker_is_noticed(self, registry, world):
        known = registry.snapshot()
        world.put("10.2.35.0-24", world.value("192.168.199.53"))
        assert registry.acquire(known, self.lease_request(previous=OURS)) is None

    def test_one_subnet_is_given_for_another(self, registry, world):
        held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
        revision = registry.replace(held, THEIRS, US)
        assert world.stored("10.2.52.0-24").revision == revision
        assert world.stored("10.2.35.0-24") is None

    def test_a_subnet_is_not_given_for_one_that_is_taken(self, registry, world):
        held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
        world.put("10.2.52.0-24", world.value("192.168.199.53"))
        assert registry.replace(held, THEIRS, US) is None
        assert world.stored("10.2.35.0-24").revision == held.revision
        assert world.stored("10.2.52.0-24").value == world.value("192.168.199.53")

    def test_a_subnet_that_is_not_ours_any_more_is_given_for_none(self, registry, world):
        held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
        world.put("10.2.35.0-24", world.value("192.168.199.53"))
        assert registry.replace(held, THEIRS, US) is None
        assert world.stored("10.2.35.0-24").value == world.value("192.168.199.53")
        assert world.stored("10.2.52.0-24") is None

    def test_a_lease_is_given_back_if_it_is_as_we_know_it(self, registry, world):
        held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
        assert not registry.remove(replace(held, revision=held.revision - 1))
        assert registry.remove(held)
        assert world.stored("10.2.35.0-24") is None
        assert not registry.remove(held)


class DualStackContract:
    """Of stores that keep leases of two families, which etcd v2's format cannot say."""

    @pytest.fixture
    def registry(self, world) -> LeaseStore:
        connected: LeaseStore = world.connect()
        return connected

    def test_a_lease_of_two_families_is_kept_under_flannels_key(self, registry, world):
        both = Subnet(IPv4Network("10.5.4.0/24"), IPv6Network("2001:cafe:42:16::/64"))
        revision = registry.create(both, machine(52, ipv6=True))
        stored = world.stored("10.5.4.0-24&2001:cafe:42:16::-64")
        assert stored.value == b'{"PublicIP":"192.168.199.52","PublicIPv6":"fd00:50::52"}'
        assert registry.snapshot().leases == (StoredLease(Lease(both, machine(52, ipv6=True)), revision),)

    def test_of_two_leases_that_overlap_in_one_family_the_later_steps_back(self, registry, world):
        known = registry.snapshot()
        other = world.put("10.2.35.0-24&2001:cafe:42:99::-64", world.value("192.168.199.53"))
        lease_request = LeaseRequest(DUAL, machine(52, ipv6=True), None, LOWEST)
        assert registry.acquire(known, lease_request) is None
        assert [held.revision for held in registry.snapshot().leases] == [other]


def eventually(ask: Callable[[], Any]) -> Any:
    """What a registry answers once it can be reached."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return ask()
        except RegistryUnavailable:
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.05)
