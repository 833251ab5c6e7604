import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.lease.allocate import (
    Create,
    FreeSubnets,
    OutOfSubnets,
    Pick,
    Replace,
    Reuse,
    choose_subnet,
    picker,
)
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease
from flanneld_py.subnet import Subnet, key
from tests.flanneld_py.made import addresses, config, held, pool4, pool6, subnet

ME = addresses("192.168.199.52")
MINE, PEERS = "192.168.199.52", "192.168.199.53"

# flannel's own example, TestAcquireLease: 10.3.3.0/24 is the only one left.
FLANNELS = config(pool4("10.3.0.0/16", "10.3.1.0/24", "10.3.5.0/24"))
TUTORIAL = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
DUAL = config(
    pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"),
    pool6("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64"),
)
LOWEST = Pick()
RANDOM = Pick(random.randrange)


def never(count: int) -> int:
    raise AssertionError(f"nothing was to be picked among {count}")


NEVER = Pick(never)


def test_the_only_free_subnet_is_chosen() -> None:
    leases = [held(f"10.3.{i}.0/24", PEERS) for i in (1, 2, 4, 5)]
    assert choose_subnet(FLANNELS, leases, ME, None, RANDOM) == Create(subnet("10.3.3.0/24"))


def test_a_node_that_restarts_gets_the_lease_that_it_holds() -> None:
    ours = held("10.3.3.0/24", MINE, revision=7)
    assert choose_subnet(FLANNELS, [held("10.3.1.0/24", PEERS), ours], ME, None, NEVER) == Reuse(ours)


def test_the_lease_we_hold_comes_before_the_previous_subnet() -> None:
    ours = held("10.3.3.0/24", MINE)
    assert choose_subnet(FLANNELS, [ours], ME, subnet("10.3.4.0/24"), NEVER) == Reuse(ours)


def test_a_node_gets_its_previous_subnet_after_etcd_was_wiped() -> None:
    previous = subnet("10.2.35.0/24")
    assert choose_subnet(TUTORIAL, [held("10.2.52.0/24", PEERS)], ME, previous, NEVER) == Create(previous)


@pytest.mark.parametrize(
    "previous",
    [
        "10.2.52.0/24",
        "10.2.53.0/24",
        "10.9.1.0/24",
        "10.2.0.0/24",
        "10.2.35.0/25",
        "10.2.0.0/16",
        "10.2.35.128/25",
        "2001:cafe:42:35::/64",
    ],
)
def test_a_previous_subnet_that_is_leased_or_no_longer_fits_is_not_taken(previous: str) -> None:
    choice = choose_subnet(TUTORIAL, [held("10.2.52.0/23", PEERS)], ME, subnet(previous), LOWEST)
    assert choice == Create(subnet("10.2.1.0/24"))


def test_the_last_subnet_is_within_the_range() -> None:
    assert TUTORIAL.ipv4 is not None
    free = FreeSubnets.of(TUTORIAL.ipv4, [])
    assert (free.count, str(free[0]), str(free[254])) == (255, "10.2.1.0/24", "10.2.255.0/24")


@pytest.mark.parametrize("ours", ["10.9.1.0/24", "10.3.6.0/24", "10.3.0.0/24", "10.3.3.0/25"])
def test_our_lease_that_the_configuration_no_longer_allows_is_replaced(ours: str) -> None:
    old = held(ours, MINE, revision=7)
    leases = [old, *(held(f"10.3.{i}.0/24", PEERS) for i in (1, 2, 4, 5))]
    assert choose_subnet(FLANNELS, leases, ME, subnet(ours), RANDOM) == Replace(old, subnet("10.3.3.0/24"))


def test_of_several_leases_of_ours_the_previous_subnet_is_kept() -> None:
    leases = [held("10.3.5.0/24", MINE, 5), held("10.3.2.0/24", MINE, 2), held("10.3.4.0/24", MINE, 4)]
    assert choose_subnet(FLANNELS, leases, ME, subnet("10.3.4.0/24"), NEVER) == Reuse(leases[2])


def test_of_several_leases_of_ours_the_lowest_is_kept_in_whatever_order_they_come() -> None:
    leases = [held("10.3.5.0/24", MINE, 5), held("10.9.2.0/24", MINE, 2), held("10.3.4.0/24", MINE, 4)]
    for order in (leases, leases[::-1]):
        assert choose_subnet(FLANNELS, order, ME, None, NEVER) == Reuse(leases[2])


