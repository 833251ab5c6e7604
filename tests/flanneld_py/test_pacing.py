"""Trains, and what becomes of them on the way to flannel's own proxy."""

import select

from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath.forward import Peer
from flanneld_py.datapath.pacing import MOST_WAITING, Pacer
from flanneld_py.datapath.timer import Timer
from flanneld_py.datapath.trains import MOST_BYTES, MOST_SEGMENTS, Train
from flanneld_py.runtime import clock

PEER = Peer(("192.168.199.53", 8285), 1472, paced=True)
OTHER = Peer(("192.168.199.52", 8285), 1472, paced=True)


def data(size: int, count: int, last: int = 0, first: int = 0) -> memoryview:
    """Packets of this size, each with its number in all of its bytes, and one of `last` bytes."""
    numbers = range(first, first + count)
    return memoryview(
        b"".join(bytes([number % 256]) * size for number in numbers) + bytes([(first + count) % 256]) * last
    )


def content(train: Train) -> bytes:
    return b"".join(train.parts)


def test_packets_of_one_length_go_together_until_the_call_is_full():
    train = Train(PEER, 1472)
    assert len(train.fill(PEER, data(1472, 40), 1472)) == 0
    assert train.fill(PEER, data(1472, 6), 1472) == data(1472, 2, first=4)
    assert train.packets == 44 == MOST_BYTES // 1472


def test_a_train_has_no_more_packets_than_the_kernel_takes():
    train = Train(PEER, 52)
    assert len(train.fill(PEER, data(52, 100), 52)) == 52 * (100 - MOST_SEGMENTS)


def test_only_the_last_packet_may_be_shorter():
    train = Train(PEER, 1000)
    assert not train.fill(PEER, data(1000, 2), 1000)
    assert not train.fill(PEER, data(700, 1), 700)
    assert train.packets == 3
    assert len(train.fill(PEER, data(700, 1), 700)) == 700


def test_a_longer_packet_and_one_for_another_node_go_by_themselves():
    train = Train(PEER, 1000)
    assert not train.fill(PEER, data(1000, 1), 1000)
    assert len(train.fill(PEER, data(1001, 1), 1001)) == 1001
    assert len(train.fill(OTHER, data(1000, 1), 1000)) == 1000


def test_after_a_train_nothing_leaves_for_the_time_that_its_datagrams_take():
    pacer = Pacer(each=0.5, single=9)
    assert pacer.next() is None
    assert pacer.put(PEER, data(1400, 44), 1400) == pacer.put(PEER, data(1400, 20), 1400) == 0
    first = pacer.take(100.0)
    assert first is not None
    assert first.packets == 46  # of 1400 bytes that many go with one call
    assert pacer.next() == 100.0 + 46 * 0.5
    assert pacer.take(122.9) is None
    rest = pacer.take(123.5)  # however late: what was missed is not made up for
    assert rest is not None
    assert content(first) + content(rest) == bytes(data(1400, 44)) + bytes(data(1400, 20))
    assert pacer.next() is None
    assert pacer.put(PEER, data(1400, 1), 1400) == 0
    assert pacer.next() == 123.5 + 18 * 0.5


def test_packets_that_came_one_by_one_take_longer():
    pacer = Pacer(each=0.5, single=2.0)
    for number in range(3):
        assert pacer.put(PEER, data(64, 1, first=number), 64) == 0
    together = pacer.take(10.0)
    assert together is not None
    assert content(together) == bytes(data(64, 3))
    assert pacer.put(PEER, data(64, 1), 64) == 0
    assert pacer.next() == 10.0 + 3 * 2.0


def test_one_node_does_not_hold_up_another():
    pacer = Pacer(each=1.0, single=9)
    for peer in (PEER, OTHER):
        assert pacer.put(peer, data(100, 3), 100) == 0
    assert [train.peer for train in iter(lambda: pacer.take(0.0), None)] == [PEER, OTHER]
    assert pacer.put(PEER, data(100, 1), 100) == 0
    assert pacer.next() == 3.0


def test_nodes_that_are_not_sent_to_any_more_are_forgotten():
    pacer = Pacer(each=1.0, single=1.0)
    for number in range(1000):
        assert pacer.put(Peer((f"192.168.9.{number}", 8285), 1472, paced=True), data(100, 3), 100) == 0
        assert pacer.take(10.0 * number) is not None
    assert list(pacer._lines) == ["192.168.9.999"]


def test_as_many_wait_as_in_flannels_device_and_the_others_are_lost():
    pacer = Pacer(each=1.0, single=1.0)
    lost = [pacer.put(PEER, data(1400, 46), 1400) for _ in range(12)]
    assert lost == [0] * 11 + [46]  # 506 wait: a call's worth is not cut
    assert pacer.put(OTHER, data(1400, 46), 1400) == 0
    assert pacer.clear() == 11 * 46 + 46
    assert pacer.take(1e9) is None
    assert pacer.put(PEER, data(1400, 1), 1400) == 0


@given(st.lists(st.tuples(st.sampled_from((60, 1000, 1472)), st.integers(1, 70), st.booleans()), max_size=12))
def test_what_is_put_comes_in_its_order_and_whole(puts):
    pacer = Pacer(each=0.001, single=0.002)
    wanted, now = b"", 0.0
    for size, count, shorter in puts:
        packets = data(size, count, last=size // 2 if shorter else 0)
        lost = pacer.put(PEER, packets, size)
        kept = -(-len(packets) // size) - lost
        wanted += bytes(packets[: kept * size])
    found, most = b"", 0
    while (at := pacer.next()) is not None:
        now = max(now, at)
        train = pacer.take(now)
        assert train is not None
        assert train.packets == -(-train.bytes // train.size) <= MOST_SEGMENTS
        most += train.packets
        found += content(train)
    assert found == wanted
    assert most < MOST_WAITING + MOST_SEGMENTS


def test_a_timer_can_be_read_from_its_time_on_and_not_before():
    timer = Timer()
    poll = select.poll()
    poll.register(timer.fileno(), select.POLLIN)
    assert not poll.poll(0)
    at = clock.now() + 0.02
    timer.set(at)
    assert poll.poll(5000)
    assert clock.now() >= at
    timer.clear()
    assert not poll.poll(0)
    timer.set(0.0)  # long ago
    assert poll.poll(5000)
    timer.set(clock.now() + 1000)
    assert not poll.poll(0)
    timer.set(None)
    assert not poll.poll(0)
    timer.clear()
    timer.close()


def test_when_a_node_is_due_is_known_unless_something_waits_for_it():
    pacer = Pacer(0.001, 0.5)
    assert pacer.due(PEER.node) == float("-inf")
    assert pacer.put(PEER, data(9, 1), 9) == 0
    assert pacer.due(PEER.node) is None
    assert pacer.take(5.0) is not None
    assert (pacer.due(PEER.node), pacer.due(OTHER.node)) == (5.5, float("-inf"))
    assert pacer.pauses == (0.001, 0.5)
