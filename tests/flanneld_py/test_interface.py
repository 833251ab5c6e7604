"""The order of flags is that of flannel v0.20.2's main.go; what it finds there, of its pkg/ipmatch."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.errors import Exit, Fatal, Stopped
from flanneld_py.options import parse
from flanneld_py.runtime.clock import Time
from flanneld_py.subnet import Addresses
from flanneld_py.underlay.interface import (
    AssignedAddress,
    Candidate,
    Families,
    InterfaceSelection,
    NextHop,
    NoInterface,
    Routes,
    choose,
    public_addresses,
)
from flanneld_py.underlay.waiting import wait_for_interface

# IFA_F_* of linux/if_addr.h
SECONDARY, DADFAILED, DEPRECATED, TENTATIVE, PERMANENT = 0x01, 0x08, 0x20, 0x40, 0x80
UP, DOWN, LOOPBACK = 0x1, 0x0, 0x8  # linux/if.h
IPV4, IPV6, BOTH = Families(ipv4=True), Families(ipv6=True), Families(ipv4=True, ipv6=True)


def held(text: str, flags: int = 0) -> AssignedAddress:
    return AssignedAddress(ip_interface(text), flags)


def nic(
    name: str, index: int, *addresses: str | AssignedAddress, flags: int = UP, mtu: int = 1500
) -> Candidate:
    made = tuple(held(item) if isinstance(item, str) else item for item in addresses)
    return Candidate(name, index, mtu, flags, made)


LO = nic("lo", 1, "127.0.0.1/8", "::1/128", mtu=65536)
# A Vagrant machine: every one of them has the same address behind NAT on eth0 (flannel #98).
NAT = nic("eth0", 2, "10.0.2.15/24", "fe80::1/64")
LAN = nic("eth1", 3, "192.168.50.11/24", "fe80::2/64", "fd00:50::11/64")
MACHINE = (LO, NAT, LAN)
ROUTES = Routes(default_ipv4=NextHop(2))


def chosen(selection: InterfaceSelection, *, candidates=MACHINE, routes=ROUTES, needs=IPV4) -> str:
    found = choose(candidates, selection, routes, needs)
    return f"{found.name} {found.ipv4}"


def refused(selection: InterfaceSelection, *, candidates=MACHINE, routes=ROUTES, needs=IPV4) -> str:
    with pytest.raises(NoInterface) as caught:
        choose(candidates, selection, routes, needs)
    return str(caught.value)


def test_without_a_flag_it_is_the_default_routes_interface() -> None:
    assert chosen(InterfaceSelection()) == "eth0 10.0.2.15"


def test_an_interface_is_named_or_meant_by_an_address_of_it() -> None:
    assert chosen(InterfaceSelection(names=("eth1",))) == "eth1 192.168.50.11"
    assert chosen(InterfaceSelection(names=("192.168.50.11",))) == "eth1 192.168.50.11"
    assert chosen(InterfaceSelection(names=("fd00:50::11",))) == "eth1 192.168.50.11"


def test_of_several_interfaces_the_first_that_is_there_is_taken() -> None:
    assert chosen(InterfaceSelection(names=("nope0", "eth1", "eth0"))) == "eth1 192.168.50.11"


def test_an_address_that_is_named_is_used_also_if_it_is_not_the_first() -> None:
    eth0 = nic("eth0", 2, "192.168.50.11/24", held("192.168.50.99/24", SECONDARY))
    assert chosen(InterfaceSelection(names=("192.168.50.99",)), candidates=(LO, eth0)) == "eth0 192.168.50.99"


def test_regexes_come_after_names_and_in_their_order() -> None:
    assert chosen(InterfaceSelection(names=("eth0",), patterns=("eth1",))) == "eth0 10.0.2.15"
    assert (
        chosen(InterfaceSelection(names=("nope0",), patterns=("nope", "eth1", "eth0")))
        == "eth1 192.168.50.11"
    )


def test_a_regex_is_searched_in_all_addresses_before_all_names() -> None:
    """flannel's pkg/ipmatch: "10" is in the address of the second and in the name of the first."""
    candidates = (LO, nic("en10", 2, "192.168.1.5/24"), nic("eth0", 3, "10.0.0.5/24"))
    assert chosen(InterfaceSelection(patterns=("10",)), candidates=candidates) == "eth0 10.0.0.5"
    assert chosen(InterfaceSelection(patterns=("en.*",)), candidates=candidates) == "en10 192.168.1.5"


