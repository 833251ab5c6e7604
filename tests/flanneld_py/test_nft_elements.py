"""Elements of nftables' sets as messages, by linux/netfilter/nf_tables.h; tests/kernel asks the kernel."""

from ipaddress import ip_address

import pytest

from flanneld_py.firewall.source_set import SourceCheckSpec, text
from flanneld_py.kernel import nft_elements
from flanneld_py.kernel.netlink import attribute


def test_an_address_is_put_into_a_set_as_nf_tables_h_says():
    (request,) = nft_elements.change("t", "s", [ip_address("192.168.50.11")], add=True)
    assert request.kind == 10 << 8 | 12  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWSETELEM
    assert request.payload.hex() == (
        "01000000"  # nfgenmsg: inet, version 0
        "0600010074000000"  # table "t"
        "0600020073000000"  # set "s"
        "14000380"  # elements
        "10000180"  # one element
        "0c000180"  # its key
        "08000100c0a8320b"  # 192.168.50.11
    )


def test_what_was_put_in_is_read_back():
    addresses = [ip_address("192.168.50.11"), ip_address("192.168.50.12"), ip_address("fd00:50::11")]
    for request in nft_elements.change("table", "set", addresses, add=True):
        assert list(nft_elements.elements(request.payload, 0, len(request.payload))) == addresses


def test_thousands_take_messages_of_no_more_than_an_attribute_holds():
    addresses = [ip_address((10 << 24) + number) for number in range(10_000)]
    requests = nft_elements.change("table", "set", addresses, add=False)
    assert len(requests) == 10
    assert all(len(request.payload) < 1 << 16 for request in requests)


@pytest.mark.parametrize("junk", [b"", attribute(3, b"\x03\x00\x00\x00")])
def test_what_has_no_elements_gives_none(junk):
    message = b"\x01\x00\x00\x00" + junk
    assert list(nft_elements.elements(message, 0, len(message))) == []


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\xff" * 40])
def test_what_is_no_message_is_refused(junk):
    with pytest.raises(ValueError, match="netlink"):
        list(nft_elements.elements(junk, 0, len(junk)))


def test_the_table_looks_at_port_and_vni_and_keeps_the_others_of_the_port():
    made = text(
        SourceCheckSpec(8472, (4, 6), 2, vni=42), [ip_address("192.168.50.11"), ip_address("fd00:50::11")]
    )
    assert "add element inet flannel-vxlan.42 ipv4 { 192.168.50.11 }" in made
    assert "add element inet flannel-vxlan.42 ipv6 { fd00:50::11 }" in made
    assert "udp dport 8472 @th,96,24 42 ip saddr != @ipv4 counter name dropped drop" in made
    assert "udp dport 8472 @th,96,24 42 ip6 saddr != @ipv6 counter name dropped drop" in made
