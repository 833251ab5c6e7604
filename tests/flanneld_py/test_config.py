import json
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flanneld_py.config import ConfigError, NetworkConfig, parse, udp_port


def test_the_tutorials_configuration_shares_out_255_subnets() -> None:
    """flannel says: Picking subnet in range 10.2.1.0 ... 10.2.255.0."""
    assert parse('{ "Network": "10.2.0.0/16" }') == NetworkConfig(
        network=IPv4Network("10.2.0.0/16"),
        subnet_min=IPv4Address("10.2.1.0"),
        subnet_max=IPv4Address("10.2.255.0"),
        subnet_len=24,
        backend_type="udp",
        backend={},
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
    config = parse(json.dumps({"Network": network}))
    assert (config.subnet_len, str(config.subnet_min), str(config.subnet_max)) == (length, first, last)


def test_everything_may_be_given() -> None:
    config = parse(
        '{"Network": "10.0.0.0/8", "SubnetLen": 20, "SubnetMin": "10.10.0.0", "SubnetMax": "10.99.0.0",'
        ' "Backend": {"Type": "UDP", "Port": 7890}}'
    )
    assert config == NetworkConfig(
        IPv4Network("10.0.0.0/8"),
        IPv4Address("10.10.0.0"),
        IPv4Address("10.99.0.0"),
        20,
        "udp",
        {"type": "UDP", "port": 7890},
    )
    assert udp_port(config) == 7890


def test_the_first_subnet_may_be_asked_for() -> None:
    assert str(parse('{"Network": "10.1.0.0/16", "SubnetMin": "10.1.0.0"}').subnet_min) == "10.1.0.0"


def test_keys_are_matched_as_gos_json_does() -> None:
    text = (
        '{"NETWORK": "10.9.0.0/16", "network": "10.2.0.0/16", "Network": null, "subnetlen": 25, "Other": [1]}'
    )
    config = parse(text)
    assert (str(config.network), config.subnet_len) == ("10.2.0.0/16", 25)
    assert udp_port(parse('{"network": "10.2.0.0/16", "backend": {"type": "udp", "PORT": 9}}')) == 9


def test_host_bits_of_the_network_are_cleared() -> None:
    assert str(parse('{"Network": "10.1.0.5/16"}').network) == "10.1.0.0/16"


def test_zero_means_not_given() -> None:
    text = (
        '{"Network": "10.2.0.0/16", "SubnetLen": 0, "SubnetMin": "0.0.0.0", "SubnetMax": null,'
        ' "Backend": null}'
    )
    assert parse(text) == parse('{"Network": "10.2.0.0/16"}')


def test_bytes_are_read_like_text() -> None:
    assert parse(b'{"Network": "10.2.0.0/16"}') == parse('{"Network": "10.2.0.0/16"}')


NET = {"Network": "10.1.0.0/16"}


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
        (NET | {"EnableIPv6": True}, "EnableIPv6 is not supported"),
        (NET | {"EnableIPv6": 1}, "EnableIPv6 is 1"),
        (NET | {"EnableIPv4": False}, "EnableIPv4 is false"),
        (NET | {"Backend": "udp"}, 'Backend is "udp"'),
        (NET | {"Backend": {}}, r"Backend.Type is missing: .*\(udp\)"),
        (NET | {"Backend": {"Type": 1}}, "Backend.Type is 1"),
        (
            NET | {"Backend": {"Type": "vxlan"}},
            'Backend.Type "vxlan" is not supported: this version supports udp',
        ),
        (
            NET | {"Backend": {"Type": "nope"}},
            'Backend.Type "nope" is not supported: this version supports udp',
        ),
    ],
)
def test_every_error_names_its_key(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse(json.dumps(value))


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "{", '{"Network": NaN}', "[" * 100_000, b"\xff\xfe{", "[]", '"10.2.0.0/16"', "null"],
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"^the configuration is"):
        parse(text)


def test_the_udp_port_is_flannels_by_default() -> None:
    assert udp_port(parse('{"Network": "10.2.0.0/16"}')) == 8285


@pytest.mark.parametrize("port", [0, 65536, "8285", True, 1.5])
def test_a_port_that_is_none_is_refused(port: object) -> None:
    with pytest.raises(ConfigError, match=r"^Backend\.Port is "):
        udp_port(parse(json.dumps(NET | {"Backend": {"Type": "udp", "Port": port}})))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
    st.none() | st.integers(0, 33),
    st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
)
@example(address=0xF0000000, prefix=4, length=None, limits=[0, 0])  # ends with the last address there is
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
        config = parse(json.dumps(value))
    except ConfigError:
        return
    size = 2 ** (32 - config.subnet_len)
    assert config.network.prefixlen + 2 <= config.subnet_len <= 30
    assert config.subnet_min in config.network
    assert config.subnet_max in config.network
    assert config.subnet_min <= config.subnet_max
    assert int(config.subnet_min) % size == int(config.subnet_max) % size == 0