def test_a_lease_under_another_flannels_key_takes_its_range_but_is_not_renewed() -> None:
    leases = [
        held("10.3.3.0/24", MINE, name="10.3.3.7-24"),
        *(held(f"10.3.{i}.0/24", PEERS) for i in (1, 2, 4)),
    ]
    choice = choose_subnet(FLANNELS, leases, ME, subnet("10.3.3.0/24"), LOWEST)
    assert choice == Create(subnet("10.3.5.0/24"))


def test_a_key_with_an_unreadable_value_still_takes_its_range() -> None:
    leases = [held(f"10.3.{i}.0/24", PEERS) for i in (1, 2, 4)]
    choice = choose_subnet(FLANNELS, leases, ME, None, RANDOM, taken=[subnet("10.3.3.0/24")])
    assert choice == Create(subnet("10.3.5.0/24"))


@pytest.mark.parametrize("leased", [[f"10.3.{i}.0/24" for i in range(1, 6)], ["10.3.0.0/16"], ["0.0.0.0/1"]])
def test_when_every_subnet_is_leased_that_is_said_with_the_range(leased: list[str]) -> None:
    with pytest.raises(
        OutOfSubnets, match=r"^out of subnets: no free /24 in range 10\.3\.1\.0 \.\.\. 10\.3\.5\.0"
    ):
        choose_subnet(FLANNELS, [held(item, PEERS) for item in leased], ME, subnet("10.3.3.0/24"), NEVER)


def test_with_two_families_a_subnet_of_each_is_chosen() -> None:
    taken = StoredLease(
        Lease(subnet("10.2.1.0/24", "2001:cafe:42:2::/64"), LeaseAttrs(addresses(PEERS))), revision=1
    )
    choice = choose_subnet(DUAL, [taken], ME, None, LOWEST)
    assert choice == Create(subnet("10.2.2.0/24", "2001:cafe:42:1::/64"))


def test_a_network_that_became_dual_stack_leaves_a_node_its_ipv4_subnet() -> None:
    old = held("10.2.35.0/24", MINE)
    choice = choose_subnet(DUAL, [old], ME, None, LOWEST)
    assert choice == Replace(old, subnet("10.2.35.0/24", "2001:cafe:42:1::/64"))


def test_without_ipv4_a_node_is_known_by_its_ipv6_address() -> None:
    network = config(None, DUAL.ipv6)
    me = addresses("fd00:50::11")
    ours = StoredLease(Lease(subnet("2001:cafe:42:7::/64"), LeaseAttrs(me)), 3)
    theirs = StoredLease(Lease(subnet("2001:cafe:42:8::/64"), LeaseAttrs(addresses("fd00:50::12"))), 2)
    assert choose_subnet(network, [theirs, ours], me, None, NEVER) == Reuse(ours)


def test_millions_of_subnets_cost_no_time() -> None:
    free = FreeSubnets.of(
        pool4("10.0.0.0/8", "10.0.0.4/30", "10.255.255.252/30"), [IPv4Network("10.128.0.0/9")]
    )
    assert free.count == 2**21 - 1
    assert (str(free[0]), str(free[free.count - 1])) == ("10.0.0.4/30", "10.127.255.252/30")
    assert Pick(random.Random(1).randrange)(free) in free


def test_nor_do_more_than_a_length_can_tell() -> None:
    free = FreeSubnets.of(
        pool6("2001::/16", "2001::4/126", "2001:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"), []
    )
    assert free.count == 2**110 - 1
    assert Pick(random.Random(1).randrange)(free) in free


def test_sticky_comes_back_to_the_same_subnet_and_to_the_next_free_one_if_it_is_taken() -> None:
    pick = picker("sticky", ME, never)
    first = choose_subnet(TUTORIAL, [], ME, None, pick)
    assert choose_subnet(TUTORIAL, [held("10.2.1.0/24", PEERS)], ME, None, pick) == first
    assert isinstance(first, Create)
    assert first.subnet.ipv4 is not None
    taken = held(str(first.subnet), PEERS)
    second = choose_subnet(TUTORIAL, [taken], ME, None, pick)
    assert second == Create(Subnet(IPv4Network((first.subnet.ipv4.broadcast_address + 1, 24))))


def test_sticky_spreads_machines_over_the_whole_range() -> None:
    machines = [addresses(f"192.168.199.{host}") for host in range(1, 101)]
    chosen = {
        choose_subnet(TUTORIAL, [], machine, None, picker("sticky", machine, never)) for machine in machines
    }
    # 100 balls in 255 bins fill about 83 of them.
    assert len(chosen) > 70


