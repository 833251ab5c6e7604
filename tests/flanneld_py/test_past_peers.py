"""Whoever has left costs nothing any more: no memory, and nothing at each event."""

from ipaddress import IPv4Network

from flanneld_py.datapath.roster import NodeMove, Roster
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.runtime import once
from flanneld_py.runtime.once import Once

FIRST, SECOND = IPv4Network("10.2.35.0/24"), IPv4Network("10.2.52.0/24")
HERE, THERE = "192.168.199.52", "192.168.199.53"


def test_a_node_is_a_peer_from_its_first_subnet_to_its_last():
    roster = Roster()
    assert roster.put(FIRST, HERE) == NodeMove(came=HERE)
    assert roster.put(FIRST, HERE) == roster.put(SECOND, HERE) == NodeMove()
    assert roster.remove(FIRST) == roster.remove(FIRST) == NodeMove()
    assert roster.remove(SECOND) == NodeMove(left=HERE)
    assert vars(roster) == vars(Roster())


def test_a_subnet_that_changes_hands_makes_one_node_a_peer_and_another_none():
    roster = Roster()
    roster.put(FIRST, HERE)
    assert roster.put(FIRST, THERE) == NodeMove(came=THERE, left=HERE)
    assert roster.put(SECOND, HERE) == NodeMove(came=HERE)
    assert roster.put(SECOND, THERE) == NodeMove(left=HERE)


def test_the_subnets_beyond_some_are_told():
    roster = Roster()
    roster.put(FIRST, HERE)
    roster.put(SECOND, THERE)
    assert roster.beyond([SECOND]) == (FIRST,)
    assert roster.beyond([FIRST, SECOND]) == ()


def test_what_was_told_is_remembered_for_so_many_topics(monkeypatch):
    monkeypatch.setattr(once, "REMEMBERED", 3)
    topics = Once()
    assert [topics.is_new(topic) for topic in "abcabc"] == [True] * 3 + [False] * 3
    assert topics.is_new("d")
    assert topics.is_new("a")  # the one that came first had to go
    assert not topics.is_new("c")
    assert len(topics._topics) == 3


def test_keys_that_went_while_nobody_watched_are_not_remembered(caplog):
    reader = LeaseReader("/coreos.com/network/subnets/")
    for number in range(100):
        junk = [("10.2.35.0-24", b"junk", 1, False, 1), (f"junk-{number}", b"", 1, False, 1)]
        reader.snapshot(junk, number)
    assert caplog.text.count("Ignoring the key /coreos.com/network/subnets/10.2.35.0-24") == 1
    assert caplog.text.count("junk-0:") == 1
    assert reader._warned == {"10.2.35.0-24", "junk-99"}
