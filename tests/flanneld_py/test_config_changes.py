"""What is told of a configuration that changes while flanneld runs."""

import json

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.config import changes
from tests.flanneld_py.made import subnet

NET = {"Network": "10.1.0.0/16"}
VXLAN = {"Type": "vxlan"}
WG = {"Type": "wireguard"}
PSK = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="
DUAL = {"EnableIPv6": True, "IPv6Network": "fd00::/48", "Backend": VXLAN}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({}, []),
        (
            {"SubnetLen": 26},
            ["SubnetLen 24 -> 26", "SubnetMin 10.1.1.0 -> 10.1.0.64", "SubnetMax 10.1.255.0 -> 10.1.255.192"],
        ),
        (
            {"Network": "10.1.0.0/17"},
            ["Network 10.1.0.0/16 -> 10.1.0.0/17", "SubnetMax 10.1.255.0 -> 10.1.127.0"],
        ),
        ({"Backend": VXLAN}, ["Backend.Type udp -> vxlan"]),
        ({"Backend": {"Type": "udp", "Port": 9}}, ["Backend.Port 8285 -> 9"]),
        ({"EnableNFTables": True}, ["EnableNFTables false -> true"]),
        (
            {"EnableIPv6": True, "IPv6Network": "fd00::/48", "Backend": VXLAN},
            ["EnableIPv6 false -> true", "Backend.Type udp -> vxlan"],
        ),
    ],
)
def test_what_changes_is_told_by_its_key(changed: dict[str, object], lines: list[str]) -> None:
    told = changes(parse_config(json.dumps(NET)), parse_config(json.dumps(NET | changed)))
    assert [line.partition(";")[0] for line in told] == lines


def test_another_secret_is_told_without_it() -> None:
    old, new = (
        parse_config(json.dumps(NET | {"Backend": WG | {"PSK": psk}}))
        for psk in (PSK, PSK.replace("C", "D", 1))
    )
    (line,) = changes(old, new)
    assert line.startswith("Backend.PSK is another;")
    assert PSK not in line


@pytest.mark.parametrize(
    ("changed", "leased", "kept"),
    [
        ({"SubnetLen": 26}, "10.1.35.0/24", False),
        ({"Network": "10.3.0.0/16"}, "10.1.35.0/24", False),
        ({"SubnetMax": "10.1.34.0"}, "10.1.35.0/24", False),
        ({"SubnetMin": "10.1.35.0", "SubnetMax": "10.1.35.0"}, "10.1.35.0/24", True),
        ({"Backend": VXLAN}, "10.1.35.0/24", True),
        (DUAL, "10.1.35.0/24", False),  # v0.20.2 too wants a lease of both
    ],
)
def test_a_subnet_that_would_be_given_up_is_named(
    changed: dict[str, object], leased: str, kept: bool
) -> None:
    told = changes(parse_config(json.dumps(NET)), parse_config(json.dumps(NET | changed)), subnet(leased))
    assert [line for line in told if leased in line] == ([] if kept else [told[-1]])
    assert all("restart" in line for line in told)


def test_a_configuration_that_says_the_same_in_other_words_changes_nothing() -> None:
    spelled = {"network": "10.1.0.9/16", "SubnetLen": 24, "SubnetMin": "10.1.1.0", "Backend": {"type": "UDP"}}
    assert (
        changes(parse_config(json.dumps(NET)), parse_config(json.dumps(spelled)), subnet("10.9.9.0/24")) == ()
    )
