"""The pump: core.c's loop over device and socket, which carries packets that need no decision any more.

Python decides about the first packet to each destination and from each source, and tells the pump. It leaves
every other packet, and every error, to Python, and runs without holding the interpreter's lock, so that other
threads of the daemon do not delay packets. It has the queues of paced nodes, too, as `pacing.Pacer` has them.
"""

import ctypes
import socket
import sys
from array import array
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from flanneld_py.datapath.forward import Mandate, Peer
from flanneld_py.runtime import clock

__all__ = ["Counted", "Descriptors", "Left", "Pump", "Reason"]

# enum of core.c
ARRIVALS: Final = 64
PLACES: Final = 4096
PEERS: Final = 256
SPACE: Final = 1 << 19  # bytes of segments
NEVER: Final = 2**64 - 1
MOST_PACED: Final = 64
"""Paced nodes that the pump sends to; any others are Python's."""
MOST_QUEUED: Final = 563  # datagrams in a queue: MOST_WAITING, and those that are joined to its last train
TRAINS: Final = 512

READY: Final = ("tun", "socket", "timer", "pace")
"""Bits of struct pump's `ready`, the lowest first."""


class Reason(IntEnum):
    """Why the pump has stopped: enum reason of core.c, which has their meaning."""

    WOKEN = 1
    CHANGED = 2
    DUE = 3
    COUNTED = 4
    PACKET = 5
    TRAIN = 6
    ARRIVAL = 7
    UNWRITTEN = 8
    UNREAD = 9
    UNRECEIVED = 10
    UNPOLLED = 11


def _structure(name: str, **fields: type) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": tuple(fields.items())})


_U16, _S32, _U32, _U64 = ctypes.c_uint16, ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64
_P = ctypes.c_void_p
_Peer = _structure(
    "peer", node=_U32, port=_U32, mtu=_U32, line=_U32,
    sent_packets=_U64, sent_bytes=_U64, received_packets=_U64, received_bytes=_U64,
)  # fmt: skip
_Place = _structure("place", address=_U32, peer=_U32)
_Arrival = _structure("arrival", begin=_U32, end=_U32, each=_U32, node=_U32, fragment=_U32)
_Train = _structure("train", begin=_U32, end=_U32, each=_U32, peer=_U32)
_Queued = _structure("queued", bytes=_U32, each=_U32, parts=_U32, port=_U32, mtu=_U32)
_Line = _structure(
    "line", node=_U32, packets=_U32, first=_U32, trains=_U32, queue=_P, room=_P,
    size=_U64, begin=_U64, bytes=_U64, due=_U64, sent_packets=_U64, sent_bytes=_U64,
)  # fmt: skip
_Pump = _structure(
    "pump", tun=_S32, socket=_S32, wake=_S32, timer=_S32, pace=_S32,
    until=_U64, changes=_P * 2, seen=_U64 * 2,
    first=_U32, last=_U32, ready=_U32, error=_U32, size=_U32, dirty=_U32,
    header=_P, packet=_P, trains=_P, trains_size=_U64, space=_P, space_size=_U64,
    runs=_P, most_runs=_U64, room=_P, room_size=_U64, collected=_U64,
    each=_U64, single=_U64, next=_U64, armed=_U64, refused=_U64,
    waiting=_Train, left=_Train, left_queued=_Queued, left_begin=_U64, left_line=_U32, lines_used=_U32,
    arrival=_U32, arrivals=_U32, failed=_U32, again=_U32, pending=_U32,
    arrived=_Arrival * ARRIVALS, destinations=_Place * PLACES, sources=_Place * PLACES, peers=_Peer * PEERS,
    lines=_Line * MOST_PACED,
)  # fmt: skip


def _nanoseconds(since_boot: float) -> int:
    """Return a time of ours as the pump has it: 0 if it is long ago, NEVER if it never comes."""
    return 0 if since_boot <= 0 else int(min(since_boot * 1e9, NEVER))


def _packed(node: str) -> int:
    return int.from_bytes(socket.inet_aton(node), sys.byteorder)


def _unpacked(node: int) -> str:
    return socket.inet_ntoa(node.to_bytes(4, sys.byteorder))


class Descriptors(NamedTuple):
    """What the pump polls."""

    tun: int
    socket: int
    timer: int
    pace: int
    """A timer that only the pump sets, for paced nodes."""
    wake: int


class Left(NamedTuple):
    """Datagrams from one node, in the memory for trains; or packets for `peer` that could not be sent."""

    begin: int
    end: int
    each: int
    node: str
    fragment: int


