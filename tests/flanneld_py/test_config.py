import json
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flanneld_py.backend.alloc.config import Alloc
from flanneld_py.backend.catalog import parse_config
from flanneld_py.backend.extension.config import Extension
from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.ipip.config import Ipip
from flanneld_py.backend.udp.config import Udp
from flanneld_py.backend.vxlan.config import Vxlan
from flanneld_py.backend.wireguard.config import Wireguard
from flanneld_py.config import ConfigError
from flanneld_py.config.model import NetworkConfig, Pool
from tests.flanneld_py.made import pool4, pool6


def ipv4(text: str | bytes) -> Pool[IPv4Network]:
    pool = parse_config(text).ipv4
    assert pool is not None
    return pool


def ipv6(**fields: object) -> Pool[IPv6Network]:
    pool = parse_config(json.dumps({"EnableIPv4": False, "EnableIPv6": True, "Backend": VXLAN} | fields)).ipv6
    assert pool is not None
    return pool


VXLAN = {"Type": "vxlan"}


def test_the_tutorials_configuration_shares_out_255_subnets() -> None:
    """flannel says: Picking subnet in range 10.2.1.0 ... 10.2.255.0."""
    pool = pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24")
    assert parse_config('{ "Network": "10.2.0.0/16" }') == NetworkConfig(
        pool, None, Udp(8285), nftables=False
    )


# The defaults of flannel v0.20.2 (CheckNetworkConfig).
@pytest.mark.parametrize(
    ("network", "length", "first", "last"),
    [
        ("10.0.0.0/8", 24, "10.0.1.0", "10.255.255.0"),
        ("172.30.0.0/16", 24, "172.30.1.0", "172.30.255.0"),
        ("10.1.0.0/22", 24, "10.1.1.0", "10.1.3.0"),
        ("10.1.0.0/23", 25, "10.1.0.128", "10.1.1.128"),
        ("10.1.0.0/24", 26, "10.1.0.64", "10.1.0.192"),
        ("10.1.0.16/28", 30, "10.1.0.20", "10.1.0.28"),
    ],
)
def test_the_defaults_follow_from_the_network(network: str, length: int, first: str, last: str) -> None:
    pool = ipv4(json.dumps({"Network": network}))
    assert pool == pool4(network, f"{first}/{length}", f"{last}/{length}")


# Likewise, for IPv6.
@pytest.mark.parametrize(
    ("network", "first", "last"),
    [
        ("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64"),
        ("fc00::/62", "fc00:0:0:1::/64", "fc00:0:0:3::/64"),
        ("fc00::/63", "fc00:0:0:0:8000::/65", "fc00:0:0:1:8000::/65"),
        ("fc00::/124", "fc00::4/126", "fc00::c/126"),
    ],
)
def test_the_defaults_of_ipv6_follow_from_its_network(network: str, first: str, last: str) -> None:
    assert ipv6(IPv6Network=network) == pool6(network, first, last)


def test_everything_may_be_given() -> None:
    config = parse_config(
        '{"Network": "10.0.0.0/8", "SubnetLen": 20, "SubnetMin": "10.10.0.0", "SubnetMax": "10.99.0.0",'
        ' "EnableIPv6": true, "IPv6Network": "2001:cafe:42::/48", "IPv6SubnetLen": 56,'
        ' "IPv6SubnetMin": "2001:cafe:42:100::", "IPv6SubnetMax": "2001:cafe:42:200::",'
        ' "EnableNFTables": true, "Backend": {"Type": "VXLAN", "VNI": 7}}'
    )
    assert config == NetworkConfig(
        pool4("10.0.0.0/8", "10.10.0.0/20", "10.99.0.0/20"),
        pool6("2001:cafe:42::/48", "2001:cafe:42:100::/56", "2001:cafe:42:200::/56"),
        Vxlan(vni=7),
        nftables=True,
    )


PSK = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="


