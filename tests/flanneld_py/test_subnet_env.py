from ipaddress import IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py import assignments
from flanneld_py.subnet_env import SubnetEnv, parse, previous_subnet, render

# As flannel v0.5.5 wrote it.
FILE = """\
FLANNEL_NETWORK=172.30.0.0/16
FLANNEL_SUBNET=172.30.66.1/24
FLANNEL_MTU=1472
FLANNEL_IPMASQ=false
"""
ENV = SubnetEnv(IPv4Network("172.30.0.0/16"), IPv4Interface("172.30.66.1/24"), 1472, False)


def test_the_file_is_flannels_byte_for_byte() -> None:
    assert render(ENV) == FILE
    assert parse(FILE) == ENV


def test_the_bridge_gets_the_subnets_first_address() -> None:
    assert SubnetEnv.of(IPv4Network("172.30.0.0/16"), IPv4Network("172.30.66.0/24"), 1472, False) == ENV


def test_masquerading_is_written_in_lower_case() -> None:
    assert render(SubnetEnv(ENV.network, ENV.subnet, 1472, True)).endswith("FLANNEL_IPMASQ=true\n")


def test_a_file_of_todays_flannel_with_ipv6_is_read() -> None:
    text = (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
        "FLANNEL_IPV6_NETWORK=2001:cafe:42::/48\nFLANNEL_IPV6_SUBNET=2001:cafe:42:1::1/64\n"
        "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    assert parse(text) == SubnetEnv(IPv4Network("10.244.0.0/16"), IPv4Interface("10.244.1.1/24"), 1450, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "FLANNEL_MTU is missing"),
        (FILE.replace("1472", ""), "FLANNEL_MTU is missing"),
        (FILE.replace("1472", "x"), "FLANNEL_MTU is 'x'"),
        (FILE.replace("1472", "0"), "FLANNEL_MTU is '0'"),
        (FILE.replace("1472", "65536"), "FLANNEL_MTU is '65536'"),
        (FILE.replace("false", "maybe"), "FLANNEL_IPMASQ is 'maybe'"),
        (FILE.replace("FLANNEL_SUBNET", "OTHER"), "FLANNEL_SUBNET is missing"),
        (FILE.replace("172.30.66.1/24", "172.30.66.1"), "FLANNEL_SUBNET is '172.30.66.1'"),
        (FILE.replace("172.30.66.1/24", "172.30.66.1/255.255.255.0"), "FLANNEL_SUBNET is"),
        (FILE.replace("172.30.0.0/16", "fd00::/48"), "FLANNEL_NETWORK is 'fd00::/48'"),
        (FILE.replace("172.30.0.0/16", "172.30.0.0/33"), "FLANNEL_NETWORK is"),
    ],
)
def test_an_error_names_its_variable(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse(text)


def test_the_previous_subnet_is_the_leased_one() -> None:
    assert previous_subnet(FILE) == IPv4Network("172.30.66.0/24")


def test_the_previous_subnet_needs_no_other_line() -> None:
    assert previous_subnet("junk\nFLANNEL_SUBNET=10.2.35.1/24\n") == IPv4Network("10.2.35.0/24")


@pytest.mark.parametrize(
    "text", ["", "junk", "FLANNEL_SUBNET=\n", "FLANNEL_SUBNET=x\n", "\0\n", "FLANNEL_SUBNET"]
)
def test_without_a_readable_file_there_is_no_previous_subnet(text: str) -> None:
    assert previous_subnet(text) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 28), st.integers(0, 2), st.integers(1, 65535), st.booleans())
def test_a_rendered_file_reads_back(address: int, prefix: int, more: int, mtu: int, ip_masq: bool) -> None:
    network = IPv4Network((address, prefix), strict=False)
    leased = IPv4Network((address, prefix + more), strict=False)
    env = SubnetEnv.of(network, leased, mtu, ip_masq)
    assert parse(render(env)) == env
    assert previous_subnet(render(env)) == leased


@given(st.text())
def test_any_text_gives_a_subnet_or_none(text: str) -> None:
    assert previous_subnet(text) is None or isinstance(previous_subnet(text), IPv4Network)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ('A="b c"', "b c"),
        ("A='$b'", "$b"),
        ("  A=b  # why", "b"),
        ("A=b\r", "b"),
        ("A=", ""),
        ("A=x\nA=b", "b"),
    ],
)
def test_a_plain_assignment_is_read_as_a_shell_would(line: str, value: str) -> None:
    assert assignments.read(line) == ({"A": value}, ())


@pytest.mark.parametrize(
    "line", ["A=$(reboot)", "A=`x`", 'A="$B"', "A=b; reboot", "A=b c", "A = b", "reboot", "1=2"]
)
def test_what_only_a_shell_could_read_is_not_guessed(line: str) -> None:
    assert assignments.read(line) == ({}, (line,))


def test_comments_and_blank_lines_are_nothing() -> None:
    assert assignments.read("# A=b\n\n   \n") == ({}, ())
