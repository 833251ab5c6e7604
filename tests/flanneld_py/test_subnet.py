from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.subnet import Subnet, key, parse_key
from tests.flanneld_py.made import addresses, subnet


@pytest.mark.parametrize(
    ("name", "leased"),
    [
        ("10.2.35.0-24", subnet("10.2.35.0/24")),  # the tutorial's
        ("10.5.4.0-24&2001:cafe:42:16::-64", subnet("10.5.4.0/24", "2001:cafe:42:16::/64")),  # v0.20.2
        ("0.0.0.0-0&2001:cafe:42:16::-64", subnet("2001:cafe:42:16::/64")),  # v0.20.2 without IPv4
    ],
)
def test_a_key_is_flannels(name, leased):
    assert key(leased) == name
    assert parse_key(name) == leased


def test_an_unaligned_key_counts_as_the_subnet_it_covers():
    # v0.5.5 with SubnetMin 10.1.5.7 writes this one.
    assert parse_key("10.1.5.7-24") == subnet("10.1.5.0/24")


@pytest.mark.parametrize(
    "name",
    [
        "", "junk", "10.2.35.0", "10.2.35.0/24", "10.2.35.0-33", "10.2.35.0-0", "0.0.0.0-0", "10.2.256.0-24",
        "10.2.35.0-24/x", "x10.2.35.0-24", "10.2.35.0-24\n", "010.2.35.0-24", "10.2.35.0--24", "1.2.3.4.5-24",
        "٣.2.3.4-24", "10.2.35.0-24&", "10.2.35.0-24&2001::-129", "10.2.35.0-24&2001::-0", "2001:cafe::-64",
        "10.2.35.0-24&2001:::-64", "0.0.0.0-0&2001::-0", "10.2.35.0-24&2001:CAFE::-64",
    ],
)  # fmt: skip
def test_a_key_that_no_flannel_writes_is_none(name):
    assert parse_key(name) is None


IPV4 = st.builds(
    lambda a, n: IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(1, 32)
)
IPV6 = st.builds(
    lambda a, n: IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(1, 128)
)
SUBNETS = st.builds(Subnet, IPV4, st.none() | IPV6) | st.builds(Subnet, st.none(), IPV6)


@given(SUBNETS)
def test_a_key_reads_back_as_its_subnet(leased):
    assert parse_key(key(leased)) == leased


@given(SUBNETS, SUBNETS)
def test_subnets_have_one_order(first, second):
    assert (first < second) + (second < first) == (first != second)


def test_subnets_overlap_where_one_family_does():
    both = subnet("10.5.4.0/24", "2001:cafe:42:16::/64")
    assert both.overlaps(subnet("10.5.0.0/16"))
    assert both.overlaps(subnet("10.5.5.0/24", "2001:cafe:42:16::/64"))
    assert not both.overlaps(subnet("10.5.5.0/24", "2001:cafe:42:17::/64"))
    assert not subnet("10.5.4.0/24").overlaps(subnet("2001:cafe:42:16::/64"))


def test_a_machine_is_known_by_its_ipv4_address_and_without_one_by_its_ipv6_address():
    both = addresses("192.168.199.52", "fd00:50::11")
    assert both.is_same_machine(addresses("192.168.199.52"))
    assert not both.is_same_machine(addresses("192.168.199.53", "fd00:50::11"))
    assert both.is_same_machine(addresses("fd00:50::11"))
    assert not addresses("192.168.199.52").is_same_machine(addresses("fd00:50::11"))
