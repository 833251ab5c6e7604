"""What a backend cannot do in an overlay is told before there is a device."""

import json
from collections.abc import Mapping

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.backend.udp.config import Udp
from flanneld_py.config import ConfigError
from flanneld_py.config.backend import BackendConfig

V4 = {"Network": "10.1.0.0/16"}
V6 = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00::/48"}
DUAL = V4 | {"EnableIPv6": True, "IPv6Network": "fd00::/48"}


def accepted(network: Mapping[str, object], kind: str, **fields: object) -> BackendConfig:
    return parse_config(json.dumps({**network, "Backend": {"Type": kind, **fields}})).backend


def refused(network: Mapping[str, object], kind: str, **fields: object) -> str:
    with pytest.raises(ConfigError) as error:
        accepted(network, kind, **fields)
    return str(error.value)


# IFNAMSIZ of linux/if.h: 15 characters of name, of which "flannel." takes 8 and "flannel-v6." 11.
@pytest.mark.parametrize(("network", "highest"), [(V4, 9_999_999), (V6, 9_999), (DUAL, 9_999)])
def test_a_vni_must_fit_into_its_devices_name(network: Mapping[str, object], highest: int) -> None:
    assert accepted(network, "vxlan", VNI=highest)
    told = refused(network, "vxlan", VNI=highest + 1)
    assert told.startswith(f"Backend.VNI is {highest + 1}, which makes a device flannel")
    assert told.endswith(f"give a number from 1 to {highest}")


# RFC 791 and RFC 8200, with the headers of RFC 7348, and those of WireGuard over IPv6.
@pytest.mark.parametrize(
    ("network", "kind", "lowest"),
    [
        (V4, "vxlan", 68 + 50),
        (V6, "vxlan", 1280 + 70),
        (DUAL, "vxlan", 1280 + 70),
        (V4, "wireguard", 68 + 80),
        (DUAL, "wireguard", 1280 + 80),
    ],
)
def test_an_mtu_must_leave_what_the_protocol_needs(
    network: Mapping[str, object], kind: str, lowest: int
) -> None:
    assert accepted(network, kind, MTU=lowest)
    assert accepted(network, kind, MTU=0)
    assert refused(network, kind, MTU=lowest - 1).startswith(f"Backend.MTU is {lowest - 1}: give {lowest} or")


def test_two_wireguard_devices_need_two_ports() -> None:
    same: dict[str, object] = {"ListenPort": 51821}
    assert "Backend.ListenPortV6 is 51821 as Backend.ListenPort is" in refused(DUAL, "wireguard", **same)
    assert accepted(V4, "wireguard", **same)
    assert accepted(DUAL, "wireguard", Mode="auto", **same)


@pytest.mark.parametrize("kind", ["vxlan", "host-gw", "alloc", "extension", "wireguard"])
@pytest.mark.parametrize("network", [V4, V6, DUAL], ids=["IPv4", "IPv6", "both"])
def test_backends_of_both_families(kind: str, network: Mapping[str, object]) -> None:
    parsed = parse_config(json.dumps({**network, "Backend": {"Type": kind}}))
    assert (parsed.backend.type, parsed.uncarried) == (kind, None)


@pytest.mark.parametrize("kind", ["aws-vpc", "gce", "ali-vpc", "tencent-vpc", "ipsec", "AWS-VPC"])
def test_backends_that_are_none_here_name_what_to_use_instead(kind: str) -> None:
    told = refused(V4, kind)
    assert told.startswith(f'Backend.Type "{kind}" is not supported: ')
    assert any(instead in told for instead in ("vxlan", "wireguard"))


@pytest.mark.parametrize("name", ["PreStartup", "PostStartup", "SubnetAdd", "SubnetRemove", "Shutdown"])
def test_a_command_that_cannot_be_taken_apart_is_told_before_it_is_needed(name: str) -> None:
    key = f"{name}Command"
    for right in ("ip route add '$SUBNET' via $PUBLIC_IP", ""):
        assert parse_config(json.dumps(V4 | {"Backend": {"Type": "extension", key: right}}))
    wrong: dict[str, object] = {
        "echo 'open": "is",
        "   ": "is",
        "x" * 5000: "has 5000 characters",
        "\0": "is",
    }
    for command, told in wrong.items():
        fields: dict[str, object] = {key: command}
        assert f"Backend.{key} {told}" in refused(V4, "extension", **fields)


@pytest.mark.parametrize("network", [V6, DUAL], ids=["IPv6", "both"])
def test_ipv6_without_a_backend_parses_as_flannels_and_udp_does_not_carry_it(
    network: Mapping[str, object],
) -> None:
    parsed = parse_config(json.dumps(network))
    assert (parsed.backend, parsed.ipv6 is not None) == (Udp(), True)
    told = str(parsed.uncarried)
    assert told.startswith("Backend.Type udp, which is the backend where none is given, carries IPv4 only")
    assert told.endswith("leave EnableIPv6 out, or choose the backend vxlan")


def test_ipip_carries_ipv4_only() -> None:
    for network in (V6, DUAL):
        told = str(parse_config(json.dumps({**network, "Backend": {"Type": "ipip"}})).uncarried)
        assert told.startswith("Backend.Type ipip carries IPv4 only, and EnableIPv6 is true")
    assert parse_config(json.dumps({**V4, "Backend": {"Type": "ipip"}})).uncarried is None
