"""Why the kernel drops probes, by its own reasons: its types, the program, what it tells and what is said."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lab.trace.drop_reasons import Dropped, read
from lab.trace.gather import Followed
from lab.trace.inside.btf import Types
from lab.trace.inside.drop_program import RECORD, SNAP, Offsets, program
from lab.trace.marks import Marks
from lab.trace.model import Point, Reason
from lab.trace.witness import Kernel, of_reasons
from tests.lab.trace_world import ONE, TWO, World, world

INT, STRUCT, UNION, ENUM, TYPEDEF, CONST = 1, 4, 5, 6, 8, 10
"""linux/btf.h."""


Rows = Sequence[tuple[int, ...]]


class Written:
    """Types, as a kernel writes them."""

    def __init__(self) -> None:
        self.types, self.texts = b"", b"\0"

    def text(self, words: str) -> int:
        if not words:
            return 0
        self.texts += words.encode() + b"\0"
        return len(self.texts) - len(words) - 1

    def add(
        self, kind: int, name: str, last: int, rows: Sequence[tuple[int, ...]] = (), packed: int = 0
    ) -> None:
        self.types += struct.pack("=III", self.text(name), packed << 31 | kind << 24 | len(rows), last)
        self.types += b"".join(struct.pack(f"={len(row)}I", *row) for row in rows)

    @property
    def data(self) -> bytes:
        head = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.texts)
        )
        return head + self.types + self.texts


def types() -> Types:
    """Structures with what the kernel's have: members without a name, bit fields, other names for types."""
    it = Written()
    it.add(INT, "int", 4, [(32,)])  # 1
    it.add(STRUCT, "ns_common", 8, [(it.text("inum"), 1, 32)])  # 2
    it.add(STRUCT, "net", 64, [(it.text("ns"), 4, 96)])  # 3
    it.add(CONST, "", 2)  # 4
    it.add(
        STRUCT, "", 16, [(it.text("bit"), 1, 1 << 24 | 3), (it.text("network_header"), 1, 16 << 24 | 48)], 1
    )
    it.add(UNION, "", 16, [(0, 5, 0), (it.text("other"), 1, 0)])  # 6
    it.add(TYPEDEF, "dev", 1)  # 7: a type may have a member's name
    it.add(STRUCT, "sk_buff", 32, [(it.text("dev"), 7, 64), (0, 6, 128)])  # 8
    names = ("SKB_NOT_DROPPED_YET", "SKB_DROP_REASON_NO_SOCKET")
    it.add(ENUM, "skb_drop_reason", 4, [(it.text(name), number) for number, name in enumerate(names)])
    return Types(it.data)


def test_members_are_found_wherever_they_are():
    found = types()
    assert found.offset("sk_buff", "dev") == 8
    assert found.offset("sk_buff", "network_header") == 16 + 6
    assert found.offset("net", "ns", "inum") == 12 + 4
    assert found.values("skb_drop_reason")[1] == "SKB_DROP_REASON_NO_SOCKET"


def test_what_a_kernel_does_not_have_is_said():
    with pytest.raises(ValueError, match=r"struct sk_buff has no ns\.inum"):
        types().offset("sk_buff", "ns", "inum")
    with pytest.raises(ValueError, match="this kernel has no net_device"):
        types().offset("net_device", "nd_net")
    with pytest.raises(ValueError, match="no BTF"):
        Types(b"\0" * 64)


OFFSETS = Offsets(head=16, network_header=8, dev=24, net=40, number=12)
MARK = 0xD39AE1CF
STACK, CONTEXT, SKB, HEAD, DEVICE, NET = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000


def run(code: bytes, packet: bytes, device: int = DEVICE) -> list[bytes]:
    """What a program keeps: the instructions of linux/bpf.h that it has, on a memory of five places."""
    memory = {
        STACK - 512: bytearray(512),
        CONTEXT: bytearray(struct.pack("=QQQ", SKB, 0, 42)),
        SKB: bytearray(struct.pack("=QHxxxxxxQQ", 0, 14, HEAD, device)),
        HEAD: bytearray(bytes(14) + packet + bytes(512)),
        DEVICE: bytearray(bytes(40) + struct.pack("=Q", NET)),
        NET: bytearray(bytes(12) + struct.pack("=I", 4026532189)),
    }

    def place(at: int, size: int) -> tuple[bytearray, int] | None:
        found = (
            (block, at - base) for base, block in memory.items() if base <= at <= base + len(block) - size
        )
        return next(found, None)

    def load(at: int, size: int) -> int:
        block, start = place(at, size) or (bytearray(size), 0)
        return int.from_bytes(block[start : start + size], "little")

    def store(at: int, data: bytes) -> None:
        found = place(at, len(data))
        assert found is not None
        found[0][found[1] : found[1] + len(data)] = data

    kept: list[bytes] = []
    registers = [0] * 11
    registers[1], registers[10] = CONTEXT, STACK
    instructions = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    at = 0
    while True:
        op, both, offset, value = instructions[at]
        to, source = both & 15, both >> 4
        at += 1
        match op:
            case 0x61 | 0x69 | 0x79:
                size = {0x61: 4, 0x69: 2, 0x79: 8}[op]
                assert (registers[source] + offset) % size == 0, "the verifier wants the stack aligned"
                registers[to] = load(registers[source] + offset, size)
            case 0x63:
                store(registers[to] + offset, struct.pack("<I", registers[source] & 0xFFFFFFFF))
            case 0xB7:
                registers[to] = value
            case 0xBF:
                registers[to] = registers[source]
            case 0x07:
                registers[to] += value
            case 0x0F:
                registers[to] += registers[source]
            case 0x18:
                registers[to], at = value, at + 1
            case 0x05:
                at += offset
            case 0x55 | 0x15:
                at += offset if (registers[to] == value) == (op == 0x15) else 0
            case 0x85 if value == 113:
                found = place(registers[3], registers[2])
                data = found[0][found[1] : found[1] + registers[2]] if found else bytes(registers[2])
                store(registers[1], bytes(data))
            case 0x85 if value == 87:
                assert registers[1] == 7, "the map's descriptor"
                block, start = place(registers[2], RECORD) or (bytearray(), 0)
                kept.append(bytes(block[start : start + RECORD]))
            case 0x95:
                return kept
            case _:
                raise AssertionError(f"unknown instruction {op:#x}")