def test_a_regex_that_matches_an_address_chooses_that_address() -> None:
    eth0 = nic("eth0", 2, "192.168.50.11/24", "172.16.0.3/16")
    assert chosen(InterfaceSelection(patterns=(r"172\.16",)), candidates=(LO, eth0)) == "eth0 172.16.0.3"


def test_a_regex_for_everything_does_not_find_the_loopback_interface() -> None:
    assert chosen(InterfaceSelection(patterns=(".*",))) == "eth0 10.0.2.15"


def test_what_can_reach_an_address_is_the_interface_that_its_route_leaves_by() -> None:
    selection = InterfaceSelection(can_reach=ip_address("192.168.50.1"))
    routes = Routes(default_ipv4=NextHop(2), reach=NextHop(3, ip_address("192.168.50.11")))
    assert chosen(selection, routes=routes) == "eth1 192.168.50.11"


def test_the_routes_own_source_address_is_used() -> None:
    eth1 = nic("eth1", 3, "192.168.50.11/24", "192.168.60.11/24")
    routes = Routes(reach=NextHop(3, ip_address("192.168.60.11")))
    selection = InterfaceSelection(can_reach=ip_address("192.168.60.1"))
    assert chosen(selection, candidates=(LO, NAT, eth1), routes=routes) == "eth1 192.168.60.11"


def test_an_address_that_cannot_be_reached_is_no_reason_to_take_the_default_route() -> None:
    selection = InterfaceSelection(can_reach=ip_address("203.0.113.1"))
    error = refused(selection, routes=Routes(default_ipv4=NextHop(2), no_reach="Network is unreachable"))
    assert "-iface-can-reach=203.0.113.1: Network is unreachable" in error


def test_without_a_flag_the_interface_that_has_the_public_address_is_taken() -> None:
    """As today's flannel does."""
    assert chosen(InterfaceSelection(public=Addresses(IPv4Address("192.168.50.11")))) == "eth1 192.168.50.11"


def test_a_public_address_that_is_on_no_interface_leaves_the_default_route() -> None:
    """As v0.5.5 does: the address is that of a NAT."""
    assert chosen(InterfaceSelection(public=Addresses(IPv4Address("203.0.113.7")))) == "eth0 10.0.2.15"


def test_all_candidates_and_every_reason_are_told() -> None:
    candidates = (LO, NAT, nic("eth1", 3, flags=DOWN), nic("wlan0", 4, "fe80::5/64"))
    selection = InterfaceSelection(names=("nope0", "eth1"), patterns=("^wlan", "^ppp"))
    error = refused(selection, candidates=candidates)
    assert "-iface=nope0: there is no interface of this name" in error
    assert "-iface=eth1: eth1 is down" in error
    assert "-iface-regex=^wlan: wlan0 has no IPv4 address" in error
    assert "-iface-regex=^ppp: it matches no address and no name" in error
    assert "lo (127.0.0.1, ::1), eth0 (10.0.2.15, fe80::1), eth1 (no address, down), wlan0 (fe80::5)" in error
    assert "\n" not in error


def test_without_a_default_route_the_error_is_flannels_and_says_what_to_do() -> None:
    error = refused(InterfaceSelection(), routes=Routes())
    assert "Unable to find default route" in error
    assert "-iface" in error


@pytest.mark.parametrize(
    "addresses",
    [
        ("169.254.7.7/16", "192.168.50.11/24"),
        (held("192.168.50.99/24", SECONDARY), "192.168.50.11/24"),
        (held("192.168.50.99/24", DEPRECATED), "192.168.50.11/24"),
        (held("192.168.50.99/24", DEPRECATED), held("192.168.50.11/24", SECONDARY)),
    ],
    ids=["link-local", "secondary", "deprecated", "deprecated and secondary"],
)
def test_the_address_that_lasts_is_preferred(addresses: tuple[str | AssignedAddress, ...]) -> None:
    assert (
        chosen(InterfaceSelection(names=("eth0",)), candidates=(nic("eth0", 2, *addresses),))
        == "eth0 192.168.50.11"
    )


def test_a_privacy_address_is_not_announced_while_there_is_a_lasting_one() -> None:
    temporary = held("2001:db8::aaaa/64", SECONDARY)
    eth0 = nic("eth0", 2, "fe80::1/64", temporary, "2001:db8::11/64")
    assert choose((eth0,), InterfaceSelection(names=("eth0",)), Routes(), IPV6).ipv6 == IPv6Address(
        "2001:db8::11"
    )


