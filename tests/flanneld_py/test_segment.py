"""Segmentation and coalescing, against a slow reference that is written from the RFCs word by word.

Each is done by Python and by the compiled core, where there is one, and has to come out the same.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath import coalesce, core, segment, vnet
from flanneld_py.datapath.coalesce import Run
from flanneld_py.datapath.packet import decrement_ttl
from flanneld_py.datapath.segment import Unsound, longest
from flanneld_py.datapath.sums import row_sums, sum_of
from flanneld_py.datapath.vnet import VnetHeader
from tests.effort import examples
from tests.flanneld_py.test_packet import by_hand

SOURCE, DESTINATION = bytes([10, 2, 35, 2]), bytes([10, 2, 52, 2])
TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))  # RFC 9293, 3.1; RFC 3168


CORE = core.load()


def segments(header: VnetHeader, packet: memoryview) -> tuple[bytes, int]:
    """By both, if both agree."""
    try:
        whole, size = segment.segments(header, packet)
    except Unsound:
        if CORE is not None:
            with pytest.raises(Unsound):
                CORE.segments(header, memoryview(bytearray(packet)))
        raise
    if CORE is not None:
        CORE.forget()
        found, each = CORE.segments(header, memoryview(bytearray(packet)))
        assert (bytes(found), each) == (bytes(whole), size)
    return bytes(whole), size


def runs(train: memoryview, size: int) -> list[Run]:
    """By both, if both agree."""
    found = list(coalesce.runs(train, size))
    if CORE is not None:
        same = list(CORE.runs(memoryview(bytearray(train)), size))
        assert [contents(run) for run in same] == [contents(run) for run in found]
    return found


def contents(run: Run) -> tuple[bytes, bytes, int, int]:
    """All that is in a run; where its parts begin is its own affair."""
    return bytes(run.first), b"".join(map(bytes, (run.header, *run.parts))), run.packets, run.size


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet, field by field (RFC 791, 9293, 768)."""

    payload: bytes
    protocol: int = TCP
    tos: int = 0
    ident: int = 1
    fragment: int = 0x4000
    ttl: int = 64
    options: bytes = b""
    seq: int = 1000
    ack: int = 2000
    flags: int = ACK
    window: int = 500
    tcp_options: bytes = bytes.fromhex("0101080a0000000100000002")  # RFC 7323's timestamps
    ports: tuple[int, int] = (40000, 3306)

    def transport(self) -> bytes:
        """With a checksum of 0."""
        if self.protocol == UDP:
            return struct.pack("!HHHH", *self.ports, 8 + len(self.payload), 0) + self.payload
        offset = 5 + len(self.tcp_options) // 4
        head = struct.pack(
            "!HHIIBBHHH", *self.ports, self.seq, self.ack, offset << 4, self.flags, self.window, 0, 0
        )
        return head + self.tcp_options + self.payload

    def built(self, *, check: int | None = None) -> bytes:
        """As on a wire; with another checksum of TCP or UDP if one is given."""
        body = self.transport()
        pseudo = SOURCE + DESTINATION + struct.pack("!BBH", 0, self.protocol, len(body))
        value = by_hand(pseudo + body) if check is None else check
        if self.protocol == UDP and check is None:
            value = value or 0xFFFF
        at = 16 if self.protocol == TCP else 6
        body = body[:at] + value.to_bytes(2) + body[at + 2 :]
        return self.header(len(body)) + body

    def header(self, length: int) -> bytes:
        head = struct.pack(
            "!BBHHHBBH4s4s", 0x45 + len(self.options) // 4, self.tos, 20 + len(self.options) + length,
            self.ident, self.fragment, self.ttl, self.protocol, 0, SOURCE, DESTINATION,
        ) + self.options  # fmt: skip
        return head[:10] + by_hand(head).to_bytes(2) + head[12:]

    def partial(self) -> bytes:
        """With the sum of the pseudo-header for a checksum, as the kernel leaves it to a device."""
        body = self.transport()
        pseudo = SOURCE + DESTINATION + struct.pack("!BBH", 0, self.protocol, len(body))
        return self.built(check=by_hand(pseudo) ^ 0xFFFF)

    def parts(self, size: int) -> "list[Packet]":
        """What it stands for as a super-packet: the kernel's rules, of which RFC 3168 has CWR's."""
        pieces = [self.payload[at : at + size] for at in range(0, len(self.payload), size)]
        made = []
        for at, piece in enumerate(pieces):
            flags = self.flags if at == 0 else self.flags & ~CWR
            if at != len(pieces) - 1:
                flags &= ~(PSH | FIN)
            made.append(
                replace(
                    self,
                    payload=piece,
                    flags=flags,
                    ident=(self.ident + at) % 65536,
                    seq=(self.seq + at * size) % 2**32,
                    ttl=self.ttl - 1,
                )
            )
        return made

    def vnet(self, size: int) -> VnetHeader:
        ip = 20 + len(self.options)
        if self.protocol == UDP:
            return VnetHeader(vnet.NEEDS_CSUM, vnet.UDP_L4, ip + 8, size, ip, 6)
        return VnetHeader(vnet.NEEDS_CSUM, vnet.TCPV4, ip + 20 + len(self.tcp_options), size, ip, 16)


