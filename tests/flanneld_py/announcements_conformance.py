"""What every registry that has a place for it keeps to, of what nodes say beside their leases.

As `registry_conformance`, whose worlds these tests need with what `World` adds to them here.
"""

import json
from dataclasses import replace
from typing import Protocol

import pytest

from flanneld_py.lease.model import Lease, StoredLease
from flanneld_py.registry import Announcement, LeaseAdded, LeaseChanges, LeaseRemoved, announcements
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.subnet import Subnet
from tests.flanneld_py import registry_conformance
from tests.flanneld_py.registry_conformance import OURS, THEIRS, THEM, US, Stored, Watched

TEXT = b'{"MTU":1500,"FastPath":true}'


class World(registry_conformance.World, Protocol):
    """A registry's server, and what is below `{prefix}-ext/{kind}/`."""

    def put_for(self, seconds: int, name: str, value: bytes) -> int:
        """Write a lease's key that lives for so many seconds; its revision."""

    def let_pass(self, seconds: int) -> None:
        """Have so much time pass; where time is real it does anyway."""

    def say(self, kind: str, name: str, value: bytes) -> None: ...

    def unsay(self, kind: str, name: str) -> None: ...

    def said(self, kind: str, name: str) -> Stored | None: ...


class Heard(Watched):
    """The messages of a watch that follows what is said."""

    def next(self) -> Announcement:
        """What is said next, whatever leases are written meanwhile."""
        while not isinstance(message := self.messages.get(timeout=10), Announcement):
            assert isinstance(message, LeaseChanges), message
        return message


def hearing(registry: LeaseStore) -> Heard:
    return Heard(registry, registry.snapshot().revision)


def of(subnet: Subnet, revision: int, text: bytes = TEXT) -> Announcement:
    return Announcement(subnet, announcements.stamped(text, revision))


