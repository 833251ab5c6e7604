"""The way from the watch to the lease loop: our own key first, and how long the others wait."""

import queue
import threading
import time
from collections.abc import Iterator

import pytest

from flanneld_py.daemon.event_queue import BATCH, FIRST_HOLD, LONGEST_HOLD, EventQueue
from flanneld_py.registry import Announcement, LeaseAdded, LeaseChanges, LeaseEvent, LeaseRemoved, Reset
from tests.flanneld_py.made import held, subnet

OURS, THEIRS = "10.2.35.0/24", "10.2.52.0/24"


def is_own(event: LeaseEvent) -> bool:
    return event == GONE


GONE = LeaseRemoved(subnet(OURS), 9)
PEER = LeaseAdded(held(THEIRS, "192.168.199.53", 8))


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def event_queue(clock):
    return EventQueue(lambda: clock[0])


def takes(event_queue: EventQueue) -> Iterator[LeaseChanges | Announcement]:
    """All that can be had at once."""
    while not event_queue.empty():
        message = event_queue.get_nowait()
        assert isinstance(message, LeaseChanges | Announcement)
        yield message


def changes(message: LeaseChanges | Announcement) -> tuple[LeaseEvent, ...]:
    assert isinstance(message, LeaseChanges)
    return message.events


def test_our_own_key_is_heard_of_before_all_that_came_earlier_and_again_in_its_place(event_queue):
    arrived = event_queue.begin(is_own)
    for _ in range(1000):
        arrived(LeaseChanges((PEER,)))
    arrived(LeaseChanges((PEER, GONE)))
    assert event_queue.get_nowait() is None
    assert event_queue.own() == (GONE,)
    assert event_queue.own() == ()
    taken = list(takes(event_queue))
    assert [event for message in taken for event in changes(message)] == [*[PEER] * 1001, GONE]


def test_the_end_of_a_watch_overtakes_what_it_told_for_a_list_follows(event_queue):
    arrived = event_queue.begin(is_own)
    arrived(LeaseChanges((PEER,)))
    arrived(Reset("the connection broke"))
    assert event_queue.get_nowait() == Reset("the connection broke")
    assert event_queue.empty()


def test_a_watch_that_counts_no_more_is_not_heard(event_queue):
    first = event_queue.begin(is_own)
    first(LeaseChanges((PEER, GONE)))
    second = event_queue.begin(is_own)
    first(Reset("closed"))
    assert event_queue.empty()
    assert event_queue.oldest() is None
    second(Announcement(subnet(THEIRS), b"{}"))
    assert event_queue.get_nowait() == Announcement(subnet(THEIRS), b"{}")
    event_queue.end()
    second(LeaseChanges((GONE,)))
    assert event_queue.empty()
    assert event_queue.own() == ()


def test_a_change_waits_until_it_is_in_force(event_queue, clock):
    arrived = event_queue.begin(is_own)
    assert event_queue.oldest() is None
    arrived(LeaseChanges((PEER,)))
    clock[0] += 5
    arrived(LeaseChanges((PEER,)))
    assert event_queue.oldest() == 100.0
    event_queue.get_nowait()
    assert event_queue.oldest() == 100.0  # it is being put into force
    clock[0] += 1
    arrived(LeaseChanges((PEER,)))
    assert event_queue.done() == 6.0
    assert event_queue.oldest() == 106.0
    event_queue.get_nowait()
    clock[0] += 1
    assert event_queue.done() == 1.0
    assert event_queue.oldest() is None


def test_who_waits_is_woken_by_a_message_and_by_the_end(event_queue):
    arrived = event_queue.begin(is_own)
    with pytest.raises(queue.Empty):
        event_queue.get(timeout=0.0)
    for act in (lambda: arrived(LeaseChanges((GONE,))), event_queue.wake):
        thread = threading.Thread(target=act)
        thread.start()
        assert event_queue.get(timeout=60.0) is None
        thread.join()
    assert event_queue.own() == (GONE,)


def test_who_is_woken_before_it_waits_looks_up_once_however_often_it_was_woken(event_queue):
    arrived = event_queue.begin(is_own)
    for _ in range(3):
        event_queue.wake()
    assert event_queue.get(timeout=60.0) is None
    arrived(LeaseChanges(()))
    assert event_queue.get(timeout=60.0) == LeaseChanges(())
    with pytest.raises(queue.Empty):
        event_queue.get_nowait()


