"""The way from the watch to the lease loop: our own key first, and how long the others wait."""

import queue
import threading

import pytest

from flanneld_py.daemon.event_queue import EventQueue
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


def test_our_own_key_is_heard_of_before_all_that_came_earlier_and_again_in_its_place(event_queue):
    arrived = event_queue.begin(is_own)
    for _ in range(1000):
        arrived(LeaseChanges((PEER,)))
    arrived(LeaseChanges((PEER, GONE)))
    assert event_queue.get_nowait() is None
    assert event_queue.own() == (GONE,)
    assert event_queue.own() == ()
    assert [event_queue.get_nowait() for _ in range(1001)][-1] == LeaseChanges((PEER, GONE))
    with pytest.raises(queue.Empty):
        event_queue.get_nowait()


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
    assert event_queue.done() == 6.0
    assert event_queue.oldest() == 105.0
    event_queue.get_nowait()
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
