"""What nodes say beside their leases: who it is of, and for how long it counts."""

import json
import logging
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.registry import Announcement, Forbidden, RegistryUnavailable, announcements
from tests.flanneld_py.made import subnet

FOLDER = "/coreos.com/network-ext/udp/"
TEXT = b'{"MTU":1500,"FastPath":true}'

texts = st.dictionaries(
    st.text(max_size=10).filter(lambda name: name != "Revision"),
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    max_size=5,
)


def test_each_kind_of_backend_has_a_place_of_its_own_beside_the_prefix():
    assert announcements.folder("/coreos.com/network", "udp") == FOLDER
    assert not FOLDER.startswith("/coreos.com/network/")


@given(texts, st.integers(1, 2**63 - 1))
def test_what_is_said_names_the_leases_revision_and_keeps_all_else(text, revision):
    value = announcements.stamped(json.dumps(text).encode(), revision)
    assert json.loads(value) == text | {"Revision": revision}
    assert announcements.revision_of(value) == revision


@pytest.mark.parametrize(
    "value",
    [
        b"", b"junk", b"\xff\xfe", b"null", b"[]", b"7", b'"Revision"', b"{}", TEXT, b'{"revision":7}',
        b'{"Revision":null}', b'{"Revision":true}', b'{"Revision":"7"}', b'{"Revision":7.0}',
        b'{"Revision":[7]}', b'{"Revision":7', b'{"Revision":NaN}', b'{"Revision":1e400}',
        b'{"Revision":' + b"9" * 4090 + b"}", b'{"Revision":7,"A":' + b"[" * 3000 + b"]" * 1000 + b"}",
    ],
)  # fmt: skip
def test_what_names_no_revision_is_of_none(value):
    assert announcements.revision_of(value) == 0


def test_what_is_longer_than_anybody_says_is_not_read():
    filled = b'{"Revision":7,"A":"%b"}' % (b"a" * (announcements.LONGEST - 21))
    assert len(filled) == announcements.LONGEST
    assert announcements.revision_of(filled) == 7
    assert announcements.revision_of(filled + b" ") == 0


def test_what_is_too_long_to_be_read_takes_no_memory():
    reader, longest = announcements.AnnouncementReader(FOLDER), b"a" * announcements.LONGEST
    assert reader.read("10.2.35.0-24", longest) == Announcement(subnet("10.2.35.0/24"), longest)
    assert reader.read("10.2.35.0-24", longest + b"a") == Announcement(subnet("10.2.35.0/24"), b"")


@given(st.binary(max_size=200))
def test_whatever_is_written_there_is_read_without_an_error(value):
    assert isinstance(announcements.revision_of(value), int)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | texts, max_leaves=8)
)
def test_any_json_is_read_without_an_error(value):
    assert isinstance(announcements.revision_of(json.dumps({"Revision": value}).encode()), int)


def test_it_is_of_the_subnet_that_its_key_names():
    reader = announcements.AnnouncementReader(FOLDER)
    assert reader.read("10.2.35.0-24", TEXT) == Announcement(subnet("10.2.35.0/24"), TEXT)
    assert reader.read("10.2.35.0-24", b"") == Announcement(subnet("10.2.35.0/24"), b"")


@pytest.mark.parametrize("name", ["", "junk", "10.2.35.7-24", "10.2.35.0-24/deeper", "10.2.35.0_24"])
def test_a_key_that_flannel_would_not_write_for_a_subnet_says_nothing(name):
    assert announcements.AnnouncementReader(FOLDER).read(name, TEXT) is None


def test_what_we_may_not_do_is_told_once_with_what_to_do(caplog):
    caplog.set_level(logging.WARNING)
    reader = announcements.AnnouncementReader(FOLDER)
    attempts: list[Literal["read", "write"]] = ["read", "write", "read", "write"]
    for doing in attempts:
        with reader.permitted("http://192.0.2.1:2379", doing):
            raise Forbidden("etcd's own words")
    assert [record.getMessage() for record in caplog.records] == [
        f"http://192.0.2.1:2379: no permission to {doing} what nodes announce: "
        f"give our user a role that has it, for {FOLDER}"
        for doing in ("read", "write")
    ]


def test_what_we_may_not_read_is_not_wanted_until_we_may():
    reader = announcements.AnnouncementReader(FOLDER)
    assert reader.wanted
    with reader.permitted("http://192.0.2.1:2379", "read"):
        raise Forbidden("etcd's own words")
    assert not reader.wanted
    with reader.permitted("http://192.0.2.1:2379", "read"):
        pass
    assert reader.wanted


def test_what_fails_for_another_reason_is_raised():
    with (
        pytest.raises(RegistryUnavailable, match="no route"),
        announcements.AnnouncementReader(FOLDER).permitted("http://192.0.2.1:2379", "read"),
    ):
        raise RegistryUnavailable("no route")


def test_where_nothing_is_followed_nothing_is_wanted():
    assert not announcements.AnnouncementReader().wanted