def test_the_first_address_of_several_equal_ones_is_taken_as_the_kernel_lists_them() -> None:
    eth0 = nic("eth0", 2, "192.168.50.11/24", "10.9.9.9/8")
    assert chosen(InterfaceSelection(names=("eth0",)), candidates=(eth0,)) == "eth0 192.168.50.11"


@pytest.mark.parametrize("flag", [TENTATIVE, DADFAILED])
def test_an_address_that_is_not_proven_ours_does_not_count(flag: int) -> None:
    eth0 = nic("eth0", 2, held("fd00::5/64", flag))
    assert "eth0 has no IPv6 address" in refused(
        InterfaceSelection(names=("eth0",)), candidates=(eth0,), needs=IPV6
    )
    assert "cannot use fd00::5" in refused(
        InterfaceSelection(names=("fd00::5",)), candidates=(eth0,), needs=IPV6
    )


def test_a_link_local_ipv6_address_does_not_mean_that_the_interface_is_set_up() -> None:
    eth0 = nic("eth0", 2, "fe80::1/64")
    error = refused(InterfaceSelection(names=("eth0",)), candidates=(eth0,), needs=Families())
    assert "eth0 has no address that other machines can reach" in error


def test_the_loopback_interface_does_not_fit_but_with_an_address_of_its_own() -> None:
    assert "lo has no address that other machines can reach" in refused(
        InterfaceSelection(names=("lo",)), needs=Families()
    )
    lo = nic("lo", 1, "127.0.0.1/8", "203.0.113.5/32", mtu=65536)
    assert chosen(InterfaceSelection(names=("lo",)), candidates=(lo, NAT)) == "lo 203.0.113.5"


def test_an_interface_without_an_mtu_does_not_fit() -> None:
    """v0.5.5 hangs then: "Failed to determine MTU for %s interface"."""
    eth0 = nic("eth0", 2, "192.168.50.11/24", mtu=0)
    assert "eth0 has no MTU" in refused(InterfaceSelection(names=("eth0",)), candidates=(eth0,))


def test_both_families_are_chosen_together() -> None:
    found = choose(MACHINE, InterfaceSelection(names=("eth1",)), ROUTES, BOTH)
    assert (found.ipv4, found.ipv6) == (IPv4Address("192.168.50.11"), IPv6Address("fd00:50::11"))
    assert found.ipv4_networks == (IPv4Interface("192.168.50.11/24"),)
    assert found.ipv6_networks == (IPv6Interface("fe80::2/64"), IPv6Interface("fd00:50::11/64"))
    assert (found.index, found.mtu) == (3, 1500)


def test_a_flag_whose_interface_lacks_a_family_gives_way_to_the_next() -> None:
    only_ipv4 = nic("eth0", 2, "10.0.2.15/24")
    candidates = (LO, only_ipv4, LAN)
    assert (
        chosen(InterfaceSelection(names=("eth0", "eth1")), candidates=candidates, needs=BOTH)
        == "eth1 192.168.50.11"
    )
    assert "eth0 has no IPv6 address" in refused(
        InterfaceSelection(names=("eth0",)), candidates=candidates, needs=BOTH
    )


def test_a_network_of_ipv6_alone_goes_by_its_own_default_route() -> None:
    routes = Routes(default_ipv4=NextHop(2), default_ipv6=NextHop(3))
    assert choose(MACHINE, InterfaceSelection(), routes, IPV6).name == "eth1"
    assert choose(MACHINE, InterfaceSelection(), routes, IPV4).name == "eth0"
    assert "Unable to find default v6 route" in refused(InterfaceSelection(), needs=IPV6)


def test_a_machine_with_ipv6_alone_has_an_interface_where_any_family_will_do() -> None:
    eth0 = nic("eth0", 2, "fe80::1/64", "2001:db8::11/64")
    found = choose((LO, eth0), InterfaceSelection(), Routes(default_ipv6=NextHop(2)))
    assert (found.name, found.ipv4, found.ipv6) == ("eth0", None, IPv6Address("2001:db8::11"))


