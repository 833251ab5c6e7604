from ipaddress import IPv4Address, IPv4Network

import pytest

from flanneld_py.allocate import HeldLease
from flanneld_py.holder import Claim, View, words
from flanneld_py.lease import Added, Lease, LeaseAttrs, Removed
from flanneld_py.registry import Gone, Put, Snapshot

# The tutorial's two minions.
OURS, THEIRS = IPv4Network("10.2.35.0/24"), IPv4Network("10.2.52.0/24")
OUR_IP, THEIR_IP = "192.168.199.52", "192.168.199.53"


def held(subnet: IPv4Network, address: str, revision: int) -> HeldLease:
    return HeldLease(Lease(subnet, LeaseAttrs(IPv4Address(address))), revision)


CLAIM = Claim(held(OURS, OUR_IP, 10), asked_at=1000.0)


@pytest.mark.parametrize(
    "event",
    [Gone(OURS, 11), Put(held(OURS, THEIR_IP, 11))],
    ids=["deleted or expired", "written by another"],
)
def test_a_lease_is_lost_when_its_key_goes_or_names_another(event):
    assert CLAIM.lost(event)


@pytest.mark.parametrize(
    "event",
    [
        Gone(OURS, 9),
        Put(held(OURS, THEIR_IP, 9)),
        Put(held(OURS, OUR_IP, 10)),
        Put(held(OURS, OUR_IP, 11)),
        Gone(THEIRS, 11),
        Put(held(THEIRS, THEIR_IP, 11)),
    ],
    ids=[
        "old deletion",
        "old write",
        "our own write",
        "a newer write of ours",
        "another's end",
        "another's lease",
    ],
)
def test_history_and_the_leases_of_others_do_not_lose_it(event):
    assert CLAIM.lost(event) == ""


def test_a_list_without_our_key_or_with_anothers_name_on_it_shows_the_loss():
    assert CLAIM.missing_from(Snapshot({}, 20))
    assert CLAIM.missing_from(Snapshot({OURS: held(OURS, THEIR_IP, 15)}, 20))
    assert CLAIM.missing_from(Snapshot({OURS: held(OURS, OUR_IP, 10)}, 20)) == ""


def test_a_lease_ends_24_hours_after_it_was_asked_for_and_is_renewed_before():
    assert CLAIM.expires_at == 1000.0 + 24 * 3600
    assert CLAIM.renew_at(margin=60) == 1000.0 + 23 * 3600


def test_our_own_subnet_is_never_a_peers():
    view = View()
    leases = {OURS: held(OURS, OUR_IP, 10), THEIRS: held(THEIRS, THEIR_IP, 9)}
    assert view.reset(leases, OURS) == (Added(leases[THEIRS].lease),)
    assert view.apply(Put(held(OURS, OUR_IP, 12)), OURS) == ()
    assert view.apply(Gone(OURS, 13), OURS) == ()
    # A second list must not report it as removed, as flannel does.
    assert view.reset(leases, OURS) == ()


def test_an_empty_list_removes_every_peer():
    view = View()
    theirs = held(THEIRS, THEIR_IP, 9)
    view.reset({THEIRS: theirs}, OURS)
    assert view.reset({}, OURS) == (Removed(theirs.lease),)


def test_a_peer_whose_address_changes_is_added_again_and_one_that_only_renews_is_not():
    view = View()
    view.reset({THEIRS: held(THEIRS, THEIR_IP, 9)}, OURS)
    assert view.apply(Put(held(THEIRS, THEIR_IP, 12)), OURS) == ()
    moved = held(THEIRS, "192.168.199.99", 13)
    assert view.apply(Put(moved), OURS) == (Added(moved.lease),)


def test_changes_are_told_in_flannels_words():
    lease = held(THEIRS, THEIR_IP, 9).lease
    assert words(Added(lease)) == "Subnet added: 10.2.52.0/24"
    assert words(Removed(lease)) == "Subnet removed: 10.2.52.0/24"
