import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.lease import assignments
from flanneld_py.lease.subnet_env import SubnetEnv, previous_subnet, render
from flanneld_py.subnet import Subnet
from tests.flanneld_py.made import subnet

# As flannel v0.5.5 wrote it.
FILE = """\
FLANNEL_NETWORK=172.30.0.0/16
FLANNEL_SUBNET=172.30.66.1/24
FLANNEL_MTU=1472
FLANNEL_IPMASQ=false
"""
ENV = SubnetEnv(subnet("172.30.0.0/16"), subnet("172.30.66.0/24"), 1472, False)

# As flannel v0.20.2 wrote it, with EnableIPv6.
DUAL_FILE = """\
FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_IPV6_NETWORK=2001:cafe:42::/48
FLANNEL_IPV6_SUBNET=2001:cafe:42:1::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
DUAL = SubnetEnv(
    subnet("10.244.0.0/16", "2001:cafe:42::/48"), subnet("10.244.1.0/24", "2001:cafe:42:1::/64"), 1450, True
)


@pytest.mark.parametrize(("env", "text"), [(ENV, FILE), (DUAL, DUAL_FILE)])
def test_the_file_is_flannels_byte_for_byte(env: SubnetEnv, text: str) -> None:
    assert render(env) == text


@pytest.mark.parametrize(("env", "text"), [(ENV, FILE), (DUAL, DUAL_FILE)])
def test_the_previous_subnet_is_the_leased_one(env: SubnetEnv, text: str) -> None:
    assert previous_subnet(text) == env.subnet


def test_the_previous_subnet_needs_no_other_line() -> None:
    assert previous_subnet("junk\nFLANNEL_SUBNET=10.2.35.1/24\n") == subnet("10.2.35.0/24")


def test_a_subnet_of_another_family_than_its_name_says_is_none() -> None:
    assert previous_subnet("FLANNEL_SUBNET=2001:cafe:42:1::1/64\nFLANNEL_IPV6_SUBNET=10.2.35.1/24\n") is None


@pytest.mark.parametrize(
    "text", ["", "junk", "FLANNEL_SUBNET=\n", "FLANNEL_SUBNET=x\n", "\0\n", "FLANNEL_SUBNET"]
)
def test_without_a_readable_file_there_is_no_previous_subnet(text: str) -> None:
    assert previous_subnet(text) is None


@given(st.text())
def test_any_text_gives_a_subnet_or_none(text: str) -> None:
    assert previous_subnet(text) is None or isinstance(previous_subnet(text), Subnet)


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


@pytest.mark.parametrize("line", ["A=$(reboot)", "A=`x`", 'A="$B"', "A=b; reboot", "A=b c", "reboot", "1=2"])
def test_what_only_a_shell_could_read_is_not_guessed(line: str) -> None:
    assert assignments.read(line) == ({}, (line,))


@pytest.mark.parametrize("line", ["A = b", "A =b", "A: b", 'A = "b" # why'])
def test_an_assignment_is_also_what_flannels_own_reader_takes_for_one(line: str) -> None:
    """github.com/joho/godotenv, by which v0.20.2 reads its subnet file."""
    assert assignments.read(line) == ({"A": "b"}, ())


def test_comments_and_blank_lines_are_nothing() -> None:
    assert assignments.read("# A=b\n\n   \n") == ({}, ())
