"""The way from the watch to the lease loop: our own key first, and how long the others wait."""

import queue
import threading

import pytest

from flanneld_py.daemon.event_queue import Inbox
from flanneld_py.registry import Changes, Event, Gone, Put, Reset, Said
from tests.flanneld_py.made import held, subnet

OURS, THEIRS = "10.2.35.0/24", "10.2.52.0/24"


def is_own(event: Event) -> bool:
    return event == GONE


GONE = Gone(subnet(OURS), 9)
PEER = Put(held(THEIRS, "192.168.199.53", 8))


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def inbox(clock):
    return Inbox(lambda: clock[0])


def test_our_own_key_is_heard_of_before_all_that_came_earlier_and_again_in_its_place(inbox):
    arrived = inbox.begin(is_own)
    for _ in range(1000):
        arrived(Changes((PEER,)))
    arrived(Changes((PEER, GONE)))
    assert inbox.get_nowait() is None
    assert inbox.own() == (GONE,)
    assert inbox.own() == ()
    assert [inbox.get_nowait() for _ in range(1001)][-1] == Changes((PEER, GONE))
    with pytest.raises(queue.Empty):
        inbox.get_nowait()


def test_the_end_of_a_watch_overtakes_what_it_told_for_a_list_follows(inbox):
    arrived = inbox.begin(is_own)
    arrived(Changes((PEER,)))
    arrived(Reset("the connection broke"))
    assert inbox.get_nowait() == Reset("the connection broke")
    assert inbox.empty()


def test_a_watch_that_counts_no_more_is_not_heard(inbox):
    first = inbox.begin(is_own)
    first(Changes((PEER, GONE)))
    second = inbox.begin(is_own)
    first(Reset("closed"))
    assert inbox.empty()
    assert inbox.oldest() is None
    second(Said(subnet(THEIRS), b"{}"))
    assert inbox.get_nowait() == Said(subnet(THEIRS), b"{}")
    inbox.end()
    second(Changes((GONE,)))
    assert inbox.empty()
    assert inbox.own() == ()


def test_a_change_waits_until_it_is_in_force(inbox, clock):
    arrived = inbox.begin(is_own)
    assert inbox.oldest() is None
    arrived(Changes((PEER,)))
    clock[0] += 5
    arrived(Changes((PEER,)))
    assert inbox.oldest() == 100.0
    inbox.get_nowait()
    assert inbox.oldest() == 100.0  # it is being put into force
    clock[0] += 1
    assert inbox.done() == 6.0
    assert inbox.oldest() == 105.0
    inbox.get_nowait()
    assert inbox.done() == 1.0
    assert inbox.oldest() is None


def test_who_waits_is_woken_by_a_message_and_by_the_end(inbox):
    arrived = inbox.begin(is_own)
    with pytest.raises(queue.Empty):
        inbox.get(timeout=0.0)
    for act in (lambda: arrived(Changes((GONE,))), inbox.wake):
        thread = threading.Thread(target=act)
        thread.start()
        assert inbox.get(timeout=60.0) is None
        thread.join()
    assert inbox.own() == (GONE,)


def test_who_is_woken_before_it_waits_looks_up_once_however_often_it_was_woken(inbox):
    arrived = inbox.begin(is_own)
    for _ in range(3):
        inbox.wake()
    assert inbox.get(timeout=60.0) is None
    arrived(Changes(()))
    assert inbox.get(timeout=60.0) == Changes(())
    with pytest.raises(queue.Empty):
        inbox.get_nowait()
