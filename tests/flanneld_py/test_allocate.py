import random
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.allocate import Create, FreeSubnets, HeldLease, OutOfSubnets, Replace, Reuse, choose_subnet
from flanneld_py.config import NetworkConfig
from flanneld_py.lease import Lease, LeaseAttrs

ME = IPv4Address("192.168.199.52")
PEER = IPv4Address("192.168.199.53")


def config(network: str, length: int, first: str, last: str) -> NetworkConfig:
    return NetworkConfig(IPv4Network(network), IPv4Address(first), IPv4Address(last), length, "udp", {})


# flannel's own example, TestAcquireLease: 10.3.3.0/24 is the only one left.
FLANNELS = config("10.3.0.0/16", 24, "10.3.1.0", "10.3.5.0")
TUTORIAL = config("10.2.0.0/16", 24, "10.2.1.0", "10.2.255.0")


def held(subnet: str, public_ip: IPv4Address = PEER, revision: int = 1, name: str = "") -> HeldLease:
    return HeldLease(Lease(IPv4Network(subnet), LeaseAttrs(public_ip)), revision, name)


def first(free: Sequence[IPv4Network]) -> IPv4Network:
    return free[0]


def never(free: Sequence[IPv4Network]) -> IPv4Network:
    raise AssertionError(f"nothing was to be picked among {len(free)}")


def test_the_only_free_subnet_is_chosen() -> None:
    leases = [held(f"10.3.{i}.0/24") for i in (1, 2, 4, 5)]
    assert choose_subnet(FLANNELS, leases, ME, None, random.choice) == Create(IPv4Network("10.3.3.0/24"))


def test_a_node_that_restarts_gets_the_lease_that_it_holds() -> None:
    ours = held("10.3.3.0/24", ME, revision=7)
    leases = [held("10.3.1.0/24"), ours]
    assert choose_subnet(FLANNELS, leases, ME, None, never) == Reuse(ours.lease, 7)


def test_the_lease_we_hold_comes_before_the_previous_subnet() -> None:
    ours = held("10.3.3.0/24", ME)
    assert choose_subnet(FLANNELS, [ours], ME, IPv4Network("10.3.4.0/24"), never) == Reuse(ours.lease, 1)


def test_a_node_gets_its_previous_subnet_after_etcd_was_wiped() -> None:
    previous = IPv4Network("10.2.35.0/24")
    assert choose_subnet(TUTORIAL, [held("10.2.52.0/24")], ME, previous, never) == Create(previous)


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
    ],
)
def test_a_previous_subnet_that_is_leased_or_no_longer_fits_is_not_taken(previous: str) -> None:
    leases = [held("10.2.52.0/23")]
    choice = choose_subnet(TUTORIAL, leases, ME, IPv4Network(previous), first)
    assert choice == Create(IPv4Network("10.2.1.0/24"))


def test_the_last_subnet_is_within_the_range() -> None:
    free = FreeSubnets.of(TUTORIAL, [])
    assert (len(free), str(free[0]), str(free[-1])) == (255, "10.2.1.0/24", "10.2.255.0/24")


@pytest.mark.parametrize("subnet", ["10.9.1.0/24", "10.3.6.0/24", "10.3.0.0/24", "10.3.3.0/25"])
def test_our_lease_that_the_configuration_no_longer_allows_is_replaced(subnet: str) -> None:
    ours = held(subnet, ME, revision=7)
    leases = [ours, *(held(f"10.3.{i}.0/24") for i in (1, 2, 4, 5))]
    assert choose_subnet(FLANNELS, leases, ME, IPv4Network(subnet), random.choice) == Replace(
        ours, IPv4Network("10.3.3.0/24")
    )


def test_of_several_leases_of_ours_the_previous_subnet_is_kept() -> None:
    leases = [held("10.3.5.0/24", ME, 5), held("10.3.2.0/24", ME, 2), held("10.3.4.0/24", ME, 4)]
    assert choose_subnet(FLANNELS, leases, ME, IPv4Network("10.3.4.0/24"), never) == Reuse(leases[2].lease, 4)


def test_of_several_leases_of_ours_the_lowest_is_kept_in_whatever_order_they_come() -> None:
    leases = [held("10.3.5.0/24", ME, 5), held("10.9.2.0/24", ME, 2), held("10.3.4.0/24", ME, 4)]
    for order in (leases, leases[::-1]):
        assert choose_subnet(FLANNELS, order, ME, None, never) == Reuse(leases[2].lease, 4)


@pytest.mark.parametrize(
    ("subnet", "name"), [("10.3.3.0/24", "10.3.3.0-24&2001:cafe::-64"), ("10.3.3.0/24", "10.3.3.7-24")]
)
def test_a_lease_under_another_flannels_key_takes_its_range_but_is_not_renewed(
    subnet: str, name: str
) -> None:
    leases = [held(subnet, ME, name=name), *(held(f"10.3.{i}.0/24") for i in (1, 2, 4))]
    assert choose_subnet(FLANNELS, leases, ME, IPv4Network(subnet), first) == Create(
        IPv4Network("10.3.5.0/24")
    )


