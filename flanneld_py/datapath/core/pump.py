"""The pump: core.c's loop over device and socket, which carries packets that need no decision any more.

Python decides about the first packet to each destination and from each source, and tells the pump. It leaves
every other packet, and every error, to Python, and runs without holding the interpreter's lock, so that other
threads of the daemon do not delay packets.
"""

import ctypes
import socket
import sys
from array import array
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from flanneld_py.datapath.forward import Mandate, Peer

__all__ = ["Counted", "Descriptors", "Left", "Pump", "Reason"]

# enum of core.c
ARRIVALS: Final = 64
PLACES: Final = 4096
PEERS: Final = 256
SPACE: Final = 1 << 19  # bytes of segments
NEVER: Final = 2**64 - 1
MOST_PACED: Final = 64
"""Paced nodes that the pump sends to; any others are Python's."""

READY: Final = ("tun", "socket", "timer")
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
    "peer", node=_U32, port=_U32, mtu=_U32, paced=_U32, due=_U64, each=_U64, single=_U64,
    sent_packets=_U64, sent_bytes=_U64, received_packets=_U64, received_bytes=_U64,
)  # fmt: skip
_Place = _structure("place", address=_U32, peer=_U32)
_Arrival = _structure("arrival", begin=_U32, end=_U32, each=_U32, node=_U32, fragment=_U32)
_Train = _structure("train", begin=_U32, end=_U32, each=_U32, peer=_U32)
_Pump = _structure(
    "pump", tun=_S32, socket=_S32, wake=_S32, timer=_S32,
    until=_U64, changes=_P * 2, seen=_U64 * 2,
    first=_U32, last=_U32, ready=_U32, error=_U32, size=_U32, dirty=_U32,
    header=_P, packet=_P, trains=_P, trains_size=_U64, space=_P, space_size=_U64,
    runs=_P, most_runs=_U64, room=_P, room_size=_U64, collected=_U64,
    waiting=_Train, left=_Train, arrival=_U32, arrivals=_U32, failed=_U32, again=_U32, pending=_U32,
    arrived=_Arrival * ARRIVALS, destinations=_Place * PLACES, sources=_Place * PLACES, peers=_Peer * PEERS,
)  # fmt: skip


def _nanoseconds(since_boot: float) -> int:
    """Return a time of ours as the pump has it: 0 if it is long ago, NEVER if it never comes."""
    return 0 if since_boot <= 0 else int(min(since_boot * 1e9, NEVER))


class Descriptors(NamedTuple):
    """What the pump polls."""

    tun: int
    socket: int
    timer: int
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
        self._state = _Pump(
            *(descriptors.tun, descriptors.socket, descriptors.wake, descriptors.timer),
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
        self._pauses = [int(pause * 1e9) for pause in pauses]
        self._peers: dict[Peer, int] = {}
        self._paced: dict[str, Any] = {}  # struct peer of each paced node
        self._pacing: dict[str, int] = {}  # and its number
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

    def _clear(self) -> None:
        self.forget()
        for known in (self._peers, self._paced, self._pacing):
            known.clear()

    def forget(self) -> None:
        """Forget all that was decided."""
        self._learned = None
        for places in (self._state.destinations, self._state.sources):
            ctypes.memset(places, 0, ctypes.sizeof(places))

    def learn_destination(self, address: int, peer: Peer) -> None:
        """Send packets to this address to the peer; to a paced one where its node has no other subnet."""
        if self._learned == (address, peer):  # it was, and has to wait
            return
        number = self._number(peer)
        self._learned = address, peer
        if peer.paced and not self._is_paced(peer, number):
            return
        self._learn(ctypes.c_void_p(self._here), 0, ctypes.c_uint32(address), number)

    def _is_paced(self, peer: Peer, number: int) -> bool:
        """Have the peer paced by the pump; return whether it is."""
        if peer.node not in self._paced:
            if len(self._paced) == MOST_PACED:
                return False
            self._paced[peer.node] = self._state.peers[number]
            self._pacing[peer.node] = number
            self.pause(peer.node, None)
        return self._pacing[peer.node] == number

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
            at.node = int.from_bytes(socket.inet_aton(peer.node), sys.byteorder)
            at.port, at.mtu, at.paced = peer.endpoint[1], peer.mtu, peer.paced
            at.each, at.single = self._pauses
        return number

    @property
    def paced(self) -> Sequence[str]:
        """The paced nodes that the pump sends to."""
        return tuple(self._paced)

    def pause(self, node: str, due: float | None) -> None:
        """Send this paced node nothing before `due`, in seconds since boot; None: nothing at all."""
        self._paced[node].due = NEVER if due is None else _nanoseconds(due)

    def due(self, node: str) -> float | None:
        """When the pump may send this paced node something again; None as with `pause`."""
        due: int = self._paced[node].due
        return None if due == NEVER else due / 1e9

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
        node = socket.inet_ntoa(at.node.to_bytes(4, sys.byteorder))
        return Left(at.begin, at.end, at.each, node, at.fragment)

    @property
    def train(self) -> tuple[Peer, memoryview, int]:
        """The packets that could not be sent, and the length of each but the last."""
        left = self._state.left
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