def test_public_addresses_are_the_interfaces_unless_given() -> None:
    found = choose(MACHINE, InterfaceSelection(names=("eth1",)), ROUTES)
    nat = Addresses(IPv4Address("203.0.113.7"))
    assert public_addresses(found, InterfaceSelection()) == Addresses(found.ipv4, found.ipv6)
    assert public_addresses(found, InterfaceSelection(public=nat)) == Addresses(nat.ipv4, found.ipv6)


# Who we are


def vip(*addresses: str | AssignedAddress, sources: Sequence[str] = ()) -> Candidate:
    """eth0 as `nic`, and what the kernel's routes by it have as source."""
    return replace(nic("eth0", 2, *addresses), sources=tuple(map(ip_address, sources)))


def test_a_public_address_that_the_interface_has_is_the_one_to_listen_on_however_it_was_found() -> None:
    eth0 = nic(
        "eth0", 2, "192.168.50.11/24", held("192.168.50.99/24", SECONDARY), "2001:db8::1/64", "2001:db8::9/64"
    )
    public = Addresses(IPv4Address("192.168.50.99"), IPv6Address("2001:db8::9"))
    for selection in (
        InterfaceSelection(public=public),
        InterfaceSelection(names=("eth0",), public=public),
        InterfaceSelection(names=("192.168.50.11",), public=public),
        InterfaceSelection(patterns=("eth",), public=public),
    ):
        found = choose((LO, eth0), selection, ROUTES, BOTH)
        assert (found.ipv4, found.ipv6) == (public.ipv4, public.ipv6)


def test_a_public_address_of_the_loopback_interface_leaves_the_default_routes_and_is_listened_on() -> None:
    """As machines have it that announce one address by two interfaces, in BGP say."""
    loopback = nic("lo", 1, "127.0.0.1/8", "198.51.100.7/32", flags=UP | LOOPBACK)
    selection = InterfaceSelection(public=Addresses(IPv4Address("198.51.100.7")))
    assert chosen(selection, candidates=(loopback, NAT)) == "eth0 198.51.100.7"


def test_a_public_address_behind_nat_is_not_listened_on() -> None:
    assert chosen(InterfaceSelection(public=Addresses(IPv4Address("203.0.113.7")))) == "eth0 10.0.2.15"


def test_a_public_address_that_the_interface_cannot_use_yet_is_waited_for() -> None:
    eth0 = nic("eth0", 2, "192.168.50.11/24", held("2001:db8::9/64", TENTATIVE))
    selection = InterfaceSelection(names=("eth0",), public=Addresses(None, IPv6Address("2001:db8::9")))
    assert "eth0 cannot use 2001:db8::9 (yet)" in refused(selection, candidates=(LO, eth0))


def test_a_virtual_address_that_is_listed_first_is_not_announced() -> None:
    """keepalived adds it as /32, and the next machine has it after a failover."""
    eth0 = vip("192.168.50.100/32", "192.168.50.11/24")
    assert chosen(InterfaceSelection(names=("eth0",)), candidates=(LO, eth0)) == "eth0 192.168.50.11"


def test_of_several_addresses_it_is_the_kernels_source_and_else_the_first() -> None:
    named = InterfaceSelection(names=("eth0",))
    two = ("10.1.0.11/16", "192.168.50.11/24")
    assert chosen(named, candidates=(LO, vip(*two))) == "eth0 10.1.0.11"
    assert chosen(named, candidates=(LO, vip(*two, sources=["192.168.50.11"]))) == "eth0 192.168.50.11"
    # A cloud's interface may have addresses without a network alone.
    cloud = vip("10.128.0.99/32", "10.128.0.5/32", sources=["10.128.0.5"])
    assert chosen(named, candidates=(LO, cloud)) == "eth0 10.128.0.5"
    assert chosen(named, candidates=(LO, vip("10.128.0.99/32", "10.128.0.5/32"))) == "eth0 10.128.0.99"


def test_an_ipv6_address_without_a_network_counts_if_dhcp_gave_it() -> None:
    of_dhcp, by_hand = held("2001:db8::99/128"), held("2001:db8::99/128", PERMANENT)
    for first, expected in ((of_dhcp, "2001:db8::99"), (by_hand, "2001:db8::11")):
        found = choose((vip(first, "2001:db8::11/64"),), InterfaceSelection(names=("eth0",)), Routes(), IPV6)
        assert found.ipv6 == IPv6Address(expected)


