"""The queues that the compiled pump has for paced nodes, which do what the `Pacer` does."""

import socket
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath import core, vnet
from flanneld_py.datapath.core.pump import MOST_PACED, NEVER, Descriptors, Pump
from flanneld_py.datapath.forward import Peer
from flanneld_py.datapath.pacing import Pacer
from flanneld_py.runtime import clock
from tests.effort import examples
from tests.flanneld_py.test_pacing import content, data

FOUND = core.load()
pytestmark = pytest.mark.skipif(FOUND is None, reason="the core is not compiled here")

ROOM = 1 << 16
NODES = ("127.0.0.2", "127.0.0.3")
PAUSES = (0.5, 2.0)
LONG_AGO = float("-inf")


class Queues:
    """A pump that is only told what to queue and to send, and the nodes that it sends to."""

    def __init__(self, pauses: tuple[float, float] = PAUSES) -> None:
        assert FOUND is not None
        self.sender, *sinks = (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(1 + len(NODES))
        )
        self.sender.bind(("127.0.0.1", 0))
        self.sinks = dict(zip(NODES, sinks, strict=True))
        for node, sink in self.sinks.items():
            sink.bind((node, 0))
            sink.settimeout(30)
        self.memory = bytearray(vnet.SIZE), memoryview(bytearray(ROOM)), memoryview(bytearray(ROOM))
        nothing = -1  # poll(2) ignores it
        sides = Descriptors(nothing, self.sender.fileno(), nothing, nothing, nothing)
        self.pump: Pump = FOUND.pump(sides, *self.memory, array("Q", [0]), pauses)

    def peer(self, node: str = NODES[0], mtu: int = 1472) -> Peer:
        return Peer((node, self.sinks[node].getsockname()[1]), mtu, paced=True)

    def put(self, peer: Peer, packets: memoryview, size: int) -> int:
        """Answers how many found no place."""
        assert self.pump.paces(peer, LONG_AGO)
        self.pump.queue(peer, packets, size)
        return self.pump.refused()

    def received(self, node: str, number: int) -> list[bytes]:
        return [self.sinks[node].recv(2000) for _ in range(number)]

    def next(self) -> float | None:
        found: int = self.pump._state.next
        return None if found == NEVER else found / 1e9

    def close(self) -> None:
        """Nothing else may have been sent."""
        for node, sink in self.sinks.items():
            self.sender.sendto(b"the end", sink.getsockname())
            assert self.received(node, 1) == [b"the end"]
            sink.close()
        self.sender.close()


@pytest.fixture
def queues() -> Iterator[Queues]:
    made = Queues()
    yield made
    made.close()


PUT = st.tuples(
    st.sampled_from(NODES),
    st.sampled_from((1000, 1472)),  # MTUs
    st.sampled_from((60, 700, 1000)),
    st.integers(1, 70),
    st.booleans(),
)


