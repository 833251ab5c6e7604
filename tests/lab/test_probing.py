"""From minion to minion: the stand-ins for containers, and the lab's side of the talk with them."""

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import checks
from lab.checks import Kind
from lab.errors import LabError
from lab.observe import NodeObservation, Observation, Ping
from lab.observe.inside import probe as inside
from lab.observe.probing import probe
from lab.spec import LabSpec
from tests.lab.examples import (
    MINIONS,
    SPEC,
    FakeLab,
    FakeTalk,
    changed,
    fake_lab,
    minion,
    observation,
    silent,
)

ONE, TWO = MINIONS


def with_talks(one: FakeTalk | None, two: FakeTalk | None) -> FakeLab:
    lab = fake_lab()
    return replace(
        lab,
        minions=tuple(replace(node, talk=talk) for node, talk in zip(lab.minions, (one, two), strict=True)),
    )


def pings(lab: FakeLab, *nodes: NodeObservation) -> tuple[Ping, ...]:
    found = probe(lab, nodes or [minion(name) for name in MINIONS], ())
    return tuple(ping for own in found.values() for ping in own)


def there(address: str, **answer: Any) -> FakeTalk:
    return FakeTalk({"address": address}, answer)


def test_each_minion_pings_each_other_one_and_every_stand_in_ends():
    lab = fake_lab()
    assert pings(lab) == (Ping(ONE, TWO, 60, ""), Ping(TWO, ONE, 60, ""))
    first, second = (node.talk for node in lab.minions)
    assert first is not None
    assert second is not None
    assert (first.peers, second.peers) == ({TWO: "10.2.52.254"}, {ONE: "10.2.35.254"})
    assert (first.ended, second.ended) == (True, True)


def test_a_minion_that_has_no_place_for_a_stand_in_is_told_of_in_both_directions():
    lab = with_talks(FakeTalk({"error": "docker0 has no address"}, {}), there("10.2.52.254", ttl=60))
    words = "centos-minion01: docker0 has no address"
    assert pings(lab) == (Ping(ONE, TWO, None, words), Ping(TWO, ONE, None, words))
    assert [node.talk.ended for node in lab.minions if node.talk] == [True, True]


def test_a_minion_that_cannot_be_asked_is_told_of_in_both_directions():
    lab = with_talks(None, there("10.2.52.254", ttl=60))
    words = "centos-minion01: centos-minion01 cannot be asked"
    assert {ping.error for ping in pings(lab)} == {words.partition(": ")[2]}


def test_a_stand_in_that_falls_silent_is_told_of_and_ended():
    class Mute(FakeTalk):
        def hear(self, seconds: float) -> str:
            if self.heard:
                raise LabError(f"python3 on centos-minion01 did not answer in {seconds:.0f} s")
            return super().hear(seconds)

    mute = Mute({"address": "10.2.35.254"}, {})
    first, second = pings(with_talks(mute, there("10.2.52.254", ttl=60)))
    assert first.error.startswith("python3 on centos-minion01 did not answer in ")
    assert second == Ping(TWO, ONE, 60, "")
    assert mute.ended


def test_a_minion_that_was_silent_before_is_not_asked_again_and_told_of_in_both_directions():
    lab = fake_lab()
    words = f"{ONE}: did not answer in 65 s"
    nodes = (silent(minion(ONE), "did not answer in 65 s"), minion(TWO))
    assert pings(lab, *nodes) == (Ping(ONE, TWO, None, words), Ping(TWO, ONE, None, words))
    first, second = (node.talk for node in lab.minions)
    assert first is not None
    assert second is not None
    assert (first.heard, second.ended) == (0, True)


def of_kind(kind: str) -> LabSpec:
    config = json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": kind}})
    return SPEC.model_copy(update={"flannel_config": config})


PROBES = checks.chosen(["ping.nodes"])


def judged(seen: Observation) -> Sequence[checks.Finding]:
    return [item for item in checks.judge(seen, PROBES) if item.id == "ping.nodes"]


@pytest.mark.parametrize("kind", ["alloc", "udp"])
def test_nobody_is_probed_where_somebody_else_carries_the_packets(kind: str):
    lab = replace(fake_lab(), spec=of_kind(kind))
    assert bool(pings(lab)) is (kind != "alloc")
    assert bool(judged(replace(observation(), spec=lab.spec))) is (kind != "alloc")


