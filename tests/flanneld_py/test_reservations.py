"""What two networks of one flanneld cannot both have."""

import json

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.daemon.reservations import Reservations
from flanneld_py.errors import Exit, Fatal


def network(family: str = "4", **backend: object):
    pools: dict[str, dict[str, object]] = {
        "4": {"Network": "10.2.0.0/16"},
        "6": {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00:42::/48"},
        "46": {"Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48"},
    }
    return parse_config(json.dumps({**pools[family], "Backend": backend}).encode())


UDP, VXLAN, WIREGUARD = {"Type": "udp"}, {"Type": "vxlan"}, {"Type": "wireguard"}


@pytest.mark.parametrize(
    ("blue", "green", "words"),
    [
        (network(**UDP), network(**UDP), "UDP port 8285 {}: give each network its own Backend.Port"),
        (
            network(**VXLAN),
            network(**VXLAN),
            "The device flannel.1 {}: give each network its own Backend.VNI",
        ),
        (network("6", **VXLAN), network("46", **VXLAN), "The device flannel-v6.1 {}: give each"),
        (network(**VXLAN), network(**VXLAN, VNI=2, GBP=True), "UDP port 8472 {}: give each network its own"),
        (network(**VXLAN, Port=8285), network(**UDP), "UDP port 8285 {}: give each network its own"),
        (network(**UDP, Port=51820), network(**WIREGUARD), "UDP port 51820 {}: give each network its own"),
        (
            network(**WIREGUARD),
            network(**WIREGUARD, ListenPort=51999),
            "The device flannel-wg {}: only one network of a machine can have the backend wireguard",
        ),
        (network("6", **WIREGUARD), network("46", **WIREGUARD), "The device flannel-wg-v6 {}: only one"),
        (network(Type="ipip"), network(Type="ipip"), "The device flannel.ipip {}: only one network"),
    ],
)
def test_what_one_network_has_another_cannot_have_and_both_and_the_fix_are_named(blue, green, words):
    reservations = Reservations()
    reservations.take("blue", blue)
    with pytest.raises(Fatal) as refused:
        reservations.take("green", green)
    # supervisor.run says which network was refused.
    assert str(refused.value).startswith(words.format("carries the network blue of this flanneld already"))
    assert refused.value.code == Exit.CONFIG


@pytest.mark.parametrize(
    ("blue", "green"),
    [
        (network(**UDP), network(**UDP, Port=8286)),
        (network(**VXLAN), network(**VXLAN, VNI=2)),  # of one port
        (network("46", **VXLAN), network(**UDP)),
        (network(**WIREGUARD), network("6", **WIREGUARD)),  # a device for each family
        (network(Type="ipip"), network(**VXLAN)),
        (network(Type="host-gw"), network(Type="host-gw")),
        (network(Type="alloc"), network(Type="extension")),
    ],
)
def test_what_differs_stands_side_by_side(blue, green):
    reservations = Reservations()
    reservations.take("blue", blue)
    reservations.take("green", green)


def test_a_network_whose_configuration_was_changed_has_what_it_needs_now_and_no_more():
    reservations = Reservations()
    reservations.take("blue", network(**UDP))
    reservations.take("blue", network(**VXLAN))
    reservations.take("green", network(**UDP))
    with pytest.raises(Fatal, match="network green"):
        reservations.take("blue", network(**UDP))
    with pytest.raises(Fatal, match="network blue"):  # what was refused has changed nothing
        reservations.take("green", network(**VXLAN))