def test_sticky_after_the_last_subnet_begins_again_with_the_first() -> None:
    assert FLANNELS.ipv4 is not None
    free = FreeSubnets.of(FLANNELS.ipv4, [IPv4Network("10.3.4.0/23")])
    assert Pick(number=3)(free) == IPv4Network("10.3.1.0/24")


def test_lowest_takes_the_lowest_free_subnet() -> None:
    choice = choose_subnet(FLANNELS, [held("10.3.1.0/24", PEERS)], ME, None, picker("lowest", ME, never))
    assert choice == Create(subnet("10.3.2.0/24"))


LENGTHS = st.integers(20, 30)
ADDRESSES = st.integers(int(IPv4Address("10.2.0.0")), int(IPv4Address("10.2.31.255")))


@st.composite
def configurations(draw: st.DrawFn) -> Pool[IPv4Network]:
    length = draw(st.integers(21, 30))
    steps = 2 ** (length - 19)
    limits = sorted(draw(st.lists(st.integers(0, steps - 1), min_size=2, max_size=2)))
    low, high = (
        IPv4Network((int(IPv4Address("10.2.0.0")) + step * 2 ** (32 - length), length)) for step in limits
    )
    return Pool(IPv4Network("10.2.0.0/19"), low, high)


@st.composite
def lease_lists(draw: st.DrawFn) -> list[StoredLease]:
    return [
        StoredLease(
            Lease(
                Subnet(IPv4Network((draw(ADDRESSES), draw(LENGTHS)), strict=False)),
                LeaseAttrs(draw(st.sampled_from([ME, addresses(PEERS)]))),
            ),
            draw(st.integers(1, 9)),
        )
        for _ in range(draw(st.integers(0, 8)))
    ]


def every(pool: Pool[IPv4Network]) -> list[Subnet]:
    """The subnets of a pool, one by one."""
    low, high = int(pool.subnet_min.network_address), int(pool.subnet_max.network_address)
    size = 2 ** (32 - pool.subnet_len)
    return [Subnet(IPv4Network((address, pool.subnet_len))) for address in range(low, high + 1, size)]


@given(
    configurations(),
    lease_lists(),
    st.none() | st.builds(lambda a, n: Subnet(IPv4Network((a, n), strict=False)), ADDRESSES, LENGTHS),
    st.sampled_from(["random", "sticky", "lowest"]),
    st.randoms(use_true_random=False),
)
def test_an_allocation_never_overlaps_another_lease(pool, leases, previous, mode, rng) -> None:
    everything = every(pool)
    network: NetworkConfig = config(pool)
    try:
        choice = choose_subnet(network, leases, ME, previous, picker(mode, ME, rng.randrange))
    except OutOfSubnets:
        assert all(any(item.overlaps(h.lease.subnet) for h in leases) for item in everything)
        return
    match choice:
        case Reuse(ours):
            assert ours in leases
            assert ours.lease.attrs.public == ME
            assert ours.lease.subnet in everything
        case Replace(old, chosen):
            assert old.lease.attrs.public == ME
            assert chosen in everything
            assert not any(chosen.overlaps(h.lease.subnet) for h in leases if h is not old)
        case Create(chosen):
            assert chosen in everything
            assert not any(chosen.overlaps(h.lease.subnet) for h in leases)
            assert key(chosen) not in {key(h.lease.subnet) for h in leases}


@given(configurations(), lease_lists())
def test_every_free_subnet_may_be_picked(pool: Pool[IPv4Network], leases: list[StoredLease]) -> None:
    leased = [h.lease.subnet for h in leases]
    expected = [item.ipv4 for item in every(pool) if not any(other.overlaps(item) for other in leased)]
    free = FreeSubnets.of(pool, [item.ipv4 for item in leased if item.ipv4 is not None])
    assert [free[i] for i in range(free.count)] == expected
    assert all(item in free for item in expected)
    for out_of_range in (-1, len(expected)):
        with pytest.raises(IndexError):
            free[out_of_range]


def test_of_several_leases_of_ours_the_oldest_is_renewed_for_that_is_the_one_that_peers_take():
    newer = replace(held("10.2.20.0/24", "192.168.199.52", 9), created=9)
    older = replace(held("10.2.52.0/24", "192.168.199.52", 12), created=5)
    network = config(pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"))
    pick = picker("lowest", addresses("192.168.199.52"), lambda _count: 0)
    choice = choose_subnet(network, [newer, older], addresses("192.168.199.52"), None, pick)
    assert choice == Reuse(older)