ADDRESSES = st.sampled_from(
    ["192.168.50.11/24", "10.1.1.1/8", "169.254.1.1/16", "127.0.0.1/8", "fe80::1/64", "2001:db8::1/64"]
)
CANDIDATES = st.lists(
    st.builds(
        lambda index, addresses, up: nic(f"eth{index}", index, *addresses, flags=up),
        st.integers(1, 9),
        st.lists(
            st.builds(held, ADDRESSES, st.sampled_from([0, SECONDARY, DEPRECATED, TENTATIVE])), max_size=4
        ),
        st.sampled_from([UP, DOWN]),
    ),
    unique_by=lambda candidate: candidate.index,
    max_size=5,
)


@given(CANDIDATES, st.sampled_from([Families(), IPV4, IPV6, BOTH]), st.sampled_from(["eth1", ".", "eth9"]))
def test_whatever_is_chosen_fits_and_otherwise_every_interface_is_told(
    candidates: Sequence[Candidate], needs: Families, pattern: str
) -> None:
    try:
        found = choose(candidates, InterfaceSelection(patterns=(pattern,)), Routes(), needs)
    except NoInterface as refusal:
        error = str(refusal)
    else:
        error = ""
    if error:
        assert all(candidate.name in error for candidate in candidates)
    else:
        (origin,) = [candidate for candidate in candidates if candidate.name == found.name]
        usable = {item.address.ip for item in origin.addresses if not item.flags & TENTATIVE}
        assert origin.flags & UP
        assert {found.ipv4, found.ipv6} - {None} <= usable
        assert found.ipv4 is not None or not needs.ipv4
        assert found.ipv6 is not None or not needs.ipv6


# Waiting


class Virtual(Time):
    """Time that passes when it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 1000.0

    def now(self) -> float:
        return self.second

    def rest(self, seconds: float) -> None:
        self.second += seconds


class Boot:
    """A machine whose eth1 gets its link, then its address."""

    def __init__(self, time: Virtual, link: float, address: float) -> None:
        self.time, self.link, self.address = time, 1000 + link, 1000 + address

    def look(self, _: object) -> tuple[Sequence[Candidate], Routes]:
        if self.time.now() < self.link:
            return (LO, NAT), Routes()
        return (LO, NAT, LAN if self.time.now() >= self.address else nic("eth1", 3, "fe80::2/64")), Routes()


def test_an_interface_that_comes_up_late_is_waited_for_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flanneld_py")
    time, doing = Virtual(), list[str]()
    options = parse(["-iface=eth1"], {})
    found = wait_for_interface(options, Boot(time, 10, 20).look, time, IPV4, doing.append)
    assert (found.name, found.ipv4) == ("eth1", IPv4Address("192.168.50.11"))
    assert 1020 <= time.now() < 1021
    assert doing == ["waiting for an interface that fits", ""]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "Waiting up to 60 s" in warnings[0]
    assert "-iface=eth1: there is no interface of this name" in warnings[0]


def test_an_interface_that_does_not_come_ends_it_with_the_reason_and_the_candidates() -> None:
    time = Virtual()
    options = parse(["-iface=eth1", "-iface-wait=5"], {})
    with pytest.raises(Fatal, match=r"-iface=eth1: eth1 has no IPv4 address.*eth0 \(10\.0\.2\.15") as caught:
        wait_for_interface(options, Boot(time, 1, 99).look, time, IPV4)
    assert caught.value.code == Exit.INTERFACE
    assert time.now() == 1005


def test_an_interface_that_is_there_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flanneld_py")
    time = Virtual()
    wait_for_interface(parse(["-iface=eth0"], {}), Boot(time, 9, 9).look, time, IPV4)
    assert time.now() == 1000
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "lo (127.0.0.1, ::1), eth0 (10.0.2.15, fe80::1)" in caplog.text


def test_waiting_ends_when_the_daemon_is_told_to() -> None:
    time = Virtual()
    time.stopping.set()
    with pytest.raises(Stopped):
        wait_for_interface(parse(["-iface=eth1"], {}), Boot(time, 1, 1).look, time, IPV4)


def test_the_flags_select_the_interface() -> None:
    time, asked = Virtual(), []

    def look(can_reach: object) -> tuple[Sequence[Candidate], Routes]:
        asked.append(can_reach)
        return MACHINE, Routes(reach=NextHop(3))

    options = parse(["-iface=nope", "-iface-regex=^no", "-iface-can-reach=192.168.50.1"], {})
    assert wait_for_interface(options, look, time, IPV4).name == "eth1"
    assert asked == [ip_address("192.168.50.1")]
