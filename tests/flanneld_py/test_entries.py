"""What of the kernel is ours, and what makes it as wanted."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.kernel.entries import (
    PROTOCOL,
    Add,
    Change,
    Entry,
    FdbEntry,
    Neighbour,
    Remove,
    Route,
    SeenEntry,
    Slot,
    plan,
    slot,
)

DEVICE = 7
ETH0 = 2
STATIC = 4  # RTPROT_STATIC of linux/rtnetlink.h
MAC = "82:99:9b:1a:0b:01"
OTHER_MAC = "82:99:9b:1a:0b:02"
GATEWAY = ip_address("10.5.57.0")

ROUTE = Route(ip_network("10.5.57.0/24"), DEVICE, GATEWAY, onlink=True)
NEIGHBOUR = Neighbour(DEVICE, GATEWAY, MAC)
FDB = FdbEntry(DEVICE, MAC, ip_address("192.0.2.57"))
ROUTE6 = Route(ip_network("2001:db8:57::/64"), DEVICE, ip_address("2001:db8:57::"), onlink=True)
PEER: tuple[Entry, ...] = (ROUTE, NEIGHBOUR, FDB)


def wanted(*entries: Entry) -> dict[Slot, Entry]:
    return {slot(entry): entry for entry in entries}


def ours(*entries: Entry) -> list[SeenEntry]:
    return [SeenEntry(entry, True) for entry in entries]


def test_what_is_there_already_needs_no_change():
    assert plan(wanted(*PEER), ours(*PEER)) == ()


def test_a_new_peer_is_given_its_fdb_entry_and_neighbour_before_its_route():
    assert plan(wanted(*PEER), []) == (Add(FDB), Add(NEIGHBOUR), Add(ROUTE))


def test_a_peer_that_is_gone_loses_its_route_before_what_the_route_needs():
    assert plan({}, ours(FDB, NEIGHBOUR, ROUTE)) == (Remove(ROUTE), Remove(NEIGHBOUR), Remove(FDB))


def test_what_is_stale_goes_before_anything_comes():
    assert plan(wanted(ROUTE6), ours(ROUTE)) == (Remove(ROUTE), Add(ROUTE6))


@pytest.mark.parametrize(
    "different",
    [
        replace(ROUTE, gateway=ip_address("10.5.58.0")),
        replace(ROUTE, device=ETH0),
        replace(ROUTE, onlink=False),
        replace(ROUTE, source=ip_address("10.5.1.0")),
        replace(NEIGHBOUR, mac=OTHER_MAC),
        replace(FDB, remote=ip_address("192.0.2.58")),
    ],
    ids=str,
)
def test_a_different_entry_of_ours_is_replaced_in_one_step(different: Entry):
    (change,) = plan(
        wanted(*PEER), [*ours(*(set(PEER) - {entry_like(different)})), SeenEntry(different, True)]
    )
    assert change == Add(entry_like(different))


def entry_like(entry: Entry) -> Entry:
    return next(own for own in PEER if slot(own) == slot(entry))


@pytest.mark.parametrize("entry", PEER, ids=str)
def test_a_foreign_entry_where_nothing_is_wanted_is_left_alone(entry: Entry):
    assert plan({}, [SeenEntry(entry, False)]) == ()


def test_a_wrong_next_hop_that_somebody_else_set_is_replaced():
    wrong = replace(ROUTE, gateway=ip_address("192.0.2.99"), protocol=STATIC)
    assert plan(wanted(ROUTE), [SeenEntry(wrong, False)]) == (Add(ROUTE),)


def test_the_right_route_without_our_mark_gets_it():
    assert plan(wanted(ROUTE), [SeenEntry(replace(ROUTE, protocol=STATIC), False)]) == (Add(ROUTE),)


def test_a_route_of_another_metric_goes_when_ours_is_there():
    # The kernel keeps one for each metric, so ours does not take its place.
    wrong = replace(ROUTE, gateway=ip_address("192.0.2.99"), protocol=STATIC, metric=100)
    assert plan(wanted(ROUTE), [SeenEntry(wrong, False)]) == (Add(ROUTE), Remove(wrong))
    assert plan(wanted(ROUTE), [*ours(ROUTE), SeenEntry(wrong, False)]) == (Remove(wrong),)


def test_several_routes_of_one_metric_go_before_ours_comes():
    # Replacing takes the first of them only (fib_table_insert of net/ipv4/fib_trie.c).
    first = replace(ROUTE, device=ETH0, protocol=STATIC)
    second = replace(ROUTE, device=ETH0 + 1, protocol=STATIC)
    there = [SeenEntry(first, False), SeenEntry(second, False)]
    assert plan(wanted(ROUTE), there) == (Remove(first), Remove(second), Add(ROUTE))


def test_an_unmarked_fdb_entry_is_deleted_first_because_the_kernel_would_not_mark_it():
    assert plan(wanted(FDB), [SeenEntry(FDB, False)]) == (Remove(FDB), Add(FDB))


@pytest.mark.parametrize("entry", [ROUTE, NEIGHBOUR], ids=str)
def test_an_entry_that_somebody_altered_is_put_again(entry: Entry):
    assert plan(wanted(entry), [SeenEntry(entry, True, altered=True)]) == (Add(entry),)


def test_an_fdb_entry_that_somebody_altered_is_made_anew():
    assert plan(wanted(FDB), [SeenEntry(FDB, True, altered=True)]) == (Remove(FDB), Add(FDB))


def test_the_mark_is_protocol_241():
    assert PROTOCOL == 241  # what `ip route show proto 241` finds


# Whatever is there, one round makes it right.

DEVICES = st.integers(1, 3)
MACS = st.sampled_from([MAC, OTHER_MAC])
ADDRESSES = st.sampled_from([ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "2001:db8::1")])
NETWORKS = st.sampled_from([ip_network(text) for text in ("10.5.1.0/24", "2001:db8:1::/64")])
ROUTES = st.builds(Route, NETWORKS, DEVICES, ADDRESSES | st.none(), onlink=st.booleans())
ENTRIES = (
    ROUTES | st.builds(Neighbour, DEVICES, ADDRESSES, MACS) | st.builds(FdbEntry, DEVICES, MACS, ADDRESSES)
)


@st.composite
def seen(draw: st.DrawFn) -> SeenEntry:
    entry = draw(ENTRIES)
    mark = draw(st.booleans())
    if isinstance(entry, Route):
        protocol = PROTOCOL if mark else STATIC
        entry = replace(entry, metric=draw(st.sampled_from([0, 0, 100])), protocol=protocol)
    return SeenEntry(entry, mark, draw(st.booleans()))


def place(entry: Entry) -> object:
    """What the kernel keys it by: routes by their metric as well."""
    return (slot(entry), entry.metric) if isinstance(entry, Route) else slot(entry)


def kernel(there: list[SeenEntry], changes: tuple[Change, ...]) -> list[SeenEntry]:
    """What a kernel with these entries has afterwards."""
    have = {place(item.entry): item for item in there}
    for change in changes:
        where = place(change.entry)
        if isinstance(change, Remove):
            if where in have and have[where].entry == change.entry:
                del have[where]
        elif isinstance(change.entry, FdbEntry) and where in have:
            have[where] = replace(have[where], entry=change.entry)
        else:
            have[where] = SeenEntry(change.entry, True)
    return list(have.values())


@given(st.lists(ENTRIES), st.lists(seen()))
def test_after_one_round_there_is_what_is_wanted_and_what_is_foreign_elsewhere(entries, there):
    goal = wanted(*entries)
    there = list({place(item.entry): item for item in there}.values())
    after = kernel(there, plan(goal, there))
    assert {slot(item.entry): item for item in after if slot(item.entry) in goal} == {
        where: SeenEntry(entry, True) for where, entry in goal.items()
    }
    elsewhere = [item for item in there if not item.ours and slot(item.entry) not in goal]
    assert [item for item in after if slot(item.entry) not in goal] == elsewhere
    assert plan(goal, after) == ()
