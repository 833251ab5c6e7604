from ipaddress import IPv4Address, IPv4Network

import pytest

from flanneld_py.allocate import HeldLease
from flanneld_py.holder import Claim, Lost, View, words
from flanneld_py.lease import Added, Lease, LeaseAttrs, Removed
from flanneld_py.registry import Gone, Put, Snapshot, Spoiled

# The tutorial's two minions.
OURS, THEIRS = IPv4Network("10.2.35.0/24"), IPv4Network("10.2.52.0/24")
OUR_IP, THEIR_IP = "192.168.199.52", "192.168.199.53"


def held(subnet: IPv4Network, address: str, revision: int) -> HeldLease:
    return HeldLease(Lease(subnet, LeaseAttrs(IPv4Address(address))), revision)


CLAIM = Claim(held(OURS, OUR_IP, 10), asked_at=1000.0)


@pytest.mark.parametrize(
    "change",
    [Gone(OURS, 11), Put(held(OURS, THEIR_IP, 11))],
    ids=["deleted or expired", "written by another"],
)
def test_a_lease_is_lost_when_its_key_goes_or_names_another(change):
    assert isinstance(CLAIM.after(change), Lost)


@pytest.mark.parametrize(
    "change",
    [
        Gone(OURS, 9),
        Put(held(OURS, THEIR_IP, 9)),
        Spoiled(OURS, 9),
        Put(held(OURS, OUR_IP, 10)),
        Gone(THEIRS, 11),
        Put(held(THEIRS, THEIR_IP, 11)),
        Put(HeldLease(held(OURS, THEIR_IP, 11).lease, 11, "10.2.35.7-24")),
        Gone(OURS, 11, "10.2.35.7-24"),
    ],
    ids=[
        "old deletion",
        "old write",
        "old junk",
        "our own write",
        "another's end",
        "another's lease",
        "another name of our subnet",
        "the end of another name of our subnet",
    ],
)
def test_history_and_what_is_not_our_key_leave_it_as_it_is(change):
    assert CLAIM.after(change) == CLAIM


def test_a_newer_write_in_our_name_leaves_it_ours_at_that_revision():
    after = CLAIM.after(Put(held(OURS, OUR_IP, 11)))
    assert isinstance(after, Claim)
    assert (after.held.revision, after.expires_at) == (11, CLAIM.expires_at)


def test_junk_over_our_key_is_to_be_written_over_at_once():
    after = CLAIM.after(Spoiled(OURS, 11))
    assert isinstance(after, Claim)
    assert (after.held.revision, after.spoiled) == (11, True)
    assert after.renew_at(margin=60) <= CLAIM.asked_at


def test_a_list_without_our_key_or_with_anothers_name_on_it_shows_the_loss():
    assert isinstance(CLAIM.after_list(Snapshot((), 20)), Lost)
    assert isinstance(CLAIM.after_list(Snapshot((held(OURS, THEIR_IP, 15),), 20)), Lost)
    assert CLAIM.after_list(Snapshot((held(OURS, OUR_IP, 10),), 20)) == CLAIM


def test_an_etcd_restored_from_a_backup_shows_our_key_at_a_lower_revision():
    after = CLAIM.after_list(Snapshot((held(OURS, OUR_IP, 3),), 4))
    assert isinstance(after, Claim)
    assert after.held.revision == 3
    assert isinstance(CLAIM.after_list(Snapshot((held(OURS, THEIR_IP, 3),), 4)), Lost)


def test_a_lease_ends_24_hours_after_it_was_asked_for_and_is_renewed_before():
    assert CLAIM.expires_at == 1000.0 + 24 * 3600
    assert CLAIM.renew_at(margin=60) == 1000.0 + 23 * 3600


def view(*leases: HeldLease) -> View:
    made = View()
    made.reset(Snapshot(leases, 20))
    return made


def test_our_own_subnet_is_never_a_peers():
    ours, theirs = held(OURS, OUR_IP, 10), held(THEIRS, THEIR_IP, 9)
    known = view(ours, theirs)
    for change in (
        Put(held(OURS, OUR_IP, 12)),
        Gone(OURS, 13),
        Put(HeldLease(ours.lease, 14, "10.2.35.7-24")),
    ):
        known.apply(change)
        assert known.peers(OURS) == {THEIRS: theirs.lease}


def test_an_empty_list_leaves_no_peer():
    known = view(held(THEIRS, THEIR_IP, 9))
    known.reset(Snapshot((), 20))
    assert known.peers(OURS) == {}


def test_a_peer_that_moves_is_known_by_its_new_address():
    known = view(held(THEIRS, THEIR_IP, 9))
    moved = held(THEIRS, "192.168.199.99", 13)
    known.apply(Put(moved))
    assert known.peers(OURS) == {THEIRS: moved.lease}


def test_a_peer_whose_key_goes_or_is_spoiled_is_none_any_more():
    for change in (Gone(THEIRS, 11), Spoiled(THEIRS, 11)):
        known = view(held(THEIRS, THEIR_IP, 9))
        known.apply(change)
        assert known.peers(OURS) == {}


def test_of_two_names_for_a_subnet_the_canonical_one_counts_while_it_is_there():
    theirs, alias = held(THEIRS, THEIR_IP, 9), held(THEIRS, "192.168.199.99", 10).lease
    for first, second in (
        (theirs, HeldLease(alias, 10, "10.2.52.7-24")),
        (HeldLease(alias, 10, "10.2.52.7-24"), theirs),
    ):
        known = view(first, second)
        assert known.peers(OURS) == {THEIRS: theirs.lease}
        known.apply(Gone(THEIRS, 11))
        assert known.peers(OURS) == {THEIRS: alias}


def test_changes_are_told_in_flannels_words():
    lease = held(THEIRS, THEIR_IP, 9).lease
    assert words(Added(lease)) == "Subnet added: 10.2.52.0/24"
    assert words(Removed(lease)) == "Subnet removed: 10.2.52.0/24"
