from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.lease.model import (
    Lease,
    LeaseAttrs,
    PeerAdded,
    PeerRemoved,
    agree,
    decode,
    diff,
    encode,
    encode_v2,
)
from flanneld_py.subnet import Addresses, Subnet
from tests.flanneld_py import made
from tests.flanneld_py.made import addresses

MINION01 = LeaseAttrs(addresses("192.168.199.52"))
MINION02 = LeaseAttrs(addresses("192.168.199.53"))


def lease(subnet: str, attrs: LeaseAttrs = MINION01) -> Lease:
    return Lease(made.subnet(subnet), attrs)


def by_subnet(*leases: Lease) -> dict[Subnet, Lease]:
    return {lease.subnet: lease for lease in leases}


# Values as flannel v0.20.2 writes them.
@pytest.mark.parametrize(
    ("attrs", "value"),
    [
        (MINION01, b'{"PublicIP":"192.168.199.52","PublicIPv6":null}'),
        (
            LeaseAttrs(addresses("192.168.50.11"), "host-gw"),
            b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"host-gw"}',
        ),
        (
            LeaseAttrs(addresses("192.168.50.11"), "vxlan", {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"}),
            b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"vxlan",'
            b'"BackendData":{"VNI":1,"VtepMAC":"52:08:1a:2b:3c:4d"}}',
        ),
        (
            LeaseAttrs(addresses("192.168.50.11"), "extension", "a <b> & c"),
            b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"extension",'
            b'"BackendData":"a \\u003cb\\u003e \\u0026 c"}',
        ),
        (
            LeaseAttrs(
                addresses("192.168.50.11", "fd00:50::11"),
                "vxlan",
                {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"},
                {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4e"},
            ),
            b'{"PublicIP":"192.168.50.11","PublicIPv6":"fd00:50::11","BackendType":"vxlan",'
            b'"BackendData":{"VNI":1,"VtepMAC":"52:08:1a:2b:3c:4d"},'
            b'"BackendV6Data":{"VNI":1,"VtepMAC":"52:08:1a:2b:3c:4e"}}',
        ),
        (LeaseAttrs(addresses("fd00:50::11")), b'{"PublicIP":"0.0.0.0","PublicIPv6":"fd00:50::11"}'),
    ],
)
def test_a_value_is_flannels_byte_for_byte(attrs: LeaseAttrs, value: bytes) -> None:
    assert encode(attrs) == value
    assert decode(value) == attrs


# Values as flannel v0.5.5 writes them.
@pytest.mark.parametrize(
    ("attrs", "value"),
    [
        (LeaseAttrs(addresses("192.168.50.11")), b'{"PublicIP":"192.168.50.11"}'),
        (
            LeaseAttrs(addresses("192.168.50.11"), "host-gw"),
            b'{"PublicIP":"192.168.50.11","BackendType":"host-gw"}',
        ),
        (
            LeaseAttrs(addresses("192.168.50.11"), "vxlan", {"VNI": 1, "VtepMAC": "8e:1e:31:c7:4b:37"}),
            b'{"PublicIP":"192.168.50.11","BackendType":"vxlan",'
            b'"BackendData":{"VtepMAC":"8e:1e:31:c7:4b:37"}}',
        ),
    ],
)
def test_a_value_for_etcd_v2_is_old_flannels_byte_for_byte(attrs: LeaseAttrs, value: bytes) -> None:
    assert encode_v2(attrs) == value


@pytest.mark.parametrize(
    "value",
    [
        b'{"PublicIP":"192.168.199.52"}',  # v0.5.5, and the tutorial
        b'{"PublicIP":"192.168.199.52","PublicIPv6":"::"}',
        b'{"publicip":"192.168.199.52","Unknown":[1]}',
        b'{"PublicIP":"192.168.199.52","BackendType":null,"BackendData":null}',
        b' {"PublicIP" : "192.168.199.52"}\n',
    ],
)
def test_a_value_without_extras_is_understood(value: bytes) -> None:
    assert decode(value) == MINION01


@pytest.mark.parametrize(
    "value",
    [
        b"", b"junk", b"\xff", b"[]", b"null", b"{}", b"[" * 100_000, b'{"PublicIP":null}', b'{"PublicIP":1}',
        b'{"PublicIP":"x"}', b'{"PublicIP":"::1"}', b'{"PublicIP":"0.0.0.0"}',
        b'{"PublicIP":"192.168.199.52","BackendType":1}',
        b'{"PublicIP":"192.168.199.52","BackendType":"%s"}' % (b"x" * 1_000_000),
        b'{"PublicIP":"192.168.199.52","PublicIPv6":"x"}', b'{"PublicIP":"0.0.0.0","PublicIPv6":"::"}',
        b'{"PublicIP":"192.168.199.52","PublicIPv6":7}', b'{"PublicIP":"x","PublicIPv6":"fd00:50::11"}',
    ],
)  # fmt: skip
def test_a_value_that_leads_nowhere_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a lease: "):
        decode(value)


def test_data_too_deep_to_be_compared_later_is_refused() -> None:
    # CPython's own limit depends on how deep the caller is: what one thread reads another cannot compare.
    for depth in (100, *range(950, 1000), *range(9980, 10000)):
        value = b'{"PublicIP":"192.168.199.52","BackendData":' + b"[" * depth + b"]" * depth + b"}"
        with pytest.raises(ValueError, match=r"^not a lease: JSON nested too deeply$"):
            decode(value)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(
        ValueError, match=r"^not a lease: PublicIP is 'x+\.\.\., not an IPv4 address$"
    ) as refused:
        decode(b'{"PublicIP":"' + b"x" * 1_000_000 + b'"}')
    assert len(str(refused.value)) < 120


def json_values() -> st.SearchStrategy[object]:
    return st.recursive(
        st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )


IPV4 = st.integers(1, 2**32 - 1).map(IPv4Address)
IPV6 = st.integers(1, 2**128 - 1).map(IPv6Address)


def attributes() -> st.SearchStrategy[LeaseAttrs]:
    return st.builds(
        LeaseAttrs,
        st.builds(Addresses, IPV4, st.none() | IPV6) | st.builds(Addresses, st.none(), IPV6),
        st.text(max_size=64),
        st.none() | json_values(),
        st.none() | json_values(),
    )


@given(attributes())
def test_a_value_reads_back_as_its_attributes(attrs: LeaseAttrs) -> None:
    assert decode(encode(attrs)) == attrs


VXLAN = LeaseAttrs(addresses("192.168.50.11"), "vxlan", {"VNI": 1, "VtepMAC": "52:08:1a:2b:3c:4d"})
DUAL_STACK = replace(VXLAN, public=addresses("192.168.50.11", "fd00:50::11"))


@given(attributes())
def test_what_we_write_agrees_with_itself(attrs: LeaseAttrs) -> None:
    assert agree(decode(encode(attrs)), attrs)
    if attrs.public.ipv6 is None:
        assert agree(decode(encode_v2(attrs)), attrs)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b'{"PublicIP":"192.168.50.11"}', VXLAN),
        (b'{"PublicIP":"192.168.50.11","BackendType":"host-gw"}', VXLAN),
        (b'{"PublicIP":"192.168.50.11","BackendType":"vxlan"}', VXLAN),
        (
            b'{"PublicIP":"192.168.50.11","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"52:08:1a:2b:3c:4e"}}',
            VXLAN,
        ),
        (encode_v2(VXLAN), DUAL_STACK),
        (b'{"PublicIP":"192.168.50.11","BackendType":"vxlan"}', LeaseAttrs(addresses("192.168.50.11"))),
    ],
    ids=["an address alone", "another backend", "no MAC", "another MAC", "no IPv6", "more than ours"],
)
def test_a_value_that_says_anything_else_does_not_agree(value: bytes, ours: LeaseAttrs) -> None:
    assert not agree(decode(value), ours)