def test_changes_that_wait_are_handed_over_together_up_to_a_batch(event_queue):
    arrived = event_queue.begin(is_own)
    for _ in range(BATCH + 3):
        arrived(LeaseChanges((PEER,)))
    arrived(LeaseChanges((PEER,) * (2 * BATCH)))  # as the registry has sent it
    assert [len(changes(message)) for message in takes(event_queue)] == [BATCH, 3, 2 * BATCH]


def test_an_announcement_keeps_its_place_among_the_changes(event_queue):
    arrived = event_queue.begin(is_own)
    said = Announcement(subnet(THEIRS), b"{}")
    for message in (LeaseChanges((PEER,)), LeaseChanges((PEER,)), said, LeaseChanges((PEER,))):
        arrived(message)
    assert list(takes(event_queue)) == [LeaseChanges((PEER, PEER)), said, LeaseChanges((PEER,))]


@pytest.fixture
def applied(event_queue):
    """A change came alone and was put into force at once."""
    arrived = event_queue.begin(is_own)
    arrived(LeaseChanges((PEER,)))
    assert not event_queue.empty()
    event_queue.get_nowait()
    event_queue.done()
    return arrived


def test_a_change_that_follows_soon_is_held_back_with_all_that_come_meanwhile(event_queue, clock, applied):
    applied(LeaseChanges((PEER,)))
    assert event_queue.empty()
    with pytest.raises(queue.Empty):
        event_queue.get_nowait()
    assert event_queue.oldest() == 100.0
    clock[0] += FIRST_HOLD / 2
    applied(LeaseChanges((PEER,)))
    clock[0] += FIRST_HOLD / 2
    assert list(takes(event_queue)) == [LeaseChanges((PEER, PEER))]


def test_the_longer_a_burst_the_longer_changes_are_held_back_and_not_for_ever(event_queue, clock, applied):
    holds = []
    for _ in range(8):
        applied(LeaseChanges((PEER,)))
        holds.append(event_queue.held())
        clock[0] += event_queue.held()
        event_queue.get_nowait()
        event_queue.done()
    assert holds == pytest.approx(
        [0.05, 0.1, 0.2, 0.4, LONGEST_HOLD, LONGEST_HOLD, LONGEST_HOLD, LONGEST_HOLD]
    )
    clock[0] += LONGEST_HOLD + 0.01  # nothing came meanwhile: the burst is over
    applied(LeaseChanges((PEER,)))
    assert not event_queue.empty()
    event_queue.get_nowait()
    event_queue.done()
    assert event_queue.held() == pytest.approx(FIRST_HOLD)


def test_our_own_key_the_end_of_the_watch_and_a_call_are_never_held_back(event_queue, applied):
    applied(LeaseChanges((GONE,)))
    assert not event_queue.empty()
    assert event_queue.get_nowait() is None
    assert event_queue.own() == (GONE,)
    event_queue.wake()
    assert not event_queue.empty()
    assert event_queue.get_nowait() is None
    applied(Reset("closed"))
    assert not event_queue.empty()
    assert event_queue.get_nowait() == Reset("closed")


def test_nothing_is_held_back_after_a_list(event_queue, applied):
    applied(LeaseChanges((PEER,)))
    arrived = event_queue.begin(is_own)
    arrived(LeaseChanges((PEER,)))
    assert not event_queue.empty()


def test_who_waits_gets_what_was_held_back_as_soon_as_it_may():
    event_queue = EventQueue(time.monotonic)
    arrived = event_queue.begin(is_own)
    arrived(LeaseChanges((PEER,)))
    event_queue.get_nowait()
    event_queue.done()
    for _ in range(2):
        arrived(LeaseChanges((PEER,)))
    began = time.monotonic()
    assert event_queue.get(timeout=60.0) == LeaseChanges((PEER, PEER))
    assert time.monotonic() - began < 50.0


def test_a_change_that_comes_while_changes_are_held_back_wakes_who_waits_in_time():
    event_queue = EventQueue(time.monotonic)
    arrived = event_queue.begin(is_own)
    arrived(LeaseChanges((PEER,)))
    event_queue.get_nowait()
    event_queue.done()
    thread = threading.Thread(target=lambda: arrived(LeaseChanges((PEER,))))
    thread.start()
    assert event_queue.get(timeout=60.0) == LeaseChanges((PEER,))
    thread.join()
