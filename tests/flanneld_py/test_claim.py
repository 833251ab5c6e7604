import math
from dataclasses import replace

import pytest

from flanneld_py.daemon.claim import Claim, Lost, PeerView, words
from flanneld_py.lease.model import Lease, PeerAdded, PeerRemoved, StoredLease
from flanneld_py.lease.validation import LeaseRules
from flanneld_py.registry import Announcement, LeaseAdded, LeaseRemoved, LeaseUnreadable, Snapshot
from tests.flanneld_py.made import addresses, config, held, pool4, subnet

# The tutorial's two minions.
OURS, THEIRS = "10.2.35.0/24", "10.2.52.0/24"
OUR_IP, THEIR_IP = "192.168.199.52", "192.168.199.53"
NETWORK = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))


CLAIM = Claim(held(OURS, OUR_IP, 10), asked_at=1000.0)


@pytest.mark.parametrize(
    "change",
    [LeaseRemoved(subnet(OURS), 11), LeaseAdded(held(OURS, THEIR_IP, 11))],
    ids=["deleted or expired", "written by another"],
)
def test_a_lease_is_lost_when_its_key_goes_or_names_another(change):
    assert isinstance(CLAIM.after(change), Lost)


@pytest.mark.parametrize(
    "change",
    [
        LeaseRemoved(subnet(OURS), 9),
        LeaseAdded(held(OURS, THEIR_IP, 9)),
        LeaseUnreadable(subnet(OURS), 9),
        LeaseAdded(held(OURS, OUR_IP, 10)),
        LeaseRemoved(subnet(THEIRS), 11),
        LeaseAdded(held(THEIRS, THEIR_IP, 11)),
        LeaseAdded(StoredLease(held(OURS, THEIR_IP, 11).lease, 11, "10.2.35.7-24")),
        LeaseRemoved(subnet(OURS), 11, "10.2.35.7-24"),
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
    after = CLAIM.after(LeaseAdded(held(OURS, OUR_IP, 11)))
    assert isinstance(after, Claim)
    assert (after.held.revision, after.expires_at) == (11, CLAIM.expires_at)


def test_a_newer_write_in_our_name_that_does_not_say_what_we_do_is_to_be_written_over_at_once():
    mac = {"VtepMAC": "52:08:1a:2b:3c:4d"}
    vxlan = replace(CLAIM.held.lease.attrs, backend_type="vxlan", backend_data=mac)
    ours = replace(CLAIM.held, lease=Lease(CLAIM.subnet, vxlan))
    bare = LeaseAdded(replace(held(OURS, OUR_IP, 11), permanent=True))
    after = replace(CLAIM, held=ours).after(bare)
    assert isinstance(after, Claim)
    # Ours, to be written as a reservation.
    assert after.held == replace(ours, revision=11, permanent=True)
    assert after.spoiled
    assert after.renew_at(margin=60) <= CLAIM.asked_at
    listed = replace(CLAIM, held=ours).after_list(Snapshot((bare.held,), 20))
    assert listed == after
    again = after.after(LeaseAdded(replace(ours, revision=12, permanent=True)))
    assert isinstance(again, Claim)
    assert not again.spoiled


def test_junk_over_our_key_is_to_be_written_over_at_once():
    after = CLAIM.after(LeaseUnreadable(subnet(OURS), 11))
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
    # For us half a minute earlier: it may pass before routes are withdrawn that etcd's silence holds up.
    assert CLAIM.expires_at == 1000.0 + 24 * 3600 - 30
    assert CLAIM.renew_at(margin=60) == 1000.0 + 23 * 3600


def view(*leases: StoredLease) -> PeerView:
    made = PeerView(LeaseRules(NETWORK, subnet(OURS), addresses(OUR_IP)))
    made.reset(Snapshot(leases, 20))
    return made


def test_a_lease_of_our_own_address_is_never_a_peers():
    # Packets for it would come back to us, be routed into the tunnel, and so on until their TTL ends.
    ours, theirs = held(OURS, OUR_IP, 10), held(THEIRS, THEIR_IP, 9)
    known = view(ours, theirs)
    for change in (
        LeaseAdded(held(OURS, OUR_IP, 12)),
        LeaseRemoved(subnet(OURS), 13),
        LeaseAdded(StoredLease(ours.lease, 14, "10.2.35.7-24")),
        LeaseAdded(held("10.2.77.0/24", OUR_IP, 15)),
    ):
        assert known.apply([change]) == ()
        assert known.peers == {subnet(THEIRS): theirs.lease}


def test_an_empty_list_leaves_no_peer():
    known = view(held(THEIRS, THEIR_IP, 9))
    assert known.reset(Snapshot((), 20)) == (PeerRemoved(held(THEIRS, THEIR_IP, 9).lease),)
    assert known.peers == {}


def test_a_list_tells_what_differs_from_before():
    known = view(held(THEIRS, THEIR_IP, 9))
    third = held("10.2.53.0/24", "192.168.199.54", 12)
    assert known.reset(Snapshot((held(THEIRS, THEIR_IP, 11), third), 20)) == (PeerAdded(third.lease),)


def test_a_peer_that_moves_is_known_by_its_new_address():
    known = view(held(THEIRS, THEIR_IP, 9))
    moved = held(THEIRS, "192.168.199.99", 13)
    assert known.apply([LeaseAdded(moved)]) == (PeerAdded(moved.lease),)
    assert known.peers == {subnet(THEIRS): moved.lease}


def test_a_peer_that_renews_changes_nothing():
    known = view(held(THEIRS, THEIR_IP, 9))
    assert known.apply([LeaseAdded(held(THEIRS, THEIR_IP, 11))]) == ()


def test_a_peer_whose_key_goes_or_is_spoiled_is_none_any_more():
    for change in (LeaseRemoved(subnet(THEIRS), 11), LeaseUnreadable(subnet(THEIRS), 11)):
        known = view(held(THEIRS, THEIR_IP, 9))
        assert known.apply([change]) == (PeerRemoved(held(THEIRS, THEIR_IP, 9).lease),)
        assert known.peers == {}
        assert known.apply([change]) == ()


def test_of_two_names_for_a_subnet_the_canonical_one_counts_while_it_is_there():
    theirs, alias = held(THEIRS, THEIR_IP, 9), held(THEIRS, "192.168.199.99", 10).lease
    for first, second in (
        (theirs, StoredLease(alias, 10, "10.2.52.7-24")),
        (StoredLease(alias, 10, "10.2.52.7-24"), theirs),
    ):
        known = view(first, second)
        assert known.peers == {subnet(THEIRS): theirs.lease}
        assert known.apply([LeaseRemoved(subnet(THEIRS), 11)]) == (PeerAdded(alias),)
        assert known.peers == {subnet(THEIRS): alias}


def test_a_reservation_has_no_end_and_needs_no_renewal():
    claim = Claim(replace(held(OURS, OUR_IP, 10), permanent=True), asked_at=1000.0)
    assert claim.expires_at == claim.renew_at(margin=60) == math.inf


def test_changes_are_told_in_flannels_words():
    lease = held(THEIRS, THEIR_IP, 9).lease
    assert words(PeerAdded(lease)) == "Subnet added: 10.2.52.0/24"
    assert words(PeerRemoved(lease)) == "Subnet removed: 10.2.52.0/24"


# What is said beside a lease

THEIR_LEASE = held(THEIRS, THEIR_IP, 9)
TEXT = b'{"Revision":9,"MTU":9000}'


def told(text: bytes = TEXT, of: str = THEIRS) -> Announcement:
    return Announcement(subnet(of), text)


def announced(text: bytes, of: StoredLease = THEIR_LEASE) -> PeerAdded:
    return PeerAdded(replace(of.lease, announced=text), again=True)


def test_what_is_said_of_a_lease_as_it_is_belongs_to_it_and_is_no_new_lease():
    known = view(THEIR_LEASE)
    assert known.hear(told()) == (announced(TEXT),)
    assert known.peers == {subnet(THEIRS): announced(TEXT).lease}
    assert known.hear(told()) == ()


@pytest.mark.parametrize("revision", [b"8", b"10", b"true", b"null", b'"9"', b"9.0"])
def test_what_is_said_of_a_lease_at_another_revision_is_of_no_meaning(revision):
    known = view(THEIR_LEASE)
    assert known.hear(told(b'{"Revision":%b,"MTU":9000}' % revision)) == ()
    assert known.peers == {subnet(THEIRS): THEIR_LEASE.lease}


def test_what_is_said_ends_with_a_renewal_until_it_is_said_anew():
    # A genuine flannel that takes the lease over, on the same machine and for the same subnet, says nothing.
    known = view(THEIR_LEASE)
    known.hear(told())
    assert known.apply([LeaseAdded(held(THEIRS, THEIR_IP, 11))]) == (announced(b""),)
    again = TEXT.replace(b"9,", b"11,")
    assert known.hear(told(again)) == (announced(again),)


def test_what_is_said_before_the_lease_is_known_counts_once_it_is():
    known = view()
    assert known.hear(told()) == ()
    assert known.apply([LeaseAdded(THEIR_LEASE)]) == (PeerAdded(announced(TEXT).lease),)


def test_what_is_not_said_any_more_ends():
    known = view(THEIR_LEASE)
    known.hear(told())
    assert known.hear(told(b"")) == (announced(b""),)
    assert known.hear(told(b"")) == ()


def test_a_lease_that_goes_takes_what_was_said_of_it_along():
    known = view(THEIR_LEASE)
    known.hear(told())
    assert known.apply([LeaseRemoved(subnet(THEIRS), 11)]) == (PeerRemoved(announced(TEXT).lease),)
    another = held(THEIRS, "192.168.199.99", 12)
    assert known.apply([LeaseAdded(another)]) == (PeerAdded(another.lease),)


def test_another_holder_with_words_of_its_own_is_a_new_lease():
    known = view(THEIR_LEASE)
    known.hear(told())
    known.apply([LeaseAdded(another := held(THEIRS, "192.168.199.99", 12))])
    assert known.hear(told(b'{"Revision":12}')) == (announced(b'{"Revision":12}', another),)


def test_nothing_is_said_of_a_lease_under_another_name_than_flannels():
    alias = StoredLease(held(THEIRS, THEIR_IP, 9).lease, 9, "10.2.52.7-24")
    known = view(alias)
    assert known.hear(told()) == ()
    assert known.peers == {subnet(THEIRS): alias.lease}


def test_what_is_said_of_our_own_lease_makes_nobody_a_peer():
    known = view(held(OURS, OUR_IP, 9))
    assert known.hear(told(of=OURS)) == ()
    assert known.peers == {}


def test_a_list_has_what_is_said_and_ends_what_was():
    known = view()
    known.reset(Snapshot((THEIR_LEASE,), 20, announced=(told(),)))
    assert known.peers == {subnet(THEIRS): announced(TEXT).lease}
    assert known.reset(Snapshot((THEIR_LEASE,), 21, announced=(told(),))) == ()
    assert known.reset(Snapshot((THEIR_LEASE,), 22)) == (announced(b""),)
    assert known.apply([LeaseAdded(THEIR_LEASE)]) == ()
