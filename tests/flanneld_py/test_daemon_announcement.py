"""What the daemon says beside its lease of how it is reached."""

import logging

import pytest

from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import RegistryUnavailable, announcements
from tests.flanneld_py.daemon_world import HOUR, THEIR_IP, THEIRS, Recorder, World
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryRegistry

OURS = subnet("10.2.35.0/24")


class Speaker(Recorder):
    """A backend that says something beside its lease."""

    text = b'{"MTU":1500}'

    def announcement(self) -> bytes:
        return self.text


class Listener(MemoryRegistry):
    """A registry that writes down when something was said, and what READY was then."""

    def __init__(self, world: World) -> None:
        super().__init__(world.etcd)
        self.world = world
        self.said: list[tuple[float, int, bytes]] = []
        self.deaf = False

    def announce(self, held: StoredLease, text: bytes) -> None:
        self.said.append((self.world.script.second, held.revision, text))
        assert any(call[0] == "READY=1" for call in self.world.backend.calls)
        if self.deaf:
            raise RegistryUnavailable("http://192.0.2.1:2379: resource exhausted: database space exceeded")
        super().announce(held, text)


@pytest.fixture
def speaking(world: World) -> World:
    world.backend, world.registry = Speaker(), Listener(world)
    return world


def heard(world: World) -> bytes:
    """What everybody reads of us; it counts, for it is of the lease as it is."""
    (said,) = world.etcd.said()
    assert said.subnet == OURS
    assert announcements.revision_of(said.text) == world.etcd.revision_of(OURS)
    return said.text


def test_how_we_are_reached_is_said_once_when_we_are_ready(speaking):
    speaking.script.at(HOUR, lambda: heard(speaking))
    speaking.run()
    assert [text for _, _, text in speaking.registry.said] == [b'{"MTU":1500}']


def test_a_backend_that_says_nothing_writes_nothing_and_follows_nothing(world):
    world.etcd.say(THEIRS, b"{}")
    world.etcd.put(THEIRS, attrs(THEIR_IP))
    listener = world.registry = Listener(world)
    world.script.at(HOUR, lambda: None)
    world.run()
    assert listener.said == []
    assert listener.snapshot().announced == ()


@pytest.mark.usefixtures("days")
def test_it_is_said_again_of_the_lease_that_was_renewed(speaking):
    for hour in (1, 24, 47, 72):
        speaking.script.at(hour * HOUR, lambda: heard(speaking))
    speaking.run()
    revisions = [revision for _, revision, _ in speaking.registry.said]
    assert len(revisions) == 4
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("by_hand", [b"", b"junk", b'{"Revision":2,"MTU":9000}'])
def test_what_another_hand_makes_of_it_is_put_right(speaking, by_hand):
    speaking.script.at(10, lambda: speaking.etcd.say(OURS, by_hand))
    speaking.script.at(14, lambda: None)
    speaking.run()
    assert b'"MTU":1500' in heard(speaking)
    assert len(speaking.registry.said) == 2


def test_a_hand_that_writes_it_again_and_again_is_answered_once_a_second(speaking):
    for tenth in range(100):
        speaking.script.at(10 + tenth / 10, lambda: speaking.etcd.say(OURS, b"{}"))
    speaking.script.at(30, lambda: None)
    speaking.run()
    assert b'"MTU":1500' in heard(speaking)
    assert len(speaking.registry.said) <= 13


def test_what_was_deleted_while_nobody_watched_is_said_again(speaking):
    def outage() -> None:
        speaking.etcd.reachable = False
        speaking.etcd.break_watches()

    def recovery() -> None:
        speaking.etcd.say(OURS, b"")
        speaking.etcd.compact()
        speaking.etcd.reachable = True

    speaking.script.at(10, outage)
    speaking.script.at(20, recovery)
    speaking.script.at(30, lambda: heard(speaking))
    speaking.run()
    assert len(speaking.registry.said) == 2


def test_a_watch_that_broke_is_no_reason_to_say_it_again(speaking):
    speaking.script.at(10, speaking.etcd.break_watches)
    speaking.script.at(30, lambda: heard(speaking))
    speaking.run()
    assert len(speaking.registry.said) == 1


def test_when_the_backend_says_something_else_so_do_we(speaking):
    def change() -> None:
        speaking.backend.text = b'{"MTU":9000}'

    speaking.script.at(10, change)
    speaking.script.at(14, lambda: None)
    speaking.run()
    assert b'"MTU":9000' in heard(speaking)
    assert len(speaking.registry.said) == 2


def test_the_next_lease_is_spoken_of_too(speaking):
    speaking.script.at(10, lambda: speaking.etcd.put(OURS, attrs(THEIR_IP)))
    speaking.script.at(20, lambda: None)
    speaking.run()
    (theirs, ours) = speaking.etcd.said()
    assert (theirs.subnet, ours.subnet) == (OURS, subnet("10.2.36.0/24"))
    assert announcements.revision_of(ours.text) == speaking.etcd.revision_of(ours.subnet)
    assert announcements.revision_of(theirs.text) != speaking.etcd.revision_of(OURS)


def test_a_lease_taken_from_an_etcd_that_began_anew_is_spoken_of_though_its_revision_is_the_same(speaking):
    def anew() -> None:
        speaking.etcd.revision = 1
        speaking.etcd._stored.clear()
        speaking.etcd._said.clear()
        speaking.etcd._history.clear()
        speaking.etcd.break_watches()

    before = []
    speaking.script.at(10, lambda: before.append(heard(speaking)))
    speaking.script.at(11, anew)
    speaking.script.at(20, lambda: None)
    speaking.run()
    assert [heard(speaking)] == before


def test_where_it_cannot_be_said_that_is_told_and_tried_again(speaking, caplog):
    def hear() -> None:
        speaking.registry.deaf = False

    speaking.registry.deaf = True
    speaking.script.at(60, hear)
    speaking.script.at(80, lambda: heard(speaking))
    speaking.run()
    told = [r for r in caplog.records if "announcing how we are reached" in r.getMessage()]
    assert {record.levelno for record in told} == {logging.ERROR}
    assert 6 <= len(told) <= 8
    assert "database space exceeded" in told[0].getMessage()
    assert "release" not in speaking.backend.calls


def test_what_a_peer_says_reaches_the_backend_and_nobodys_log(speaking, caplog):
    reached = []

    def say() -> None:
        speaking.etcd.say(THEIRS, announcements.stamped(b'{"MTU":9000}', speaking.etcd.revision_of(THEIRS)))

    speaking.etcd.put(THEIRS, attrs(THEIR_IP))
    speaking.script.at(10, say)
    speaking.script.at(20, lambda: reached.append(speaking.backend.peers[THEIRS].announced))
    speaking.script.at(21, lambda: speaking.etcd.put(THEIRS, attrs(THEIR_IP)))
    speaking.script.at(30, lambda: reached.append(speaking.backend.peers[THEIRS].announced))
    speaking.run()
    assert [b'"MTU":9000' in text for text in reached] == [True, False]
    told = [record.getMessage() for record in caplog.records]
    assert told.count("Subnet added: 10.2.52.0/24") == 1