class BesideContract:
    """Of stores."""

    @pytest.fixture
    def registry(self, world) -> LeaseStore:
        """The connection of a node whose backend says something."""
        connected: LeaseStore = world.connect()
        connected.follow_announcements("udp")
        return connected

    @pytest.fixture
    def other(self, world) -> LeaseStore:
        """Another node's."""
        connected: LeaseStore = world.connect()
        connected.follow_announcements("udp")
        return connected

    def hold(self, registry: LeaseStore, subnet: Subnet = OURS) -> StoredLease:
        attrs = US if subnet == OURS else THEM
        revision = registry.create(subnet, attrs)
        assert revision is not None
        return StoredLease(Lease(subnet, attrs), revision)

    def test_where_nobody_has_said_anything_nothing_is_listed(self, registry):
        assert registry.snapshot().announced == ()

    def test_what_is_said_is_listed_with_the_revision_of_its_lease_which_stays_as_it_was(
        self, registry, other, world
    ):
        held = self.hold(registry)
        registry.announce(held, TEXT)
        assert other.snapshot().announced == registry.snapshot().announced == (of(OURS, held.revision),)
        stored = world.stored("10.2.35.0-24")
        assert (stored.value, stored.revision) == (world.value("192.168.199.52"), held.revision)
        assert json.loads(world.said("udp", "10.2.35.0-24").value) == {
            "Revision": held.revision,
            "MTU": 1500,
            "FastPath": True,
        }

    def test_a_watch_tells_what_is_said_anew_and_not_any_more(self, registry, other, world):
        held = self.hold(registry)
        heard = hearing(other)
        registry.announce(held, TEXT)
        registry.announce(held, b"{}")
        assert [heard.next(), heard.next()] == [of(OURS, held.revision), of(OURS, held.revision, b"{}")]
        world.unsay("udp", "10.2.35.0-24")
        assert heard.next() == Announcement(OURS, b"")

    def test_a_watch_tells_of_what_was_said_since_the_list_and_of_leases_too(self, registry, other):
        revision = other.snapshot().revision
        held = self.hold(registry)
        registry.announce(held, TEXT)
        heard = Heard(other, revision)
        messages = [heard.messages.get(timeout=10) for _ in range(2)]
        assert LeaseChanges((LeaseAdded(held),)) in messages
        assert of(OURS, held.revision) in messages
        second = self.hold(registry, THEIRS)
        assert heard.events(1) == [LeaseAdded(second)]

    def test_nothing_is_said_of_a_lease_that_is_not_as_it_was(self, registry, world):
        held = self.hold(registry)
        world.put("10.2.35.0-24", world.value("192.168.199.53"))
        registry.announce(held, TEXT)
        assert world.said("udp", "10.2.35.0-24") is None
        world.delete("10.2.35.0-24")
        registry.announce(held, TEXT)
        assert world.said("udp", "10.2.35.0-24") is None

    def test_it_is_said_again_of_a_lease_that_was_renewed(self, registry, other):
        held = self.hold(registry)
        registry.announce(held, TEXT)
        heard = hearing(other)
        revision = registry.renew(held, US)
        registry.announce(replace(held, revision=revision), TEXT)
        assert heard.next() == of(OURS, revision)
        assert other.snapshot().announced == (of(OURS, revision),)

    def test_what_is_said_lives_no_longer_than_its_lease(self, registry, world):
        held = StoredLease(Lease(OURS, US), world.put_for(100, "10.2.35.0-24", world.value("192.168.199.52")))
        registry.announce(held, TEXT)
        assert 0 < world.said("udp", "10.2.35.0-24").ttl <= 100

    def test_what_is_said_of_a_reservation_has_no_end(self, registry, world):
        revision = world.put("10.2.35.0-24", world.value("192.168.199.52"), permanent=True)
        registry.announce(StoredLease(Lease(OURS, US), revision, permanent=True), TEXT)
        assert world.said("udp", "10.2.35.0-24").ttl is None

    def test_what_is_said_ends_with_a_lease_that_runs_out(self, registry, other, world):
        held = StoredLease(Lease(OURS, US), world.put_for(2, "10.2.35.0-24", world.value("192.168.199.52")))
        heard = hearing(other)
        registry.announce(held, TEXT)
        assert heard.next() == of(OURS, held.revision)
        world.let_pass(2)
        ends = {type(heard.messages.get(timeout=10)) for _ in range(2)}
        assert ends == {LeaseChanges, Announcement}
        snapshot = other.snapshot()
        assert (snapshot.leases, snapshot.announced) == ((), ())

    def test_backends_of_different_kinds_do_not_hear_each_other(self, registry, world):
        stranger: LeaseStore = world.connect()
        stranger.follow_announcements("wireguard")
        theirs, ours = hearing(stranger), hearing(registry)
        held = self.hold(registry)
        registry.announce(held, TEXT)
        assert ours.next() == of(OURS, held.revision)
        second = self.hold(stranger, THEIRS)
        stranger.announce(second, b"{}")
        assert theirs.next() == of(THEIRS, second.revision, b"{}")
        assert (len(registry.snapshot().announced), len(stranger.snapshot().announced)) == (1, 1)

    def test_who_does_not_follow_is_told_nothing_and_says_nothing(self, registry, world):
        silent: LeaseStore = world.connect()
        watched = Watched(silent, silent.snapshot().revision)
        held = self.hold(registry)
        registry.announce(held, TEXT)
        assert silent.snapshot().announced == ()
        second = self.hold(silent, THEIRS)
        silent.announce(second, TEXT)
        assert world.said("udp", "10.2.52.0-24") is None
        assert watched.events(2) == [LeaseAdded(held), LeaseAdded(second)]

    def test_keys_that_flannel_would_not_write_say_nothing(self, registry, other, world):
        held = self.hold(registry)
        heard = hearing(other)
        for name in ("junk", "10.2.35.7-24", "10.2.35.0-24-25"):
            world.say("udp", name, TEXT)
        world.say("udpx", "10.2.36.0-24", TEXT)
        registry.announce(held, TEXT)
        assert heard.next() == of(OURS, held.revision)
        assert other.snapshot().announced == (of(OURS, held.revision),)

    def test_a_watch_that_is_broken_is_reset_once_and_says_nothing_more(self, registry, other, world):
        held = self.hold(registry)
        heard = hearing(other)
        registry.announce(held, TEXT)
        heard.next()
        world.break_connections()
        assert heard.reset().reason
        registry_conformance.eventually(other.snapshot)
        again = hearing(other)
        registry_conformance.eventually(lambda: registry.announce(held, b"{}"))
        assert again.next() == of(OURS, held.revision, b"{}")
        world.delete("10.2.35.0-24")
        assert isinstance(again.events(1)[0], LeaseRemoved)
        assert heard.nothing()

    def test_after_close_nothing_is_told_of_what_is_said(self, registry, other):
        held = self.hold(registry)
        heard, witness = hearing(other), hearing(registry)
        other.close()
        registry.announce(held, TEXT)
        witness.next()
        assert heard.nothing()
