import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.announcement import Announcement
from flanneld_py.datapath.token_bucket import TokenBucket


def test_an_announcement_is_json() -> None:
    assert Announcement(1500, fast_path=True).encode() == b'{"MTU":1500,"FastPath":true}'
    assert Announcement(1500).encode() == b'{"MTU":1500}'
    assert Announcement().encode() == b"{}"


@given(st.none() | st.integers(96, 65535), st.booleans())
def test_what_was_said_is_read(mtu: int | None, fast: bool) -> None:
    said = Announcement(mtu, fast)
    assert Announcement.decode(said.encode()) == said


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"MTU":"1500"}',
        b'{"MTU":true}',
        b'{"MTU":95}',
        b"[" * 9999,
        b'{"MTU":65536}',
        b'{"FastPath":1}',
        b'{"FastPath":"true"}',
    ],
)
def test_what_cannot_be_meant_so_is_not_said(text: bytes) -> None:
    assert Announcement.decode(text) == Announcement()


@given(st.binary(max_size=40))
def test_no_announcement_whatever_upsets_us(text: bytes) -> None:
    assert isinstance(Announcement.decode(text), Announcement)


def test_the_narrower_end_counts() -> None:
    """28 bytes are the outer headers."""
    assert Announcement(1400).inner_mtu(8972) == 1372
    assert Announcement(9000).inner_mtu(1472) == 1472
    assert Announcement().inner_mtu(1472) == 1472


def test_no_datagram_is_longer_than_ipv4_can_be_however_long_frames_are() -> None:
    """lo takes 65536 bytes; RFC 791 has 65535, of which 20 and 8 are headers."""
    said = Announcement.decode(Announcement(65536).encode())
    assert said == Announcement(65535)
    assert said.inner_mtu(65536 - 28) == Announcement().inner_mtu(65536 - 28) == 65507


def test_an_allowance_is_used_up_and_comes_back_with_time() -> None:
    allowance = TokenBucket(rate=10, burst=2)
    assert [allowance.take(1.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(1.1), allowance.take(1.1)] == [True, False]
    assert [allowance.take(9.0) for _ in range(3)] == [True, True, False]
