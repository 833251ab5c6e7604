"""How many bytes pods exchange with each other machine's, told by some of their packets."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from lab.web.inside.flows import ENOUGH, Flows, Sample, other_end, table

PEERS = {"one": ["10.2.35.0/24", "2001:cafe:42:7::/64"], "two": ["10.2.52.0/24"]}
OWN = "10.2.7.2"


def head(source: str, destination: str) -> bytes:
    """The first bytes of a packet: RFC 791, RFC 8200."""
    ends = ip_address(source).packed + ip_address(destination).packed
    if ":" in source:
        return struct.pack("!BBHHBB", 0x60, 0, 0, 0, 17, 64) + ends
    return struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + ends


@pytest.mark.parametrize(
    ("source", "destination", "to_pod", "whose"),
    [
        ("10.2.35.9", OWN, True, "one"),
        (OWN, "10.2.35.255", False, "one"),
        (OWN, "10.2.52.1", False, "two"),
        (OWN, "10.2.36.1", False, ""),
        ("10.2.35.9", OWN, False, ""),
        ("2001:cafe:42:7::2", "2001:cafe:42:9::2", True, "one"),
        ("2001:cafe:42:8::2", "2001:cafe:42:9::2", True, ""),
    ],
)
def test_a_packet_is_of_the_machine_whose_subnet_its_other_end_is_in(source, destination, to_pod, whose):
    assert other_end(head(source, destination), to_pod, table(PEERS)) == whose


@pytest.mark.parametrize("start", [b"", b"\x45\x00", b"\x60" * 39, bytes(40)])
def test_what_is_no_packet_is_nobodys(start):
    assert other_end(start, True, table(PEERS)) == ""


@dataclass
class FakeTap:
    """Hands over these, of which one in so many."""

    index: int = 7
    waiting: list[Sample] = field(default_factory=list)
    every: int = 1
    more: float = 1.0
    gone: bool = False
    closed: bool = False

    def fileno(self) -> int:
        return 0

    def one_in(self, number: int) -> None:
        self.every = number

    def take(self) -> Iterator[Sample]:
        if self.gone:
            raise OSError("the network is down")
        while self.waiting:
            yield self.waiting.pop(0)

    def lost(self) -> float:
        return self.more

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def taps(monkeypatch: pytest.MonkeyPatch) -> list[FakeTap]:
    """Those that were opened."""
    monkeypatch.setattr(socket, "if_nametoindex", lambda _name: 7)
    return []


@pytest.fixture
def counted(taps: list[FakeTap]) -> Flows:
    def opened(device: str) -> FakeTap:
        assert device == "docker0"
        taps.append(FakeTap())
        return taps[-1]

    made = Flows(open_tap=opened)
    made.want(PEERS)
    return made


def pass_by(counted: Flows, tap: FakeTap, *samples: Sample) -> None:
    tap.waiting += samples
    counted.hear()


TO_POD = (head("10.2.35.9", OWN), 1000, True)
FROM_POD = (head(OWN, "10.2.52.1"), 70, False)


def test_bytes_are_counted_by_machine_and_by_direction_and_add_up(counted, taps):
    pass_by(counted, taps[0], TO_POD, FROM_POD, TO_POD, (head(OWN, "192.0.2.1"), 500, False))
    assert counted.told() == {"one": [2000, 0], "two": [0, 70]}
    pass_by(counted, taps[0], FROM_POD)
    assert counted.told() == {"one": [2000, 0], "two": [0, 140]}


def test_of_many_packets_some_stand_for_all(counted, taps):
    for _ in range(ENOUGH + 1):
        pass_by(counted, taps[0], TO_POD)
    assert taps[0].every == 4
    pass_by(counted, taps[0], TO_POD)
    assert counted.told()["one"] == [(ENOUGH + 1) * 1000 + 4000, 0]


def test_when_there_are_few_again_every_single_one_is_taken(counted, taps):
    pass_by(counted, taps[0], *[TO_POD] * (ENOUGH + 1))
    assert taps[0].every == 4
    counted.told()
    assert taps[0].every == 1


def test_what_found_no_room_is_made_up_for(counted, taps):
    pass_by(counted, taps[0], TO_POD)
    taps[0].more = 3.0
    assert counted.told()["one"] == [3000, 0]


def test_a_device_that_is_gone_is_opened_again_and_what_was_counted_stays(counted, taps, monkeypatch):
    pass_by(counted, taps[0], TO_POD)
    counted.told()
    taps[0].gone = True
    counted.hear()
    assert taps[0].closed
    assert counted.waits_for == []
    counted.want(PEERS)
    pass_by(counted, taps[1], TO_POD)
    assert counted.told()["one"] == [2000, 0]
    monkeypatch.setattr(socket, "if_nametoindex", lambda _name: 8)
    counted.want(PEERS)
    assert (taps[1].closed, len(taps)) == (True, 3)


def test_without_docker0_nothing_was_exchanged_and_nothing_fails():
    def absent(_device: str) -> FakeTap:
        raise OSError("No such device")

    counted = Flows(open_tap=absent)
    counted.want(PEERS)
    counted.hear()
    assert counted.told() == {"one": [0, 0], "two": [0, 0]}


def test_a_machine_that_is_no_peer_any_more_is_forgotten(counted, taps):
    pass_by(counted, taps[0], TO_POD)
    counted.want({"two": PEERS["two"]})
    assert counted.told() == {"two": [0, 0]}


def test_without_peers_no_packet_is_asked_for(taps):
    counted = Flows(open_tap=lambda _: pytest.fail("it was opened"))
    counted.want({})
    assert counted.told() == {}
