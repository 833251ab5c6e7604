"""The check of what containers send, as nft reads it; tests/kernel asks the kernel."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from flanneld_py.firewall.pod_sources import TABLES, PodSources, table_name, text
from flanneld_py.subnet import Subnet


@pytest.mark.parametrize(
    ("network", "name"),
    [("10.2.0.0/16", "flannel-pods.10.2.0.0-16"), ("fd00:10:2::/48", "flannel-pods.fd00_10_2__-48")],
)
def test_each_network_has_a_table_that_cleanup_knows(network, name):
    assert table_name(ip_network(network)) == name
    assert TABLES.fullmatch(name)


def test_only_what_leaves_the_bridge_is_looked_at():
    made = text(ip_network("10.2.0.0/16"), 7)
    assert "meta nfproto ipv4 iif 7 oif != 7 fib saddr . iif oif missing counter name forged drop\n" in made
    assert "meta nfproto ipv6 iif 7 " in text(ip_network("fd00::/48"), 7)


def test_the_bridge_of_our_own_subnet_is_asked_for_in_each_family():
    asked = []

    def none_yet(own, under):
        asked.append((str(own), under))

    sources = PodSources(check=True, interface_of=none_yet)
    overlay = Subnet(IPv4Network("10.2.0.0/16"), IPv6Network("fd00::/48"))
    sources.set(overlay, Subnet(IPv4Network("10.2.5.0/24"), IPv6Network("fd00:0:0:5::/64")), under=3)
    assert asked == [("10.2.5.0/24", 3), ("fd00:0:0:5::/64", 3)]
    assert sources.dropped() == {}