@pytest.mark.parametrize(
    ("given", "backend"),
    [
        ({"Type": "udp"}, Udp(8285)),
        ({"Type": "udp", "Port": 7890}, Udp(7890)),
        ({"Type": "vxlan"}, Vxlan(1, 0, 0, gbp=False, learning=False, direct_routing=False)),
        (
            {"Type": "vxlan", "VNI": 9999999, "Port": 4789, "MTU": 1400, "GBP": True, "Learning": True}
            | {"DirectRouting": True},
            Vxlan(9999999, 4789, 1400, gbp=True, learning=True, direct_routing=True),
        ),
        ({"Type": "host-gw"}, HostGw()),
        ({"Type": "alloc"}, Alloc()),
        ({"Type": "ipip", "DirectRouting": True}, Ipip(direct_routing=True)),
        ({"Type": "wireguard"}, Wireguard(51820, 51821, 0, "", 0, "separate")),
        (
            {"Type": "wireguard", "ListenPort": 1, "ListenPortV6": 2, "MTU": 1300, "PSK": PSK}
            | {"PersistentKeepaliveInterval": 25, "Mode": "auto"},
            Wireguard(1, 2, 1300, PSK, 25, "auto"),
        ),
        ({"Type": "extension", "SubnetAddCommand": "ip r"}, Extension(subnet_add_command="ip r")),
    ],
)
def test_a_backends_keys_and_defaults_are_flannels(given: object, backend: object) -> None:
    assert parse_config(json.dumps({"Network": "10.2.0.0/16", "Backend": given})).backend == backend


def test_without_ipv4_there_is_only_the_other_pool() -> None:
    pool = pool6("fd00::/48", "fd00:0:0:1::/64", "fd00:0:0:ffff::/64")
    assert parse_config(json.dumps(V6)) == NetworkConfig(None, pool, Vxlan())


def test_the_first_subnet_may_be_asked_for() -> None:
    assert str(ipv4('{"Network": "10.1.0.0/16", "SubnetMin": "10.1.0.0"}').subnet_min) == "10.1.0.0/24"


def test_keys_are_matched_as_gos_json_does() -> None:
    text = (
        '{"NETWORK": "10.9.0.0/16", "network": "10.2.0.0/16", "Network": null, "subnetlen": 25, "Other": [1]}'
    )
    pool = ipv4(text)
    assert (str(pool.network), pool.subnet_len) == ("10.2.0.0/16", 25)
    assert parse_config('{"network": "10.2.0.0/16", "backend": {"type": "udp", "PORT": 9}}').backend == Udp(9)


def test_host_bits_of_the_network_are_cleared() -> None:
    assert str(ipv4('{"Network": "10.1.0.5/16"}').network) == "10.1.0.0/16"
    assert str(ipv6(IPv6Network="2001:cafe:42::5/48").network) == "2001:cafe:42::/48"


def test_zero_means_not_given() -> None:
    text = (
        '{"Network": "10.2.0.0/16", "SubnetLen": 0, "SubnetMin": "0.0.0.0", "SubnetMax": null,'
        ' "Backend": null}'
    )
    assert parse_config(text) == parse_config('{"Network": "10.2.0.0/16"}')


def test_bytes_are_read_like_text() -> None:
    assert parse_config(b'{"Network": "10.2.0.0/16"}') == parse_config('{"Network": "10.2.0.0/16"}')