@examples(40)
@given(st.lists(st.one_of(PUT, st.integers(1, 60), st.none()), max_size=30))
def test_a_queue_of_the_pump_does_what_the_pacer_does(
    steps: list[tuple[str, int, int, int, bool] | int | None],
) -> None:
    queues, pacer, now, put = Queues(), Pacer(*PAUSES), 1000.0, 0
    for step in steps:
        if step is None:
            assert queues.pump.clear() == pacer.clear()
        elif isinstance(step, int):
            now += step
            wanted = dict[str, list[bytes]]()
            while (train := pacer.take(now)) is not None:
                whole = content(train)
                parts = [whole[at : at + train.size] for at in range(0, len(whole), train.size)]
                wanted.setdefault(train.peer.node, []).extend(parts)
            assert not queues.pump.send_due(now)
            for node, datagrams in wanted.items():
                assert queues.received(node, len(datagrams)) == datagrams
            sent = {each.node: each.sent for each in queues.pump.counted()}
            assert sent == {node: (sum(map(len, each)), len(each)) for node, each in wanted.items()}
        else:
            node, mtu, size, count, shorter = step
            peer, packets = queues.peer(node, mtu), data(size, count, size // 2 if shorter else 0, put)
            put += count
            assert queues.put(peer, packets, size) == pacer.put(peer, packets, size)
        # How long ago it was due is forgotten by one and not by the other.
        found, due = ((None if at is None else max(at, now)) for at in (queues.next(), pacer.next()))
        assert found == due
    queues.close()


def test_a_queue_that_is_never_empty_goes_on_for_ever(queues):
    peer, pacer, now = queues.peer(), Pacer(*PAUSES), 1000.0
    for number in range(100):  # together some times as much as there is memory for
        packets = data(1472, 46, first=number)
        assert queues.put(peer, packets, 1472) == pacer.put(peer, packets, 1472)
        if number < 10:
            continue
        now += 100
        train = pacer.take(now)
        assert train is not None
        assert not queues.pump.send_due(now)
        assert b"".join(queues.received(peer.node, train.packets)) == content(train)
    waiting = queues.pump.clear()
    assert waiting == pacer.clear() >= 400


def test_as_many_wait_as_with_the_pacer_and_the_others_are_lost(queues):
    lost = [queues.put(queues.peer(), data(1400, 46), 1400) for _ in range(12)]
    assert lost == [0] * 11 + [46]  # 506 wait: a call's worth is not cut
    assert queues.put(queues.peer(NODES[1]), data(1400, 46), 1400) == 0
    assert queues.pump.clear() == 11 * 46 + 46
    assert not queues.pump.send_due(1e9)


def test_what_waits_is_sent_though_all_that_was_decided_is_forgotten(queues):
    peer = queues.peer()
    assert queues.put(peer, data(100, 3), 100) == 0
    queues.pump.allow(None, 0)
    assert not queues.pump.send_due(1000.0)
    assert b"".join(queues.received(peer.node, 3)) == data(100, 3)


def test_packets_longer_than_those_before_have_a_place_as_well(queues):
    small, large = queues.peer(mtu=600), queues.peer(mtu=1472)
    assert queues.put(small, data(600, 64), 600) == queues.put(large, data(1472, 430), 1472) == 0
    pacer, now = Pacer(*PAUSES), 1000.0
    pacer.put(small, data(600, 64), 600)
    pacer.put(large, data(1472, 430), 1472)
    while (train := pacer.take(now)) is not None:
        assert not queues.pump.send_due(now)
        assert b"".join(queues.received(small.node, train.packets)) == content(train)
        now += 1000


def test_a_train_that_cannot_be_sent_is_left_and_the_others_are_not(queues):
    # Broadcast is not permitted to such a socket: EACCES.
    nobody = Peer(("255.255.255.255", 8285), 1472, paced=True)
    for peer in (nobody, queues.peer()):
        assert queues.put(peer, data(100, 3, last=50), 100) == 0
    assert queues.pump.send_due(1000.0)
    peer, whole, size = queues.pump.train
    assert (peer, whole, size) == (nobody, data(100, 3, last=50), 100)
    assert not queues.pump.send_due(1000.0)
    assert b"".join(queues.received(NODES[0], 4)) == data(100, 3, last=50)
    assert queues.next() is None


def numbered(number: int) -> Peer:
    return Peer((f"127.0.1.{number}", 8285), 1472, paced=True)


def test_there_is_a_queue_for_so_many_nodes_and_for_others_when_those_need_none_any_more(queues):
    later = clock.now() + 1000
    assert all(queues.pump.paces(numbered(number), later) for number in range(MOST_PACED))
    assert not queues.pump.paces(numbered(MOST_PACED), LONG_AGO)
    queues.pump.allow(None, 0)
    assert not queues.pump.paces(numbered(MOST_PACED), LONG_AGO)  # their pauses are not over
    queues.pump._state.lines[5].due = queues.pump._state.lines[7].due = 0
    assert queues.put(numbered(7), data(100, 1), 100) == 0
    queues.pump.allow(None, 0)
    assert queues.pump.paces(numbered(MOST_PACED), LONG_AGO)
    assert not queues.pump.paces(numbered(5), LONG_AGO)
    assert queues.pump.paces(numbered(7), LONG_AGO)
    assert queues.pump.clear() == 1
