"""What the server remembers for clients that know all up to some revision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import LeaseAdded, LeaseEvent, LeaseRemoved, Snapshot
from flanneld_py.server.history import History
from tests.flanneld_py.made import held, subnet

EMPTY = Snapshot((), 10)
FIRST = LeaseAdded(held("10.2.35.0/24", "192.168.199.52", 11))
SECOND = LeaseAdded(held("10.2.52.0/24", "192.168.199.53", 13))


def test_a_client_is_told_what_happened_after_what_it_knows_in_order():
    history = History(EMPTY)
    history.take([FIRST, SECOND])
    assert history.since(10) == (FIRST, SECOND)
    assert history.since(11) == history.since(12) == (SECOND,)
    assert history.since(13) == ()
    assert history.head == 13


def test_a_client_that_knows_less_than_is_remembered_must_list():
    history = History(EMPTY)
    assert history.since(9) is None
    assert history.since(10) == ()


def test_only_so_many_events_are_remembered():
    history = History(EMPTY, longest=2)
    history.take([FIRST, SECOND, LeaseRemoved(subnet("10.2.35.0/24"), 14)])
    assert history.since(10) is None
    assert history.since(11) == (SECOND, LeaseRemoved(subnet("10.2.35.0/24"), 14))


def test_events_of_one_revision_are_forgotten_together():
    history = History(EMPTY, longest=2)
    moved: list[LeaseEvent] = [
        LeaseRemoved(subnet("10.2.35.0/24"), 12),
        LeaseAdded(held("10.2.36.0/24", "192.168.199.52", 12)),
    ]
    history.take([FIRST, *moved, SECOND])
    assert history.since(11) is None
    assert history.since(12) == (SECOND,)


def test_what_happened_while_nobody_watched_is_told_as_if_it_had_been_seen():
    history = History(Snapshot((FIRST.held, SECOND.held), 13))
    changed = held("10.2.52.0/24", "192.168.199.77", 15)
    new = held("10.2.60.0/24", "192.168.199.60", 14)
    history.relist(Snapshot((changed, new), 20))
    assert history.since(13) == (
        LeaseAdded(new),
        LeaseAdded(changed),
        LeaseRemoved(subnet("10.2.35.0/24"), 20),
    )
    assert history.head == 20


def test_an_etcd_that_was_restored_begins_a_new_history():
    history = History(Snapshot((FIRST.held,), 50))
    history.relist(Snapshot((FIRST.held,), 20))
    assert history.since(10) is None
    assert history.since(20) == ()
    assert history.restored == 1


@pytest.mark.parametrize("watched", [True, False])
def test_a_restoration_shows_by_a_revision_that_a_list_had_before_the_watch_told_of_it(watched):
    history = History(EMPTY)
    assert not history.glance(Snapshot((FIRST.held, SECOND.held), 20), history.listed)
    assert history.since(10) == ()  # the watch is still to tell
    restored = Snapshot((FIRST.held,), 15)
    if watched:
        assert history.glance(restored, history.listed)
    else:
        history.relist(restored)
    assert history.since(10) is None
    assert history.since(15) == ()
    assert history.restored == 1


def test_a_list_that_a_watch_has_overtaken_is_no_restoration():
    history = History(EMPTY)
    listed = history.listed  # when the list was asked for
    history.take([FIRST, SECOND])
    assert not history.glance(Snapshot((FIRST.held,), 11), listed)
    assert history.since(11) == (SECOND,)
    assert history.restored == 0


def test_an_etcd_that_was_restored_and_has_grown_past_what_was_known_begins_a_new_history():
    history = History(Snapshot((FIRST.held, SECOND.held), 50))
    written_anew, later = (
        held("10.2.52.0/24", "192.168.199.77", 30),
        held("10.2.60.0/24", "192.168.199.60", 55),
    )
    history.relist(Snapshot((FIRST.held, written_anew, later), 60))
    assert history.since(50) is None  # it would be told of the later one alone
    assert history.since(60) == ()
    assert history.restored == 1


def test_an_etcd_that_was_restored_to_another_past_of_the_same_length_begins_a_new_history():
    history = History(Snapshot((FIRST.held, SECOND.held), 50))
    history.relist(Snapshot((FIRST.held,), 50))
    assert history.restored == 1


def test_an_etcd_that_was_not_restored_begins_no_new_history():
    history = History(Snapshot((FIRST.held,), 50))
    history.relist(Snapshot((FIRST.held,), 50))
    history.relist(Snapshot((FIRST.held, held("10.2.60.0/24", "192.168.199.60", 51)), 51))
    history.relist(Snapshot((), 52))
    assert history.restored == 0


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[list[LeaseEvent], bool]]:
    """Batches of events with growing revisions, each either watched or only found by listing again."""
    revision, batches = 10, []
    for _ in range(draw(st.integers(1, 6))):
        events: list[LeaseEvent] = []
        for _ in range(draw(st.integers(0, 4))):
            revision += draw(st.integers(1, 2))
            number = draw(st.integers(1, 4))
            if draw(st.booleans()):
                address = f"192.168.199.{draw(st.integers(1, 3))}"
                events.append(LeaseAdded(held(f"10.2.{number}.0/24", address, revision)))
            else:
                events.append(LeaseRemoved(subnet(f"10.2.{number}.0/24"), revision))
        batches.append((events, draw(st.booleans())))
    return batches


def after(
    leases: dict[str, StoredLease], events: list[LeaseEvent] | tuple[LeaseEvent, ...]
) -> dict[str, StoredLease]:
    leases = dict(leases)
    for event in events:
        if isinstance(event, LeaseAdded):
            leases[str(event.held.lease.subnet)] = event.held
        else:
            leases.pop(str(event.subnet), None)
    return leases


@given(stories())
def test_a_client_that_follows_from_any_revision_ends_with_what_there_is(story):
    history = History(EMPTY)
    leases: dict[str, StoredLease] = {}
    known = [(10, leases)]
    for events, watched in story:
        leases = after(leases, events)
        if watched:
            history.take(events)
        else:
            last = events[-1] if events else None
            revision = history.head
            if last is not None:
                revision = last.held.revision if isinstance(last, LeaseAdded) else last.revision
            history.relist(Snapshot(tuple(leases.values()), revision))
        known.append((history.head, leases))
    assert history.restored == 0
    for cursor, leases_then in known:
        told = history.since(cursor)
        assert told is not None
        assert after(leases_then, told) == leases