@pytest.mark.parametrize(
    ("kind", "ttl"),
    [("udp", 60), ("vxlan", 62), ("host-gw", 62), ("wireguard", 62), ("ipip", 62), ("extension", None)],
)
def test_the_answer_has_the_ttl_that_the_way_leaves(kind: str, ttl: int | None):
    for left in (60, 61, 62):
        seen = replace(observation(), spec=of_kind(kind))
        seen = changed(seen, ONE, probes=(Ping(ONE, TWO, left, ""),))
        seen = changed(seen, TWO, probes=(Ping(TWO, ONE, left, ""),))
        assert [item.ok for item in judged(seen)] == [ttl in {None, left}] * 2


def test_a_pair_without_a_pod_of_its_own_is_probed_and_of_one_that_was_not_nobody_knows():
    third = SPEC.nodes[2].model_copy(update={"name": "centos-minion03", "host": 54})
    spec: LabSpec = SPEC.model_copy(update={"nodes": (*SPEC.nodes, third)})
    more = replace(minion(TWO), name="centos-minion03", probes=())
    seen = observation()
    seen = replace(seen, spec=spec, nodes={**seen.nodes, more.name: more})
    assert [(str(item.subject), item.kind, item.seen.text) for item in judged(seen) if not item.ok] == [
        ("centos-minion01 -> centos-minion03", Kind.UNKNOWN, "not tried"),
        ("centos-minion02 -> centos-minion03", Kind.UNKNOWN, "not tried"),
        ("centos-minion03 -> centos-minion01", Kind.UNKNOWN, "not tried"),
        ("centos-minion03 -> centos-minion02", Kind.UNKNOWN, "not tried"),
    ]


@pytest.mark.parametrize(
    ("gateway", "length", "taken", "first"),
    [
        ("10.2.35.1", 24, set(), ["10.2.35.254", "10.2.35.253"]),
        ("10.2.35.1", 24, {"10.2.35.254"}, ["10.2.35.253"]),
        ("10.2.35.5", 30, set(), ["10.2.35.6"]),
        ("10.2.35.5", 30, {"10.2.35.6"}, []),
    ],
)
def test_a_stand_in_takes_the_highest_address_that_nobody_has(
    gateway: str, length: int, taken: set[str], first: Sequence[str]
):
    found = inside.candidates(gateway, length, taken)
    assert found[: len(first)] == first
    assert bool(found) == bool(first)
    assert not {gateway, *taken} & set(found)


@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_a_packet_with_its_checksum_sums_up_to_nothing(data: bytes):
    # RFC 1071, 1: to check, the sum is computed over the same octets, including the checksum field.
    assert inside.checksum(data + inside.checksum(data).to_bytes(2)) == 0


def ip(source: str, ttl: int, payload: bytes) -> bytes:
    """RFC 791, of protocol ICMP."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, ttl, 1, 0)
    return head + socket.inet_aton(source) + socket.inet_aton("10.2.35.254") + payload


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    return struct.pack("!BBH", kind, code, 0) + rest


def test_an_echo_reply_is_read_with_its_ttl():
    reply = ip("10.2.52.254", 60, icmp(0, 0, struct.pack("!HH", 7, 3) + bytes(56)))
    assert inside.reading(reply, 7) == (3, {"ttl": 60})
    assert inside.reading(reply, 8) is None


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (3, 0, "network unreachable"),
        (3, 1, "host unreachable"),
        (3, 13, "communication administratively prohibited"),
        (11, 0, "TTL exceeded in transit"),
        (3, 9, "ICMP type 3 code 9"),
    ],
)
def test_an_icmp_error_about_a_request_is_told_with_who_says_it(kind: int, code: int, words: str):
    ours = ip("10.2.35.254", 64, inside.request(7, 3)[:8])
    error = ip("10.2.35.1", 64, icmp(kind, code, bytes(4) + ours))
    assert inside.reading(error, 7) == (3, {"error": f"10.2.35.1 says: {words}"})
    assert inside.reading(error, 8) is None


def test_other_icmp_is_nothing_to_us():
    assert inside.reading(ip("10.2.35.1", 64, inside.request(7, 3)), 7) is None
    assert inside.reading(ip("10.2.35.1", 64, icmp(3, 1, bytes(8))), 7) is None
