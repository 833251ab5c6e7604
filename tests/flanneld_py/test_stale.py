"""What is of a former life, and what is another flanneld's of the same machine."""

from ipaddress import ip_address, ip_network

import pytest

from flanneld_py.kernel.entries import Entry, FdbEntry, Neighbour, Route, SeenEntry, slot
from flanneld_py.kernel.stale import Note, is_anothers, stale_entries
from tests.flanneld_py.made import subnet

US, OTHER = 1, 2
NOW = subnet("10.2.0.0/16", "2001:cafe:42::/48")
OURS = tuple(Note(network, US) for network in NOW.networks)
OLD = Route(ip_network("10.9.3.0/24"), 2, ip_address("192.168.50.12"))
OLD6 = Route(ip_network("2001:db8:9:3::/64"), 2, ip_address("fd00:50::12"))
OLD_NEIGHBOUR = Neighbour(7, ip_address("10.9.3.0"), "02:00:00:00:00:01")
TODAYS = Route(ip_network("10.2.3.0/24"), 2, ip_address("192.168.50.12"))


def left(*entries: Entry, notes: tuple[Note, ...] = OURS, carried=NOW) -> tuple[Entry, ...]:
    return stale_entries((SeenEntry(entry, ours=True) for entry in entries), notes, US, carried)


def test_marked_entries_of_a_network_that_nobody_has_go_routes_first():
    assert left(OLD_NEIGHBOUR, OLD, OLD6) == (OLD, OLD6, OLD_NEIGHBOUR)


def test_those_of_our_own_network_are_the_backends_business_unless_it_has_none():
    assert left(TODAYS) == ()
    assert left(TODAYS, carried=None) == (TODAYS,)


def test_what_todays_backend_wants_stays_though_it_compares_nothing_with_its_leases():
    """A host's route past the overlay, which udp has where its network covers the host."""
    past = [SeenEntry(TODAYS, ours=True)]
    assert stale_entries(past, OURS, US, None, {slot(TODAYS)}) == ()
    assert stale_entries(past, OURS, US, None) == (TODAYS,)


def test_those_of_another_flanneld_stay_whether_it_runs_or_not():
    assert left(OLD, OLD6, OLD_NEIGHBOUR, notes=(*OURS, Note(ip_network("10.9.0.0/16"), OTHER))) == (OLD6,)


def test_what_bears_no_mark_stays():
    assert stale_entries([SeenEntry(OLD, ours=False)], OURS, US, NOW) == ()


def test_an_fdb_entry_names_no_network_and_goes_with_its_device():
    assert left(FdbEntry(7, "02:00:00:00:00:01", ip_address("192.168.50.12"))) == ()


@pytest.mark.parametrize(
    ("notes", "anothers"),
    [
        ([("10.0.0.0/8", US), ("10.2.0.0/16", OTHER)], True),
        ([("10.0.0.0/8", OTHER), ("10.2.0.0/16", US)], False),
        ([("10.2.0.0/16", OTHER), ("10.2.0.0/16", US)], False),
        ([("10.2.3.0/25", OTHER)], False),
        ([("10.3.0.0/16", OTHER)], False),
        ([], False),
    ],
    ids=["within ours", "around ours", "the same", "a part", "elsewhere", "none"],
)
def test_of_networks_in_each_other_the_smallest_counts(notes, anothers):
    noted = [Note(ip_network(network), owner) for network, owner in notes]
    assert is_anothers(ip_network("10.2.3.0/24"), noted, US) is anothers