class Counted(NamedTuple):
    """What was carried since counters were read last."""

    node: str
    sent: tuple[int, int]
    """Bytes and packets, as the next."""
    received: tuple[int, int]


class Memory(NamedTuple):
    """Addresses and lengths of what the pump works in; the caller keeps it alive."""

    header: int
    packet: int
    trains: tuple[int, int]
    runs: tuple[int, int]
    room: tuple[int, int]


class Pump:
    """The pump, for one thread.

    `changes` counts the changes of the mandate; `pauses` are those of paced nodes (`Pacer.pauses`).
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        descriptors: Descriptors,
        memory: Memory,
        changes: "array[int]",
        pauses: tuple[float, float],
    ) -> None:
        self._carry, self._learn = library.core_pump, library.core_learn
        self._queue, self._send_due = library.core_queue, library.core_send_due
        self._state = _Pump(
            *(descriptors.tun, descriptors.socket, descriptors.wake, descriptors.timer, descriptors.pace),
            header=memory.header,
            packet=memory.packet,
        )
        state = self._state
        state.trains, state.trains_size = memory.trains
        state.runs, state.most_runs = memory.runs
        state.room, state.room_size = memory.room
        self.space = memoryview(bytearray(SPACE))
        state.space, state.space_size = ctypes.addressof(ctypes.c_char.from_buffer(self.space)), SPACE
        self._here = ctypes.addressof(state)
        self._changes = changes
        state.each, state.single = (int(pause * 1e9) for pause in pauses)
        state.next = state.armed = NEVER
        self._peers: dict[Peer, int] = {}
        self._lines: dict[str, int] = {}  # of each paced node, its number
        self._rooms: dict[int, memoryview] = {}  # the memory of each line
        self._learned: tuple[int, Peer] | None = None  # the last destination
        self.mandate: Mandate | None = None
        self.allow(None, 0)

    @staticmethod
    def fits(library: ctypes.CDLL) -> bool:
        """Whether the library's structure is the one here."""
        size = library.core_pump_size
        size.restype = ctypes.c_uint64
        found: int = size()
        return found == ctypes.sizeof(_Pump)

    def carry(self) -> Reason:
        """Carry packets until Python is needed."""
        return Reason(self._carry(ctypes.c_void_p(self._here)))

    def allow(self, mandate: Mandate | None, change: int) -> None:
        """Carry under this mandate, the one after so many changes, and forget all that was decided."""
        state = self._state
        table = self._changes if mandate is None else mandate.table.changes
        for number, (counter, seen) in enumerate(((table, table[0]), (self._changes, change))):
            state.changes[number], state.seen[number] = counter.buffer_info()[0], seen
        state.until = 0 if mandate is None else _nanoseconds(mandate.until)
        if mandate is not None:
            state.first, state.last = mandate.first, mandate.last
        self.mandate = mandate  # and with it the counter that is pointed to
        self._clear()
        self._give_up_lines()

    def _clear(self) -> None:
        self.forget()
        self._peers.clear()

    def _give_up_lines(self) -> None:
        """Have others use the queues of nodes for which nothing waits, and whose pause is over."""
        now = _nanoseconds(clock.now())
        for node, number in tuple(self._lines.items()):
            line = self._state.lines[number]
            if not line.packets and not line.sent_packets and line.due <= now:
                del self._lines[node]

    def forget(self) -> None:
        """Forget all that was decided; what waits for a paced node still does."""
        self._learned = None
        for places in (self._state.destinations, self._state.sources):
            ctypes.memset(places, 0, ctypes.sizeof(places))

    def learn_destination(self, address: int, peer: Peer) -> None:
        """Send packets to this address to the peer; to a paced one if the pump paces it (`paces`)."""
        if self._learned == (address, peer):  # several packets were Python's
            return
        number = self._number(peer)
        self._learned = address, peer
        if peer.paced:
            self._state.peers[number].line = self._lines[peer.node] + 1
        self._learn(ctypes.c_void_p(self._here), 0, ctypes.c_uint32(address), number)

    def paces(self, peer: Peer, due: float) -> bool:
        """Return whether the pump has a queue for this peer's node; a new one is due then."""
        number = self._lines.get(peer.node)
        if number is None:
            if len(self._lines) == MOST_PACED:
                return False
            number = next(free for free in range(MOST_PACED) if free not in self._lines.values())
            self._lines[peer.node] = number
            line = self._state.lines[number]
            line.node, line.due = _packed(peer.node), _nanoseconds(due)
            self._state.lines_used = max(self._state.lines_used, number + 1)
        self._make_room(number, MOST_QUEUED * peer.mtu)
        return True

    def _make_room(self, number: int, size: int) -> None:
        """Have the line's memory be at least so many bytes, and what waits in it stay there."""
        line = self._state.lines[number]
        if line.size >= size:
            return
        trains = TRAINS * ctypes.sizeof(_Queued)
        memory = memoryview(bytearray(trains + size))
        if line.packets:
            memory[:trains] = self._rooms[number][:trains]
            memory[trains : trains + line.bytes] = self._waiting(number, line.begin, line.bytes)
        self._rooms[number] = memory
        place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        line.queue, line.room, line.size, line.begin = place, place + trains, size, 0

    def _waiting(self, number: int, begin: int, length: int) -> bytes:
        """Return what lies in the line's memory, which is a ring."""
        ring = self._rooms[number][TRAINS * ctypes.sizeof(_Queued) :]
        ahead = bytes(ring[begin : begin + length])
        return ahead + bytes(ring[: length - len(ahead)])

    def queue(self, peer: Peer, data: memoryview, size: int) -> None:
        """Queue packets of this size (the last may be shorter) for a peer that the pump paces."""
        address, line = ctypes.c_void_p(self._here), self._lines[peer.node]
        whole = bytes(data)
        self._queue(address, line, peer.endpoint[1], peer.mtu, whole, ctypes.c_size_t(len(whole)), size)

    def send_due(self, now: float) -> bool:
        """Send the trains that are due; return whether one could not be sent, after which more may be due."""
        time = ctypes.c_uint64(_nanoseconds(now))
        reason: int = self._send_due(ctypes.c_void_p(self._here), time)
        return reason == Reason.TRAIN

    def clear(self) -> int:
        """Drop everything queued for paced nodes; return the number of datagrams."""
        dropped = 0
        for number in self._lines.values():
            line = self._state.lines[number]
            dropped += line.packets
            line.packets = line.first = line.trains = line.begin = line.bytes = 0
        self._state.next = NEVER
        return dropped

    def refused(self) -> int:
        """Return how many datagrams have found a queue full since this was asked last."""
        refused: int = self._state.refused
        self._state.refused = 0
        return refused

    def learn_source(self, address: int, peer: Peer) -> None:
        """Accept packets from this address from the peer's node, if they are for our subnet."""
        self._learn(ctypes.c_void_p(self._here), 1, ctypes.c_uint32(address), self._number(peer))

    def _number(self, peer: Peer) -> int:
        number = self._peers.get(peer)
        if number is None:
            if len(self._peers) == PEERS:  # nothing waits for one of them when something is decided
                self._clear()
            number = self._peers[peer] = len(self._peers)
            at = self._state.peers[number]
            at.node = _packed(peer.node)
            at.port, at.mtu, at.line = peer.endpoint[1], peer.mtu, 0
        return number

    @property
    def ready(self) -> tuple[str, ...]:
        """What may be read, of `READY`."""
        ready: int = self._state.ready
        return tuple(name for number, name in enumerate(READY) if ready >> number & 1)

    @property
    def size(self) -> int:
        """Length of the packet that was read, or number of packets that could not be written."""
        size: int = self._state.size
        return size

    @property
    def error(self) -> int:
        """The number of the error."""
        error: int = self._state.error
        return error

    @property
    def arrival(self) -> Left:
        """The datagrams that are left."""
        state = self._state
        at = state.arrived[state.arrival - 1]
        return Left(at.begin, at.end, at.each, _unpacked(at.node), at.fragment)

    @property
    def train(self) -> tuple[Peer, memoryview, int]:
        """The packets that could not be sent, and the length of each but the last."""
        state = self._state
        if state.left_line:
            left, number = state.left_queued, state.left_line - 1
            peer = Peer((_unpacked(state.lines[number].node), left.port), left.mtu, paced=True)
            return peer, memoryview(self._waiting(number, state.left_begin, left.bytes)), left.each
        left = state.left
        peer = list(self._peers)[left.peer - 1]
        return peer, self.space[left.begin : left.end], left.each

    def counted(self) -> Iterator[Counted]:
        """What has been carried since this was asked last."""
        state = self._state
        if not state.dirty:
            return
        state.dirty = 0
        for peer, number in self._peers.items():
            at = state.peers[number]
            found = (at.sent_bytes, at.sent_packets), (at.received_bytes, at.received_packets)
            if any(map(any, found)):
                at.sent_bytes = at.sent_packets = at.received_bytes = at.received_packets = 0
                yield Counted(peer.node, *found)
        for node, number in self._lines.items():
            line = state.lines[number]
            if line.sent_packets:
                yield Counted(node, (line.sent_bytes, line.sent_packets), (0, 0))
                line.sent_bytes = line.sent_packets = 0
