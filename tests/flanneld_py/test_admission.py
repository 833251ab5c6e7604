"""Leases that exclude each other: the one whose key is older is a peer, and when it goes the next one is."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.lease.admission import Admission, RefusedLease
from flanneld_py.lease.model import StoredLease
from flanneld_py.lease.validation import LeaseRules, RefusalReason
from flanneld_py.subnet import Subnet
from tests.effort import examples
from tests.flanneld_py.made import config, held, pool4, pool6, subnet

NETWORK = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
RULES = LeaseRules(NETWORK, own=subnet("10.2.35.0/24"))


def lease(network: str, address: str, created: int, *, permanent: bool = False) -> StoredLease:
    return replace(held(network, address, created), created=created, permanent=permanent)


def peers(admission: Admission) -> set[str]:
    return set(map(str, admission.admitted))


def test_of_two_leases_of_one_public_address_the_older_is_a_peer_until_it_goes():
    admission = Admission(RULES)
    first, second = lease("10.2.52.0/24", "192.168.199.53", 5), lease("10.2.53.0/24", "192.168.199.53", 6)
    admission.put(first)
    assert admission.put(second) == []
    refusal = admission.refused[second.lease.subnet].refusal
    assert refusal.fault is RefusalReason.SHARED
    assert refusal.reason == (
        "its public address 192.168.199.53 is that of 10.2.52.0/24, which was there first"
    )
    assert admission.remove(first.lease.subnet) == [(first.lease, None), (None, second.lease)]
    assert not admission.refused


def test_a_refused_lease_is_a_peers_once_its_own_fault_is_over():
    admission = Admission(RULES)
    admission.put(lease("10.2.52.0/24", "127.0.0.1", 5))
    good = lease("10.2.52.0/24", "192.168.199.53", 5)
    assert admission.put(good) == [(None, good.lease)]


def test_a_peer_that_takes_anothers_public_address_is_none_any_more():
    admission = Admission(RULES)
    first, second = lease("10.2.52.0/24", "192.168.199.53", 5), lease("10.2.53.0/24", "192.168.199.54", 6)
    admission.put(first)
    admission.put(second)
    assert admission.put(lease("10.2.53.0/24", "192.168.199.53", 6)) == [(second.lease, None)]


def test_a_reservation_that_covers_a_lease_that_is_older_is_refused_and_takes_its_place_when_that_goes():
    admission = Admission(RULES)
    inner = lease("10.2.66.0/24", "192.168.199.53", 5)
    outer = lease("10.2.64.0/22", "192.168.199.54", 6, permanent=True)
    admission.put(inner)
    assert admission.put(outer) == []
    assert admission.refused[outer.lease.subnet].fault is RefusalReason.ANOTHERS
    assert admission.remove(inner.lease.subnet) == [(inner.lease, None), (None, outer.lease)]


def test_a_lease_and_the_public_address_of_another_inside_it_exclude_each_other():
    admission = Admission(RULES)
    covered, covering = lease("10.2.52.0/24", "10.2.60.7", 5), lease("10.2.60.0/24", "192.168.199.54", 6)
    admission.put(covered)
    admission.put(covering)
    assert admission.refused[covering.lease.subnet].refusal.reason == (
        "it covers 10.2.60.7, the public address of 10.2.52.0/24"
    )
    admission.remove(covered.lease.subnet)
    assert peers(admission) == {"10.2.60.0/24"}
    admission.put(lease("10.2.52.0/24", "10.2.60.7", 7))
    assert admission.refused[subnet("10.2.52.0/24")].refusal.reason == (
        "its public address 10.2.60.7 is inside another's subnet, 10.2.60.0/24"
    )


def test_with_two_families_leases_that_share_one_of_their_subnets_exclude_each_other():
    both = config(
        pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"),
        pool6("2001:cafe:42::/56", "2001:cafe:42:1::/64", "2001:cafe:42:ff::/64"),
    )
    admission = Admission(LeaseRules(both))
    first = lease("10.2.52.0/24", "192.168.199.53", 5)
    other = lease("10.2.52.0/24", "192.168.199.54", 6)
    one = Subnet(first.lease.subnet.ipv4, subnet("2001:cafe:42:5::/64").ipv6)
    two = Subnet(first.lease.subnet.ipv4, subnet("2001:cafe:42:6::/64").ipv6)
    admission.put(replace(first, lease=replace(first.lease, subnet=one)))
    admission.put(replace(other, lease=replace(other.lease, subnet=two)))
    assert list(admission.admitted) == [one]
    assert admission.refused[two].fault is RefusalReason.ANOTHERS


# What the examples above are cases of

LEASES = st.builds(
    lambda at, bits, address, created, permanent: lease(
        f"10.2.{at & ~((1 << (24 - bits)) - 1)}.0/{bits}", address, created, permanent=permanent
    ),
    st.integers(34, 47),
    st.sampled_from([24, 24, 24, 23, 22]),
    st.sampled_from(["192.168.199.53", "192.168.199.54", "10.2.36.1", "10.2.38.1", "127.0.0.1"]),
    st.integers(1, 6),
    st.booleans(),
)
STEPS = st.lists(LEASES | st.builds(lambda item: item.lease.subnet, LEASES), max_size=40)


def exclude(one: StoredLease, other: StoredLease) -> bool:
    here, there = one.lease, other.lease
    mine, theirs = here.attrs.public.ipv4, there.attrs.public.ipv4
    assert mine is not None
    assert theirs is not None
    assert here.subnet.ipv4 is not None
    assert there.subnet.ipv4 is not None
    return (
        here.subnet.overlaps(there.subnet)
        or mine == theirs
        or mine in there.subnet.ipv4
        or theirs in here.subnet.ipv4
    )


def first_come(leases: list[StoredLease]) -> set[Subnet]:
    """The rule itself: in the order of their keys, each that none of the admitted excludes."""
    admitted: list[StoredLease] = []
    for item in sorted(leases, key=lambda item: (item.created, item.lease.subnet)):
        if RULES.unfit(item) is None and not any(exclude(item, other) for other in admitted):
            admitted.append(item)
    return {item.lease.subnet for item in admitted}


@examples(25)
@given(STEPS)
def test_whatever_comes_and_goes_the_peers_are_those_whose_keys_are_older(steps):
    admission = Admission(RULES)
    there: dict[Subnet, StoredLease] = {}
    known: set[Subnet] = set()
    for step in steps:
        if isinstance(step, Subnet):
            there.pop(step, None)
            changes = admission.remove(step)
        else:
            there[step.lease.subnet] = step
            changes = admission.put(step)
        for before, after in changes:
            lost = known if before is None else {before.subnet}
            assert before is None or lost <= known
            known = known - (set() if before is None else lost) | (set() if after is None else {after.subnet})
        assert known == set(admission.admitted) == first_come(list(there.values()))
        assert set(admission.refused) == set(there) - known
        counts = admission.refusals(0).counts
        assert sum(counts.values()) == len(admission.refused)
        for refused in admission.refused.values():
            assert refused.refusal.reason
    for gone in list(there):
        admission.remove(gone)
    assert not admission.refused
    assert not admission.refusals(9).counts


def test_many_that_are_refused_for_one_peer_cost_no_more_when_it_goes(monkeypatch):
    # Each goes as the one before it has made room. Were all judged anew then, thousands would take minutes.
    count, judged = 300, 0
    judge = Admission._judge

    def counted(self: Admission, held: StoredLease, before: RefusedLease | None) -> Subnet | None:
        nonlocal judged
        judged += 1
        return judge(self, held, before)

    monkeypatch.setattr(Admission, "_judge", counted)
    admission = Admission(LeaseRules(config(pool4("10.0.0.0/8", "10.0.0.0/24", "10.255.255.0/24"))))
    all_of_one = [
        lease(f"10.{number >> 8}.{number & 255}.0/24", "192.168.199.53", number + 1)
        for number in range(count)
    ]
    for item in all_of_one:
        admission.put(item)
    assert len(admission.refused) == count - 1
    for item, following in pairwise(all_of_one):
        assert admission.remove(item.lease.subnet) == [(item.lease, None), (None, following.lease)]
    assert judged == count + count - 1
