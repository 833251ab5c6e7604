"""Which packets the kernel is told to take: what u32's keys, and the XDP program, say of real headers."""

import itertools
import struct
from functools import cache

import pytest

from lab.faults.impairment import Match, parse_match
from lab.faults.impairment.selector import ETH_P_IP, Key, Selector, selectors
from lab.faults.impairment.xdp import program, program_name
from tests.lab.impairment_packets import PACKETS, frame, is_meant

MATCHES = [
    parse_match(peers, protocol, port, direction)
    for peers in [(), ("192.168.199.52",), ("10.2.96.0/19", "192.168.199.53"), ("fd00::/64",), ("fd00::52",)]
    for protocol, port in [("", 0), ("udp", 0), ("tcp", 2379), ("", 8285), ("icmp", 0), ("ipip", 0)]
    for direction in ("out", "in")
]


def u32(selector: Selector, data: bytes) -> bool:
    """u32_classify of net/sched/cls_u32.c, for a filter of one protocol."""
    if struct.unpack_from("!H", data, 12)[0] != selector.ethertype:
        return False
    head = data[14:]
    return all(
        key.offset + 4 <= len(head)
        and not (struct.unpack_from("!I", head, key.offset)[0] ^ key.value) & key.mask
        for key in selector.keys
    )


@pytest.mark.parametrize("match", MATCHES, ids=str)
def test_exactly_the_packets_that_a_match_means_are_selected(match: Match):
    outgoing = match.direction.value == "out"
    chosen = selectors(match, outgoing=outgoing)
    for packet in PACKETS:
        found = any(u32(selector, frame(packet)) for selector in chosen)
        assert found == is_meant(match, packet, outgoing=outgoing), packet


def test_keys_fit_u32_whose_offsets_are_words():
    for match in MATCHES:
        for key in itertools.chain.from_iterable(it.keys for it in selectors(match, outgoing=True)):
            assert key.offset % 4 == 0
            assert key.value & ~key.mask == 0


PASSED, DROPPED, REDIRECTED = 2, 1, 4
"""linux/bpf.h, enum xdp_action: XDP_PASS, XDP_DROP, XDP_REDIRECT."""


@cache
def instructions(code: bytes) -> list[tuple[int, ...]]:
    """Opcode, registers, offset and immediate of each."""
    return list(struct.iter_unpack("<BBhi", code))


def run(code: bytes, data: bytes) -> tuple[int, int]:
    """The action, and the device, of a program: the part of BPF that ours is made of (RFC 9669), on x86."""
    begin, end = 1000, 1000 + len(data)
    registers = [0] * 11
    steps, place, device = instructions(code), 0, 0
    while True:
        opcode, pair, offset, number = steps[place]
        to, source = pair & 15, pair >> 4
        place += 1
        match opcode:
            case 0x61 if source == 1:
                registers[to] = {0: begin, 4: end}[offset]
            case 0x61 | 0x69:
                size = {0x61: 4, 0x69: 2}[opcode]
                at = registers[source] + offset - begin
                assert at >= 0
                assert at + size <= len(data), "the verifier would have refused this"
                registers[to] = int.from_bytes(data[at : at + size], "little")
            case 0xB7:
                registers[to] = number
            case 0xBF:
                registers[to] = registers[source]
            case 0x07:
                registers[to] += number
            case 0x54:
                registers[to] = registers[to] & number & 0xFFFFFFFF
            case 0x2D:
                place += offset if registers[to] > registers[source] else 0
            case 0x56:
                place += offset if registers[to] != number & 0xFFFFFFFF else 0
            case 0x85:
                assert number == 23, "bpf_redirect"
                device, registers[0] = registers[1], REDIRECTED
            case 0x95:
                return registers[0], device
            case _:
                raise AssertionError(f"opcode {opcode:#x}")


@pytest.mark.parametrize("match", MATCHES[1::2], ids=str)
def test_the_xdp_program_takes_what_the_filters_would(match: Match):
    chosen = selectors(match, outgoing=False)
    drops, redirects = program(chosen, (), 0), program((), chosen, 7)
    for packet in PACKETS:
        meant = is_meant(match, packet, outgoing=False)
        assert run(drops, frame(packet))[0] == (DROPPED if meant else PASSED), packet
        taken = run(redirects, frame(packet))
        assert taken == ((REDIRECTED, 7) if meant else (PASSED, 0)), packet


def test_what_is_cut_is_not_taken_elsewhere():
    everything = selectors(parse_match(), outgoing=False)
    udp = selectors(parse_match(protocol="udp"), outgoing=False)
    code = program(udp, everything, 7)
    plain = [packet for packet in PACKETS if not packet.fragment and not packet.options]
    assert {run(code, frame(packet)) for packet in plain if packet.protocol == "udp"} == {(DROPPED, 0)}
    assert {run(code, frame(packet)) for packet in plain if packet.protocol == "tcp"} == {(REDIRECTED, 7)}


@pytest.mark.parametrize("size", [0, 13, 14, 33])
def test_a_frame_that_ends_early_is_left_alone(size):
    key = Selector(ETH_P_IP, (Key(16, 0, 0xFFFFFFFF),))
    assert run(program([key], (), 0), (bytes(12) + b"\x08\x00" + bytes(40))[:size]) == (PASSED, 0)


def test_a_program_is_known_by_its_name():
    codes = [program((), selectors(match, outgoing=False), 7) for match in MATCHES[1::2]]
    names = {program_name(code) for code in codes}
    assert len(names) == len(codes)
    assert all(len(name) < 16 for name in names)  # BPF_OBJ_NAME_LEN of linux/bpf.h
