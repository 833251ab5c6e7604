"""When TCP is found to get through only without checksum offload, and how."""

import logging
import os
import queue
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from flanneld_py.backend.vxlan import tx_checksum
from flanneld_py.backend.vxlan.tx_checksum import ChecksumVerdict, Examiner, TrialAnswer, examine, exchange
from flanneld_py.subnet import Address
from lab import wait

ARRIVED, SILENCE, NO_WAY = TrialAnswer.ARRIVED, TrialAnswer.SILENCE, TrialAnswer.NO_WAY
US, PEER, OTHER = ip_address("127.0.0.1"), ip_address("10.2.3.0"), ip_address("10.2.4.0")


class Card:
    """A device and its peers; the outcomes of attempts, with offload and without it."""

    def __init__(self, *outcomes: TrialAnswer) -> None:
        self.outcomes = iter(outcomes)
        self.log: list[object] = []

    def attempt(self, *_: object) -> TrialAnswer:
        outcome = next(self.outcomes)
        self.log.append(outcome)
        return outcome

    def offload(self, on: bool) -> None:
        self.log.append(on)


@pytest.mark.parametrize(
    ("outcomes", "verdict", "switches"),
    [
        ([ARRIVED], ChecksumVerdict.GOOD, []),
        ([NO_WAY], ChecksumVerdict.UNKNOWN, []),
        # The fault: only without.
        ([SILENCE, ARRIVED, SILENCE], ChecksumVerdict.BAD, [False, True, False]),
        # A peer that is down, or behind a filter.
        ([SILENCE, SILENCE], ChecksumVerdict.UNKNOWN, [False, True]),
        ([SILENCE, NO_WAY], ChecksumVerdict.UNKNOWN, [False, True]),
        # A peer that was down the first time only.
        ([SILENCE, ARRIVED, ARRIVED], ChecksumVerdict.GOOD, [False, True]),
    ],
)
def test_offload_stays_off_only_where_that_alone_gets_tcp_through(outcomes, verdict, switches):
    card = Card(*outcomes)
    assert examine(card.attempt, card.offload) is verdict
    assert [item for item in card.log if isinstance(item, bool)] == switches


@pytest.fixture
def hangup() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_refusal_is_an_answer(hangup):
    # Nothing listens on the port discard of this machine, or it accepts.
    assert exchange("lo", US, [US], hangup[0]) is ARRIVED


def test_an_address_without_a_way_says_nothing(hangup):
    assert exchange("lo", US, [], hangup[0]) is NO_WAY


def test_a_peer_that_does_not_answer_is_silent(hangup, monkeypatch):
    # What leaves by lo comes back in by lo, where nobody is 192.0.2.1 (RFC 5737).
    monkeypatch.setattr(tx_checksum, "TIMEOUT", 0.05)
    assert exchange("lo", US, [ip_address("192.0.2.1")], hangup[0]) is SILENCE


def test_one_of_many_that_answers_is_enough(hangup, monkeypatch):
    monkeypatch.setattr(tx_checksum, "HEAD_START", 0.05)
    assert exchange("lo", US, [ip_address("192.0.2.1"), US], hangup[0]) is ARRIVED


@pytest.fixture
def made(monkeypatch) -> list[socket.socket]:
    """The sockets of attempts."""
    sockets: list[socket.socket] = []

    def bound(device: str, source: Address) -> socket.socket:
        sockets.append(real(device, source))
        return sockets[-1]

    real = tx_checksum._bound
    monkeypatch.setattr(tx_checksum, "_bound", bound)
    return sockets


def test_where_the_first_peer_answers_no_other_is_tried(hangup, made):
    assert exchange("lo", US, [US, *[ip_address("192.0.2.1")] * 7], hangup[0]) is ARRIVED
    assert len(made) == 1


def test_where_the_first_peer_does_not_answer_all_others_are_tried(hangup, made, monkeypatch):
    monkeypatch.setattr(tx_checksum, "HEAD_START", 0.01)
    monkeypatch.setattr(tx_checksum, "TIMEOUT", 0.05)
    assert exchange("lo", US, [ip_address("192.0.2.1")] * 8, hangup[0]) is SILENCE
    assert len(made) == 8


def test_where_the_first_peer_has_no_way_the_others_are_tried_at_once(hangup, made, monkeypatch):
    monkeypatch.setattr(tx_checksum, "HEAD_START", 60.0)
    # To a group of machines there is no connection (tcp(7)).
    assert exchange("lo", US, [ip_address("224.0.0.1"), US], hangup[0]) is ARRIVED
    assert len(made) == 2


class Trials:
    """Stands in for `exchange`: each attempt takes its outcome from a queue, and waits for it."""

    def __init__(self) -> None:
        self.outcomes: queue.SimpleQueue[TrialAnswer] = queue.SimpleQueue()
        self.tried: list[tuple[object, ...]] = []

    def __call__(self, _device: str, _source: object, peers: tuple[object, ...], _hangup: int) -> TrialAnswer:
        self.tried.append(peers)
        return self.outcomes.get(timeout=30)


@pytest.fixture
def trials(monkeypatch) -> Trials:
    made = Trials()
    monkeypatch.setattr(tx_checksum, "exchange", made)
    return made


def ended(examiner: Examiner) -> None:
    wait.until(
        lambda: examiner.ended or wait.NotYet("not ended"), what="the end of the examination", timeout=5
    )


def test_nothing_is_tried_before_a_peer_is_met_and_nothing_after_the_answer_is_known(trials):
    switches: list[bool] = []
    examiner = Examiner("flannel.1", US, switches.append)
    assert trials.tried == []
    trials.outcomes.put(ARRIVED)
    examiner.meet(PEER)
    ended(examiner)
    examiner.meet(OTHER)
    examiner.stop()
    assert trials.tried == [(PEER,)]
    assert switches == []


def test_a_new_peer_is_tried_at_once_while_nothing_is_known(trials):
    examiner = Examiner("flannel.1", US, lambda _on: None)
    for outcome in (SILENCE, SILENCE):
        trials.outcomes.put(outcome)
    examiner.meet(PEER)
    wait.until(lambda: len(trials.tried) == 2 or wait.NotYet(trials.tried), what="two attempts", timeout=30)
    trials.outcomes.put(ARRIVED)
    examiner.meet(OTHER)
    ended(examiner)
    examiner.stop()
    assert trials.tried[2] == (PEER, OTHER)


def test_why_offload_was_turned_off_is_said(trials, caplog):
    switches: list[bool] = []
    examiner = Examiner("flannel.1", US, switches.append)
    for outcome in (SILENCE, ARRIVED, SILENCE):
        trials.outcomes.put(outcome)
    examiner.meet(PEER)
    ended(examiner)
    examiner.stop()
    assert switches == [False, True, False]
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "flannel.1 only while its transmit checksum offload is off" in record.getMessage()
    assert "-vxlan-tx-checksum=off" in record.getMessage()


def test_it_ends_at_once_when_told_to_in_the_middle_of_an_attempt(monkeypatch):
    monkeypatch.setattr(tx_checksum, "TIMEOUT", 60)
    examiner = Examiner("lo", US, lambda _on: None)
    examiner.meet(ip_address("192.0.2.1"))
    examiner.stop()
    examiner._thread.join(10)
    assert not examiner._thread.is_alive()


def test_a_device_that_goes_while_it_is_examined_ends_it():
    examiner = Examiner("gone0", US, lambda _on: None)
    examiner.meet(PEER)
    ended(examiner)
    examiner.stop()