def test_values_agree_however_their_json_is_written() -> None:
    written = (
        b'{ "publicip": "192.168.50.11", "Colour": "red",\n "BackendData": '
        b'{"VtepMAC": "52:08:1a:2b:3c:4d", "VNI": 1}, "BackendType": "vxlan", "PublicIPv6": null }'
    )
    assert agree(decode(written), VXLAN)


def test_a_new_lease_is_added_and_a_missing_one_removed() -> None:
    ours, theirs, next_one = (
        lease("10.2.35.0/24"),
        lease("10.2.52.0/24", MINION02),
        lease("10.2.53.0/24", MINION02),
    )
    assert diff(by_subnet(ours, theirs), by_subnet(ours, next_one)) == (
        PeerRemoved(theirs),
        PeerAdded(next_one),
    )


def test_a_lease_whose_public_ip_changed_is_added() -> None:
    before, after = lease("10.2.35.0/24", MINION01), lease("10.2.35.0/24", MINION02)
    assert diff(by_subnet(before), by_subnet(after)) == (PeerAdded(after),)


def test_an_empty_snapshot_removes_every_lease() -> None:
    assert diff(by_subnet(lease("10.2.52.0/24"), lease("10.2.35.0/24")), {}) == (
        PeerRemoved(lease("10.2.35.0/24")),
        PeerRemoved(lease("10.2.52.0/24")),
    )


def lease_sets() -> st.SearchStrategy[dict[Subnet, Lease]]:
    few = st.sampled_from([made.subnet(f"10.2.{i}.0/24") for i in range(6)] + [made.subnet("10.2.0.0/23")])
    return st.lists(st.builds(Lease, few, st.sampled_from([MINION01, MINION02]))).map(
        lambda all_: by_subnet(*all_)
    )


@given(lease_sets())
def test_nothing_changed_between_a_set_and_itself(leases: dict[Subnet, Lease]) -> None:
    assert diff(leases, leases) == ()


@given(lease_sets(), lease_sets())
def test_applying_the_difference_gives_the_snapshot(
    known: dict[Subnet, Lease], snapshot: dict[Subnet, Lease]
) -> None:
    after = dict(known)
    for event in diff(known, snapshot):
        if isinstance(event, PeerAdded):
            after[event.lease.subnet] = event.lease
        else:
            del after[event.lease.subnet]
    assert after == snapshot
