"""How many bytes this machine's pods exchange with those of each other machine, by some of docker0's packets.

The tunnel's device is no measure of that: it has the packets of all machines together, host-gw has none,
and what flanneld's BPF programs carry passes it by. docker0 has every packet of its pods, with their own
addresses. The kernel hands over one packet in so many, at random, and only its first bytes: a few hundred a
second at most, however many there are; while there are fewer, every single one.
"""

import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

__all__ = ["Flows", "Sample", "Table", "Takes", "Tap", "other_end", "table"]

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
PACKET_HOST, PACKET_OUTGOING = 0, 4
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26

# linux/filter.h
BPF_LD_W_ABS, BPF_JGT_K, BPF_RET_K = 0x20, 0x25, 0x06
SKF_AD_RANDOM = 0xFFFFF000 + 56

HEAD = 40
"""Bytes of a packet that have both addresses: an IPv6 header."""

ENOUGH = 200
"""Packets between two questions that are enough to tell by."""

STEP = 4
"""By this the kernel hands over fewer, or more again."""

AT_ONCE = 500
"""Packets that are read before somebody else has a turn."""

Sample = tuple[bytes, int, bool]
"""The first bytes of a packet, its whole length, and whether it goes to a pod."""

Table = Sequence[tuple[int, int, int, str]]
"""Of each subnet the version of IP, its first bits, how many bits follow, and whose it is."""


def table(peers: Mapping[str, Sequence[str]]) -> Table:
    """The subnets of each machine, in the form that packets are compared with."""
    found = []
    for name, subnets in peers.items():
        for subnet in map(ipaddress.ip_network, subnets):
            rest = subnet.max_prefixlen - subnet.prefixlen
            found.append((subnet.version, int(subnet.network_address) >> rest, rest, name))
    return found


def other_end(head: bytes, to_pod: bool, subnets: Table) -> str:
    """Whose subnet a pod's packet comes from or goes to; "" for none of them."""
    version = head[0] >> 4 if head else 0
    if version == 4 and len(head) >= 20:
        address = head[12:16] if to_pod else head[16:20]
    elif version == 6 and len(head) >= 40:
        address = head[8:24] if to_pod else head[24:40]
    else:
        return ""
    number = int.from_bytes(address, "big")
    return next(
        (name for of, bits, rest, name in subnets if of == version and number >> rest == bits),
        "",
    )


class Takes(Protocol):
    """What hands over packets: a `Tap`."""

    index: int
    """The device's number."""

    def fileno(self) -> int:
        """Its descriptor."""

    def one_in(self, number: int) -> None:
        """Hand over one packet in so many."""

    def take(self) -> Iterator[Sample]:
        """What has come."""

    def lost(self) -> float:
        """By how much more has come than was handed over, since this was asked last: 1 where all was."""

    def close(self) -> None:
        """Hand over nothing more."""


class Tap:
    """Hands over packets of a device of this machine, which it and its peer on the other side have sent."""

    def __init__(self, device: str) -> None:
        """Raises `OSError`, also where there is no such device."""
        self.index = socket.if_nametoindex(device)
        # Without a link header; and no protocol, so that nothing comes before the filter is in its place.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setblocking(False)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.one_in(1)
        self._socket.bind((device, ETH_P_ALL))

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def one_in(self, number: int) -> None:
        """Hand over one packet in so many."""
        instructions = (
            (BPF_LD_W_ABS, 0, 0, SKF_AD_RANDOM),
            (BPF_JGT_K, 1, 0, 0xFFFFFFFF // number),
            (BPF_RET_K, 0, 0, HEAD),
            (BPF_RET_K, 0, 0, 0),
        )
        packed = b"".join(struct.pack("HBBI", *each) for each in instructions)
        buffer = ctypes.create_string_buffer(packed)
        program = struct.pack("HP", len(instructions), ctypes.addressof(buffer))  # struct sock_fprog
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def take(self) -> Iterator[Sample]:
        """What has come. Raises `OSError` where the device is gone."""
        for _ in range(AT_ONCE):
            try:
                head, extra, _, address = self._socket.recvmsg(HEAD, 64)
            except BlockingIOError:
                return
            length = len(head)
            for level, kind, value in extra:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    length = struct.unpack_from("3I", value)[1]  # struct tpacket_auxdata: tp_len
            if address[2] in (PACKET_HOST, PACKET_OUTGOING):
                yield head, length, address[2] == PACKET_OUTGOING

    def lost(self) -> float:
        """By how much more has come than there was room for, since this was asked last."""
        # struct tpacket_stats: what the filter has let through, and what of it found no room
        come, dropped = struct.unpack("2I", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return come / (come - dropped) if come > dropped else 1.0

    def close(self) -> None:
        """Hand over nothing more."""
        self._socket.close()


class Flows:
    """Bytes exchanged with each other machine since it was asked for first."""

    def __init__(self, device: str = "docker0", open_tap: Callable[[str], Takes] = Tap) -> None:
        self._device, self._open_tap = device, open_tap
        self._tap: Takes | None = None
        self._subnets: Table = ()
        self._known: dict[str, list[float]] = {}
        self._fresh: dict[str, list[float]] = {}
        """Since the last answer."""
        self._every, self._taken = 1, 0

    @property
    def waits_for(self) -> list[Takes]:
        """Where packets come."""
        return [self._tap] if self._tap is not None else []

    def want(self, peers: Mapping[str, Sequence[str]]) -> None:
        """Count what is exchanged with these, from now on."""
        self._subnets = table(peers)
        self._known = {name: self._known.get(name, [0.0, 0.0]) for name in peers}
        if self._tap is not None and self._index() != self._tap.index:
            self._close()
        if self._tap is None and peers:
            with contextlib.suppress(OSError):  # there is no docker0 yet: the next question tries again
                self._tap = self._open_tap(self._device)
                self._every = 1

    def hear(self) -> None:
        """Take the packets that have come."""
        try:
            for head, length, to_pod in self._tap.take() if self._tap is not None else ():
                self._taken += 1
                if name := other_end(head, to_pod, self._subnets):
                    self._fresh.setdefault(name, [0.0, 0.0])[0 if to_pod else 1] += length * self._every
        except OSError:  # the device is gone, or down
            self._close()
        if self._taken > ENOUGH:
            self._change(self._every * STEP)

    def told(self) -> dict[str, list[int]]:
        """Bytes received and sent, by machine."""
        more = self._tap.lost() if self._tap is not None else 1.0
        for name, counts in self._fresh.items():
            if name in self._known:
                self._known[name] = [
                    old + new * more for old, new in zip(self._known[name], counts, strict=True)
                ]
        self._fresh = {}
        if self._taken * STEP < ENOUGH and self._every > 1:
            self._change(self._every // STEP)
        self._taken = 0
        return {name: [round(count) for count in counts] for name, counts in self._known.items()}

    def _change(self, every: int) -> None:
        self._every, self._taken = every, 0
        if self._tap is not None:
            self._tap.one_in(every)

    def _index(self) -> int:
        try:
            return socket.if_nametoindex(self._device)
        except OSError:
            return 0

    def _close(self) -> None:
        if self._tap is not None:
            self._tap.close()
        self._tap = None