def test_a_key_with_an_unreadable_value_still_takes_its_range() -> None:
    leases = [held(f"10.3.{i}.0/24") for i in (1, 2, 4)]
    choice = choose_subnet(FLANNELS, leases, ME, None, random.choice, taken=[IPv4Network("10.3.3.0/24")])
    assert choice == Create(IPv4Network("10.3.5.0/24"))


@pytest.mark.parametrize("leased", [[f"10.3.{i}.0/24" for i in range(1, 6)], ["10.3.0.0/16"], ["0.0.0.0/1"]])
def test_when_every_subnet_is_leased_that_is_said_with_the_range(leased: list[str]) -> None:
    with pytest.raises(
        OutOfSubnets, match=r"^out of subnets: no free /24 in range 10\.3\.1\.0 \.\.\. 10\.3\.5\.0"
    ):
        choose_subnet(FLANNELS, [held(subnet) for subnet in leased], ME, IPv4Network("10.3.3.0/24"), never)


def test_millions_of_subnets_cost_no_time() -> None:
    free = FreeSubnets.of(
        config("10.0.0.0/8", 30, "10.0.0.4", "10.255.255.252"), [IPv4Network("10.128.0.0/9")]
    )
    assert len(free) == 2**21 - 1
    assert (str(free[0]), str(free[-1])) == ("10.0.0.4/30", "10.127.255.252/30")
    assert random.Random(1).choice(free) in free


LENGTHS = st.integers(20, 30)
ADDRESSES = st.integers(int(IPv4Address("10.2.0.0")), int(IPv4Address("10.2.31.255")))


@st.composite
def configurations(draw: st.DrawFn) -> NetworkConfig:
    length = draw(st.integers(21, 30))
    steps = 2 ** (length - 19)
    limits = sorted(draw(st.lists(st.integers(0, steps - 1), min_size=2, max_size=2)))
    low, high = (IPv4Address("10.2.0.0") + step * 2 ** (32 - length) for step in limits)
    return NetworkConfig(IPv4Network("10.2.0.0/19"), low, high, length, "udp", {})


@st.composite
def lease_lists(draw: st.DrawFn) -> list[HeldLease]:
    return [
        HeldLease(
            Lease(
                IPv4Network((draw(ADDRESSES), draw(LENGTHS)), strict=False),
                LeaseAttrs(draw(st.sampled_from([ME, PEER]))),
            ),
            draw(st.integers(1, 9)),
        )
        for _ in range(draw(st.integers(0, 8)))
    ]


@given(
    configurations(),
    lease_lists(),
    st.none() | st.builds(lambda a, n: IPv4Network((a, n), strict=False), ADDRESSES, LENGTHS),
    st.randoms(use_true_random=False),
)
def test_an_allocation_never_overlaps_another_lease(
    network: NetworkConfig, leases: list[HeldLease], previous: IPv4Network | None, rng: random.Random
) -> None:
    everything = [
        IPv4Network((address, network.subnet_len))
        for address in range(
            int(network.subnet_min), int(network.subnet_max) + 1, 2 ** (32 - network.subnet_len)
        )
    ]
    try:
        choice = choose_subnet(network, leases, ME, previous, rng.choice)
    except OutOfSubnets:
        assert all(any(subnet.overlaps(h.lease.subnet) for h in leases) for subnet in everything)
        return
    match choice:
        case Reuse(lease, revision):
            assert HeldLease(lease, revision) in leases
            assert lease.attrs.public_ip == ME
            assert lease.subnet in everything
        case Replace(old, subnet):
            assert old.lease.attrs.public_ip == ME
            assert subnet in everything
            assert not any(subnet.overlaps(h.lease.subnet) for h in leases if h is not old)
        case Create(subnet):
            assert subnet in everything
            assert not any(subnet.overlaps(h.lease.subnet) for h in leases)


@given(configurations(), lease_lists())
def test_every_free_subnet_may_be_picked(network: NetworkConfig, leases: list[HeldLease]) -> None:
    leased = [h.lease.subnet for h in leases]
    size = 2 ** (32 - network.subnet_len)
    expected = [
        subnet
        for address in range(int(network.subnet_min), int(network.subnet_max) + 1, size)
        for subnet in [IPv4Network((address, network.subnet_len))]
        if not any(other.overlaps(subnet) for other in leased)
    ]
    free = FreeSubnets.of(network, leased)
    assert list(free) == expected == [free[i] for i in range(len(free))] == free[:]
    assert all(subnet in free for subnet in expected)
    with pytest.raises(IndexError):
        free[len(expected)]