def marked(at: int, value: int = MARK) -> bytes:
    return bytes(at) + struct.pack("!I", value) + bytes(300)


@pytest.mark.parametrize("place", Marks(MARK, "icmp", 4).offsets()[:9])
def test_the_program_keeps_what_bears_the_mark_with_the_reason_and_the_namespace(place):
    marks = Marks(MARK, "icmp", 4)
    code = program(OFFSETS, marks.values(), marks.offsets(), 7)
    packet = marked(place)
    (kept,) = run(code, packet)
    assert struct.unpack_from("=II", kept) == (42, 4026532189)
    assert kept[8:] == packet[:SNAP]
    assert run(code, marked(place, MARK + 1)) == []
    assert run(code, marked(place + 1)) == []


def test_the_program_knows_any_of_several_words_and_a_packet_without_a_device():
    marks = Marks(MARK, "tcp", 4, largest=8)
    code = program(OFFSETS, marks.values(), marks.offsets(), 7)
    for value in marks.values():
        (kept,) = run(code, marked(24, value), device=0)
        assert struct.unpack_from("=II", kept) == (42, 0)


RECORDED = json.loads((Path(__file__).parent / "kernel_told.json").read_text())["drops"]
"""What the program has told on Linux 6.18 of probes that a policy of IPsec has blocked."""


def test_what_the_program_tells_is_read():
    told = list(read(TWO, RECORDED["told"], Marks(RECORDED["mark"], "icmp", 4)))
    assert [(it.kind, it.reason, it.inode) for it in told] == [("probe", "XFRM_POLICY", 4026532189)] * 2
    assert told[0].number == 0
    assert list(read(TWO, RECORDED["told"], Marks(MARK, "icmp", 4))) == []


def lost(leg: str, point: Point, _: int) -> bool:
    return (leg, point.machine, point.device) == ("there", TWO, "docker0")


def dropped(reasons: Mapping[int, str], inode: int) -> list[Dropped]:
    return [Dropped(TWO, "probe", number, reason, inode) for number, reason in reasons.items()]


def numbered() -> World:
    it = world("vxlan")
    for number, name in enumerate((ONE, TWO), 1):
        here = it.machines[name]
        spaces = {
            inside: replace(space, inode=10 * number + len(inside))
            for inside, space in here.namespaces.items()
        }
        it.machines[name] = replace(here, namespaces=spaces)
    return it


def test_what_nothing_explains_has_the_kernels_reason():
    it = numbered()
    said = dropped(dict.fromkeys(range(15), "XFRM_POLICY") | dict.fromkeys(range(15, 20), "QDISC_DROP"), 20)
    (only,) = it.trace(lost, kernel=Kernel(reasons=of_reasons(said, it.machines))).diagnoses
    assert only.fault.reason is Reason.LOST
    told = "the kernel's own reason: XFRM_POLICY on minion2 (of 15), QDISC_DROP on minion2 (of 5)"
    assert only.fault.because.endswith(told)


def test_a_copy_that_was_dropped_elsewhere_or_before_gives_no_reason():
    it = numbered()
    copies = dropped(dict.fromkeys(range(20), "NOT_SPECIFIED"), 20)
    elsewhere = dropped(dict.fromkeys(range(10), "XFRM_POLICY"), 13)  # the sender's pod
    unknown = dropped(dict.fromkeys(range(10, 20), "NO_SOCKET"), 0)
    reasons = of_reasons([*copies, *elsewhere, *unknown], it.machines)
    (only,) = it.trace(lost, kernel=Kernel(reasons=reasons)).diagnoses
    assert only.fault.because.endswith("the kernel's own reason: NO_SOCKET (of 10)")


def test_what_is_dropped_where_the_host_connects_the_machines_is_told_so():
    it = numbered()
    reasons = of_reasons(dropped(dict.fromkeys(range(20), "NETFILTER_DROP"), 99), it.machines)
    (only,) = it.trace(lost, kernel=Kernel(reasons=reasons)).diagnoses
    assert only.fault.because.endswith("NETFILTER_DROP outside of the machines (of 20)")


def test_what_the_kernel_does_not_tell_is_noted_with_what_it_would_take():
    found = Followed({(TWO, ""): "Operation not permitted"}, {ONE: "Operation not permitted"})
    rules, reasons = found.notes
    assert rules == f"{TWO}: the kernel does not tell which rules packets meet: Operation not permitted"
    assert reasons.startswith(
        f"{ONE}: the kernel does not tell why it drops packets: Operation not permitted; "
    )
    assert Followed({}, {}).notes == []