NET = {"Network": "10.1.0.0/16"}
V6 = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "fd00::/48", "Backend": VXLAN}
WG = {"Type": "wireguard"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Network is missing"),
        ({"Network": ""}, "Network is missing"),
        ({"Network": 7}, "Network is 7"),
        ({"Network": "abc"}, 'Network is "abc"'),
        ({"Network": "10.1.0.0"}, 'Network is "10.1.0.0"'),
        ({"Network": "10.1.0.0/33"}, 'Network is "10.1.0.0/33"'),
        ({"Network": "10.1.0.0/255.255.0.0"}, "Network is"),
        ({"Network": "fd00::/48"}, "Network .*IPv6"),
        ({"Network": "0.0.0.0/0"}, "Network 0.0.0.0/0 contains loopback"),
        ({"Network": "127.0.0.0/16"}, "Network 127.0.0.0/16 contains loopback"),
        ({"Network": "0.0.0.0/8"}, "Network 0.0.0.0/8 contains this host's addresses"),
        ({"Network": "255.255.0.0/16"}, "Network 255.255.0.0/16 contains broadcast"),
        ({"Network": "239.0.0.0/16"}, "Network 239.0.0.0/16 contains multicast"),
        ({"Network": "10.1.0.0/29"}, "Network 10.1.0.0/29 is too small"),
        (NET | {"SubnetLen": "24"}, 'SubnetLen is "24"'),
        (NET | {"SubnetLen": 24.0}, "SubnetLen is 24.0"),
        (NET | {"SubnetLen": True}, "SubnetLen is true"),
        (NET | {"SubnetLen": -1}, "SubnetLen is -1"),
        (NET | {"SubnetLen": 31}, "SubnetLen is 31"),
        (NET | {"SubnetLen": 17}, "SubnetLen is 17: .*at least four subnets"),
        (NET | {"SubnetLen": 8}, "SubnetLen is 8: .*at least four subnets"),
        (
            NET | {"SubnetMin": "10.2.0.0"},
            "SubnetMin 10.2.0.0 is not in the range of the Network 10.1.0.0/16",
        ),
        (
            NET | {"SubnetMax": "10.2.0.0"},
            "SubnetMax 10.2.0.0 is not in the range of the Network 10.1.0.0/16",
        ),
        (NET | {"SubnetMin": "10.1.5.7"}, "SubnetMin 10.1.5.7 is not on a SubnetLen boundary: give 10.1.5.0"),
        (NET | {"SubnetMax": "10.1.5.255"}, "SubnetMax 10.1.5.255 is not on a SubnetLen boundary"),
        (NET | {"SubnetMin": "fd00::1"}, 'SubnetMin is "fd00::1"'),
        (NET | {"SubnetMin": 5}, "SubnetMin is 5"),
        (
            NET | {"SubnetMin": "10.1.9.0", "SubnetMax": "10.1.8.0"},
            "SubnetMin 10.1.9.0 is above SubnetMax 10.1.8.0",
        ),
        (
            NET | {"SubnetMax": "10.1.0.0"},
            r"SubnetMin 10\.1\.1\.0 \(where it is not given\) is above SubnetMax 10\.1\.0\.0",
        ),
        (
            NET | {"EnableIPv6": True, "Backend": VXLAN},
            "IPv6Network is missing: .* such as .*; or leave EnableIPv6 out$",
        ),
        (
            {"EnableIPv6": True, "IPv6Network": "fd00::/48", "Backend": VXLAN},
            'Network is missing: .* such as "10.2.0.0/16"; or set "EnableIPv4": false$',
        ),
        # Go reads every member, whether it is then used or not.
        (NET | {"IPv6Network": "10.1.0.0/16"}, 'IPv6Network is "10.1.0.0/16"'),
        (V6 | {"SubnetMin": "fd00::"}, 'SubnetMin is "fd00::"'),
        (V6 | {"IPv6Network": "10.1.0.0/16"}, 'IPv6Network is "10.1.0.0/16"'),
        (V6 | {"IPv6Network": "fe80::/48"}, "IPv6Network fe80::/48 contains link-local"),
        (V6 | {"IPv6Network": "::/0"}, "IPv6Network ::/0 contains loopback"),
        (V6 | {"IPv6Network": "::ffff:10.1.0.0/112"}, "IPv6Network ::ffff:.* contains IPv4-mapped"),
        (V6 | {"IPv6Network": "ff02::/48"}, "IPv6Network ff02::/48 contains multicast"),
        (V6 | {"IPv6Network": "fd00::/125"}, "IPv6Network fd00::/125 is too small: .*/124"),
        (V6 | {"IPv6SubnetLen": 127}, "IPv6SubnetLen is 127: IPv6SubnetLen must be less than /127"),
        (V6 | {"IPv6SubnetLen": 49}, "IPv6SubnetLen is 49: .*at least four subnets"),
        (
            V6 | {"IPv6SubnetMin": "fd01::"},
            "IPv6SubnetMin fd01:: is not in the range of the IPv6Network fd00::/48",
        ),
        (
            V6 | {"IPv6SubnetMax": "fd00::5"},
            "IPv6SubnetMax fd00::5 is not on a SubnetLen boundary: give fd00::",
        ),
        (V6 | {"IPv6SubnetMin": "fd00:0:0:1::%eth0"}, "IPv6SubnetMin is"),
        (NET | {"EnableNFTables": "yes"}, 'EnableNFTables is "yes"'),
        (NET | {"EnableIPv6": 1}, "EnableIPv6 is 1"),
        ({"EnableIPv4": False}, "EnableIPv4 is false and EnableIPv6 is not true"),
        (NET | {"Backend": "udp"}, 'Backend is "udp"'),
        (NET | {"Backend": {}}, "Backend.Type is missing: give one of udp, vxlan"),
        (NET | {"Backend": {"Type": 1}}, "Backend.Type is 1"),
        (
            NET | {"Backend": {"Type": "nope"}},
            'Backend.Type "nope" is not supported: give one of udp, vxlan, host-gw, alloc, ',
        ),
        (NET | {"Backend": {"Type": "ipsec"}}, 'Backend.Type "ipsec" is not supported: use wireguard'),
        (NET | {"Backend": {"Type": "aws-vpc"}}, 'Backend.Type "aws-vpc" is not supported: flannel itself'),
        (NET | {"Backend": VXLAN | {"VNI": 0}}, "Backend.VNI is 0: give a number from 1 to 16777215"),
        (NET | {"Backend": VXLAN | {"VNI": 2**24}}, "Backend.VNI is 16777216"),
        (NET | {"Backend": VXLAN | {"Port": "8472"}}, 'Backend.Port is "8472"'),
        (NET | {"Backend": VXLAN | {"GBP": 1}}, "Backend.GBP is 1"),
        (NET | {"Backend": WG | {"PSK": "secret"}}, "Backend.PSK is no key: give 32 bytes"),
        (NET | {"Backend": WG | {"Mode": "both"}}, 'Backend.Mode is "both": give one of separate, auto'),
        (NET | {"Backend": {"Type": "extension", "SubnetAddCommand": ["ip"]}}, "Backend.SubnetAddCommand is"),
    ],
)
def test_every_error_names_its_key(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse_config(json.dumps(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{",
        "{} {}",
        '{"Network": -Infinity}',
        '{"Network": NaN}',
        "[" * 100_000,
        b"\xff\xfe{",
        "[]",
        '"10.2.0.0/16"',
        "null",
    ],
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"^the configuration is"):
        parse_config(text)


def test_all_problems_are_told_at_once() -> None:
    text = (
        '{"Network": "10.1.0.0/99", "EnableIPv6": true, "Backend": {"Type": "vxlan", "VNI": 0, "Port": -1}}'
    )
    with pytest.raises(ConfigError) as refused:
        parse_config(text)
    keys = [problem.key for problem in refused.value.problems]
    assert keys == ["Network", "IPv6Network", "Backend.VNI", "Backend.Port"]
    assert "\n" not in str(refused.value)
    assert all(problem.fix for problem in refused.value.problems)


def test_one_wrong_key_of_a_family_hides_no_other() -> None:
    wrong = {"Network": "10.1.0.0/16", "SubnetLen": 31, "SubnetMin": "10.2.0.0", "SubnetMax": "x"}
    with pytest.raises(ConfigError) as refused:
        parse_config(
            json.dumps(wrong | {"IPv6SubnetLen": "64", "EnableNFTables": 1, "Backend": {"Type": "gce"}})
        )
    keys = {problem.key for problem in refused.value.problems}
    assert keys == {
        "SubnetLen", "SubnetMin", "SubnetMax", "IPv6SubnetLen", "EnableNFTables", "Backend.Type"
    }  # fmt: skip


# The words of flannel v0.20.2 (CheckNetworkConfig), by which people search.
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "please define a correct Network parameter in the flannel config"),
        (V6 | {"IPv6Network": None}, "please define a correct IPv6Network parameter in the flannel config"),
        (NET | {"SubnetLen": 31}, "SubnetLen must be less than /31"),
        (V6 | {"IPv6SubnetLen": 127}, "SubnetLen must be less than /127"),
        (NET | {"SubnetLen": 17}, "network must be able to accommodate at least four subnets"),
        ({"Network": "10.1.0.0/29"}, "minimum useful network prefix is /28"),
        (V6 | {"IPv6Network": "fd00::/125"}, "minimum useful network prefix is /124"),
        (V6 | {"IPv6SubnetMax": "fd01::"}, "is not in the range of the IPv6Network"),
        (V6 | {"IPv6SubnetMin": "fd00::1"}, "is not on a SubnetLen boundary"),
    ],
)
def test_what_flannel_refuses_is_refused_in_its_words(value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(json.dumps(value))


def test_a_secret_that_is_wrong_is_still_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(json.dumps(NET | {"Backend": WG | {"PSK": "hunter2"}}))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("port", [0, 65536, "8285", True, 1.5])
def test_a_port_that_is_none_is_refused(port: object) -> None:
    with pytest.raises(ConfigError, match=r"^Backend\.Port is "):
        parse_config(json.dumps(NET | {"Backend": {"Type": "udp", "Port": port}}))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
    st.none() | st.integers(0, 33),
    st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
)
@example(address=0xFFFFFE00, prefix=24, length=None, limits=[0, 0])  # all but the last addresses there are
def test_what_is_accepted_is_accepted_by_both_flannels(
    address: int, prefix: int, length: int | None, limits: list[int]
) -> None:
    value: dict[str, object] = {"Network": f"{IPv4Address(address)}/{prefix}"}
    if length is not None:
        value |= {
            "SubnetLen": length,
            "SubnetMin": str(IPv4Address(limits[0])),
            "SubnetMax": str(IPv4Address(limits[1])),
        }
    try:
        pool = ipv4(json.dumps(value))
    except ConfigError:
        return
    low, high = pool.subnet_min, pool.subnet_max
    assert pool.network.prefixlen + 2 <= pool.subnet_len <= 30
    assert low.subnet_of(pool.network)
    assert high.subnet_of(pool.network)
    assert low.network_address <= high.network_address
