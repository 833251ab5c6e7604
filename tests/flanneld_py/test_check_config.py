"""`flanneld check-config`: what it says, and its exit status."""

import io
import json
import sys
from pathlib import Path

import pytest

from flanneld_py.backend.alloc.config import Alloc
from flanneld_py.backend.extension.config import Extension
from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.vxlan.config import Vxlan
from flanneld_py.backend.wireguard.config import Wireguard
from flanneld_py.commands import check_config
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import parse
from tests.flanneld_py.made import pool4, pool6

TUTORIAL = '{ "Network": "10.2.0.0/16" }'
POOL = pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24")


def check(path: object) -> int:
    return check_config.run(parse(["check-config", str(path)], {}))


def test_the_tutorials_configuration_gives_a_subnet_to_255_nodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(TUTORIAL)
    assert check(file) == Exit.OK
    assert capsys.readouterr() == (
        "OK: 255 subnets of 10.2.0.0/16, 10.2.1.0/24 to 10.2.255.0/24; backend udp (Port 8285); "
        "rules by iptables\n",
        "",
    )


def test_a_configuration_comes_from_standard_input_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TUTORIAL.encode())))
    assert check("-") == Exit.OK
    assert capsys.readouterr().out.startswith("OK: 255 subnets")


def test_a_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # what Python makes of `<&-`
    with pytest.raises(Fatal, match="standard input is closed"):
        check("-")


def test_what_the_backend_cannot_carry_is_told_though_it_parses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"Network": "10.2.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00::/48"}')
    assert check(file) == Exit.CONFIG
    assert (
        "Backend.Type udp, which is the backend where none is given, carries IPv4" in capsys.readouterr().err
    )


def test_all_problems_are_told_at_once_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    wrong = {"Network": "10.2.0.0/16", "SubnetLen": 40, "Backend": {"Type": "udp", "Port": 70000}}
    file.write_text(json.dumps(wrong))
    assert check(file) == Exit.CONFIG
    out, errors = capsys.readouterr()
    assert out == ""
    first, second = errors.splitlines()
    assert first.startswith("SubnetLen is 40: ")
    assert second.startswith("Backend.Port is 70000: ")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "\x00", '{"Network": '])
def test_what_is_no_configuration_at_all_is_one_problem(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    assert check(file) == Exit.CONFIG
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"^Reading .*nope\.json: No such file or directory") as caught:
        check(tmp_path / "nope.json")
    assert caught.value.code == Exit.FILE


def test_a_file_longer_than_etcd_takes_is_refused_and_not_read_to_its_end() -> None:
    with pytest.raises(Fatal, match="which etcd does not accept") as caught:
        check("/dev/zero")
    assert caught.value.code == Exit.CONFIG


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (NetworkConfig(POOL, None, HostGw()), "; backend host-gw; rules by iptables"),
        (NetworkConfig(POOL, None, Alloc(), nftables=True), "; backend alloc; rules by nftables"),
        (
            NetworkConfig(POOL, None, Vxlan(vni=7, direct_routing=True)),
            "backend vxlan (VNI 7, Port 8472, MTU from the interface, GBP false, Learning false,"
            " DirectRouting true)",
        ),
        (NetworkConfig(POOL, None, Extension(subnet_add_command="add")), "extension (SubnetAddCommand add)"),
        (
            NetworkConfig(None, pool6("2001:db8::/48", "2001:db8:0:1::/64", "2001:db8:0:4::/64"), HostGw()),
            "4 subnets of 2001:db8::/48, 2001:db8:0:1::/64 to 2001:db8:0:4::/64; backend host-gw",
        ),
        (
            NetworkConfig(POOL, pool6("2001:db8::/48", "2001:db8:0:1::/64", "2001:db8:0:4::/64"), HostGw()),
            "255 subnets of 10.2.0.0/16, 10.2.1.0/24 to 10.2.255.0/24; 4 subnets of 2001:db8::/48",
        ),
    ],
    ids=lambda value: value.backend.type if isinstance(value, NetworkConfig) else "",
)
def test_it_says_what_the_network_would_be(network: NetworkConfig, words: str) -> None:
    assert words in check_config.describe(network)


def test_a_pre_shared_key_is_not_shown() -> None:
    words = check_config.describe(NetworkConfig(POOL, None, Wireguard(psk="c2VjcmV0")))
    assert "c2VjcmV0" not in words
    assert "PSK (not shown)" in words
    assert "ListenPortV6 51821" in words