NUMBERS = st.integers(0, 2**32 - 1)
PACKETS = st.builds(
    Packet,
    payload=st.binary(min_size=1, max_size=40).flatmap(
        lambda seed: st.integers(1, 9000).map(lambda size: (seed * (size // len(seed) + 1))[:size])
    ),
    protocol=st.sampled_from([TCP, UDP]),
    tos=st.integers(0, 255),
    ident=st.integers(0, 65535),
    fragment=st.sampled_from([0, 0x4000]),
    ttl=st.integers(2, 255),
    options=st.sampled_from([b"", bytes.fromhex("94040000"), b"\x01" * 40]),
    seq=NUMBERS,
    ack=NUMBERS,
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN | PSH, ACK | CWR, ACK | ECE | CWR | PSH]),
    window=st.integers(0, 65535),
    tcp_options=st.sampled_from([b"", bytes.fromhex("0101080a0000000100000002"), b"\x01" * 40]),
)


def joined(header: VnetHeader, packet: bytes) -> list[bytes]:
    whole, size = segments(header, memoryview(packet))
    return [bytes(whole[at : at + size]) for at in range(0, len(whole), size)]


@examples(20)
@given(PACKETS, st.integers(1, 1460))
def test_a_super_packet_becomes_what_the_rfcs_say(packet: Packet, size: int) -> None:
    header, whole = packet.vnet(max(size, len(packet.payload) // 128)), packet.partial()
    size = header.gso_size
    wanted = [part.built() for part in packet.parts(size)]
    assert joined(header, whole) == wanted
    assert longest(header, whole) == max(map(len, wanted))


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_checksums_are_right_whatever_their_sum(protocol: int) -> None:
    """Also where it is 0, which UDP writes as 65535 and TCP as 0."""
    base = Packet(bytes(8), protocol, tcp_options=b"")
    body = base.built()
    at = 20 + (16 if protocol == TCP else 6)
    missing = int.from_bytes(body[at : at + 2])
    single = VnetHeader(vnet.NEEDS_CSUM, 0, 0, 0, 20, at - 20)
    for seed in range(0, 65536, 257):
        packet = replace(
            base, payload=missing.to_bytes(2) + seed.to_bytes(2) + (65535 - seed).to_bytes(2) * 1 + bytes(2)
        )
        assert joined(packet.vnet(2), packet.partial()) == [part.built() for part in packet.parts(2)], seed
        assert joined(single, packet.partial()) == [replace(packet, ttl=63).built()], seed


@given(PACKETS)
def test_a_packet_by_itself_gets_its_checksum_if_it_has_none(packet: Packet) -> None:
    ip = 20 + len(packet.options)
    header = VnetHeader(vnet.NEEDS_CSUM, 0, 0, 0, ip, 16 if packet.protocol == TCP else 6)
    assert joined(header, packet.partial()) == [replace(packet, ttl=packet.ttl - 1).built()]
    assert joined(VnetHeader(), packet.built(check=77)) == [bytes(decrement_ttl(packet.built(check=77)))]


@given(st.binary(max_size=80), st.binary(min_size=10, max_size=10))
def test_junk_is_segmented_or_refused(packet: bytes, header: bytes) -> None:
    view, read = memoryview(packet), VnetHeader.of(header)
    assert 0 <= longest(read, view) <= len(packet)
    if len(packet) < 20 or packet[8] == 0:
        return
    with suppress(Unsound):
        assert len(segments(read, view)[0]) >= 20


@given(st.integers(1, 5), st.integers(1, 40), st.binary(min_size=240, max_size=240))
def test_sums_of_rows_are_those_of_each(rows: int, size: int, data: bytes) -> None:
    found = row_sums(data, 3, rows, size)
    assert [int(value) % 65535 for value in found] == [
        sum_of(data[3 + at * size : 3 + (at + 1) * size]) for at in range(rows)
    ]
    assert sum_of(data) == (by_hand(data) ^ 0xFFFF) % 65535


# Coalescing


def received(run: Run) -> list[bytes]:
    """The packets that the kernel sees in what is written to the device."""
    header, packet = VnetHeader.of(run.header), b"".join(bytes(part) for part in run.parts)
    if header == VnetHeader():
        return [packet]
    # The kernel would segment it as ours does, which other tests hold to the RFCs; but not lower its TTL.
    raised = bytearray(packet)
    raised[8] += 1
    raised[10:12] = bytes(2)
    ip = (packet[0] & 15) * 4
    raised[10:12] = by_hand(bytes(raised[:ip])).to_bytes(2)
    return joined(header, bytes(raised))


def lowered(packet: bytes) -> bytes:
    return bytes(decrement_ttl(packet))


@examples(20)
@given(PACKETS, st.integers(1, 1460))
def test_a_train_of_segments_comes_as_few_packets_that_are_the_same(packet: Packet, size: int) -> None:
    size = max(size, len(packet.payload) // 60 + 1)
    sent = [part.built() for part in packet.parts(size)]
    found = runs(memoryview(b"".join(sent)), len(sent[0]))
    assert [part for run in found for part in received(run)] == list(map(lowered, sent))
    assert sum(run.packets for run in found) == len(sent)
    assert sum(run.size for run in found) == sum(map(len, sent))
    plain = not packet.options and len(sent) > 2 and not packet.flags & CWR
    if plain:
        assert len(found) == 1


def coalesced(*packets: bytes) -> list[Run]:
    assert all(len(packet) == len(packets[0]) for packet in packets[:-1])
    return runs(memoryview(b"".join(packets)), len(packets[0]))


def test_a_run_is_written_as_the_kernel_wants_it():
    """struct virtio_net_hdr; a checksum that is left to the device holds the sum of the pseudo-header."""
    parts = Packet(bytes(range(250)), flags=ACK | PSH).parts(50)
    (run,) = coalesced(*(part.built() for part in parts))
    assert VnetHeader.of(run.header) == VnetHeader(vnet.NEEDS_CSUM, vnet.TCPV4, 52, 50, 20, 16)
    whole = replace(Packet(bytes(range(250)), flags=ACK | PSH), ttl=62)
    assert b"".join(map(bytes, run.parts)) == whole.partial()
    assert all(memoryview(part).contiguous for part in run.parts)  # as writev(2) takes it
    assert bytes(run.first) == parts[0].built()


SIX = [part.built() for part in Packet(bytes(range(240))).parts(40)]


@pytest.mark.parametrize(
    ("alter", "lengths"),
    [
        (lambda part: part.built(check=1), [2, 1, 3]),  # a wrong checksum
        (lambda part: replace(part, seq=part.seq + 1).built(), [2, 1, 3]),
        (lambda part: replace(part, flags=ACK | PSH).built(), [3, 3]),
        (lambda part: replace(part, flags=ACK | URG).built(), [2, 1, 3]),
        (lambda part: replace(part, flags=ACK | SYN).built(), [2, 1, 3]),
        (lambda part: replace(part, flags=ACK | RST).built(), [2, 1, 3]),
        (lambda part: replace(part, flags=ACK | CWR).built(), [2, 1, 3]),
        (lambda part: replace(part, flags=ACK | ECE).built(), [2, 1, 3]),
        (lambda part: replace(part, ack=1).built(), [2, 1, 3]),
        (lambda part: replace(part, window=1).built(), [2, 1, 3]),
        (lambda part: replace(part, tos=1).built(), [2, 1, 3]),
        (lambda part: replace(part, ttl=9).built(), [2, 1, 3]),
        (lambda part: replace(part, fragment=0).built(), [2, 1, 3]),
        (lambda part: replace(part, fragment=0x6000).built(), [2, 1, 3]),
        (lambda part: replace(part, ports=(40001, 3306)).built(), [2, 1, 3]),
        (lambda part: replace(part, tcp_options=b"\x01" * 12).built(), [2, 1, 3]),
        (lambda part: part.built()[:10] + b"\0\0" + part.built()[12:], [2, 1, 3]),  # the IP header's checksum
        (lambda part: b"\x60" + part.built()[1:], [2, 1, 3]),
        (lambda part: part.built()[:3] + b"\xff" + part.built()[4:], [2, 1, 3]),
    ],
)
def test_what_does_not_belong_together_is_not_joined(alter, lengths) -> None:
    parts = Packet(bytes(range(240))).parts(40)
    packets = [part.built() for part in parts]
    packets[2] = alter(parts[2])
    found = coalesced(*packets)
    assert [run.packets for run in found] == lengths
    assert [part for run in found for part in received(run)] == list(map(lowered, packets))


def test_segments_of_two_connections_in_one_train_are_joined_each():
    other = [part.built() for part in Packet(bytes(range(240)), ports=(40009, 3306)).parts(40)]
    assert [run.packets for run in coalesced(*SIX, *other)] == [6, 6]


def test_without_df_the_identification_must_count_up():
    parts = Packet(bytes(240), fragment=0).parts(40)
    assert [run.packets for run in coalesced(*(part.built() for part in parts))] == [6]
    parts[3] = replace(parts[3], ident=500)
    assert [run.packets for run in coalesced(*(part.built() for part in parts))] == [3, 1, 2]


def test_datagrams_without_a_checksum_are_not_joined():
    parts = Packet(bytes(240), UDP).parts(40)
    assert [run.packets for run in coalesced(*(part.built() for part in parts))] == [6]
    assert [run.packets for run in coalesced(*(part.built(check=0) for part in parts))] == [1] * 6


def test_a_datagram_without_anything_is_a_packet_for_somebody_else_to_refuse():
    assert [bytes(run.first) for run in runs(memoryview(b""), 0)] == [b""]


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_packets_of_one_byte_are_joined_into_what_can_be_written(protocol):
    (run,) = coalesced(*(part.built() for part in Packet(bytes(10), protocol).parts(1)))
    assert run.packets == 10
    assert all(memoryview(part).contiguous for part in run.parts)


def test_packets_whose_ttl_is_zero_are_not_joined():
    parts = Packet(bytes(range(240))).parts(40)
    packets = [part.built() if at < 2 else replace(part, ttl=0).built() for at, part in enumerate(parts)]
    found = coalesced(*packets)
    assert [run.packets for run in found] == [2, 1, 1, 1, 1]
    assert [bytes(run.first) for run in found[1:]] == packets[2:]


def test_no_run_is_longer_than_a_packet_can_be():
    sent = [part.built() for part in Packet(bytes(63 * 1040)).parts(1040)]
    found = coalesced(*sent)
    assert all(run.size - 52 * (run.packets - 1) <= 65535 for run in found)
    assert [part for run in found for part in received(run)] == list(map(lowered, sent))


@examples(25)
@given(
    st.lists(
        st.one_of(st.binary(max_size=92), st.integers(0, 5).map(SIX.__getitem__), PACKETS.map(Packet.built)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 200),
    st.data(),
)
def test_nothing_unverified_is_joined_whatever_comes(
    packets: list[bytes], size: int, data: st.DataObject
) -> None:
    whole = bytearray(b"".join(packets))
    for _ in range(data.draw(st.integers(0, 3))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(0, 255))
    step = data.draw(st.sampled_from([size, 92, len(SIX[0])]))
    found = runs(memoryview(bytes(whole)), step)
    each = step if 0 < step < len(whole) else len(whole)
    sent = [bytes(whole[at : at + each]) for at in range(0, len(whole), each or 1)] or [b""]
    at = 0
    for run in found:
        mine = sent[at : at + run.packets]
        at += run.packets
        if run.packets == 1:
            assert run.header == vnet.NOTHING
            continue
        for packet in mine:
            assert by_hand(packet[:20]) == 0
            assert (
                by_hand(packet[12:20] + bytes([0, packet[9]]) + (len(packet) - 20).to_bytes(2) + packet[20:])
                == 0
            )
        assert received(run) == list(map(lowered, mine))
    assert at == len(sent)
