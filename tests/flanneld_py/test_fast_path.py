"""The fast path without a kernel: its object, its maps' layouts, and what is done where it cannot be had."""

import errno
import math
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanneld_py.datapath import fast_path
from flanneld_py.datapath import tunnel as carrier_module
from flanneld_py.datapath.fast_path import layouts
from flanneld_py.datapath.fast_path.image import Image, MapShape, Reference, read_image
from flanneld_py.datapath.forward import ForwardTable, Mandate, Peer
from flanneld_py.datapath.tun import Tun
from flanneld_py.datapath.tunnel import Outside, Tunnel
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor.statistics import OTHERS, Flow, Statistics

SUBNET = IPv4Network("10.2.35.0/24")
THEIRS = IPv4Network("10.2.52.0/24")
PEER = Peer(("192.168.199.53", 8285), 1472)
MANDATE = Mandate(IPv4Address("10.2.35.0"), SUBNET, ForwardTable(), until=5.5)
PLACE = layouts.Place(IPv4Address("192.168.199.52"), 8285, 7, 2)

# The object


def elf(
    sections: list[tuple[str, int, bytes, int, int]], symbols: list[tuple[str, int, int]], machine: int = 247
) -> bytes:
    """A relocatable ELF file (elf(5)): of each section name, type, content, link and info; of each symbol
    name, section and value. Machine 247 is EM_BPF. The first section is empty, the last .shstrtab."""
    names, strings = b"\0", b"\0"
    table = bytes(24)
    for name, section, value in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 0x11, 0, section, value, 0)
        strings += name.encode() + b"\0"
    sections = [("", 0, b"", 0, 0), *sections]
    for name, kind, content in ((".symtab", 2, table), (".strtab", 3, strings), (".shstrtab", 3, b"")):
        sections.append((name, kind, content, len(sections) + 1 if kind == 2 else 0, 1))
    headers, body, at = b"", b"", 64
    for name, kind, content, link, info in sections:
        offset = len(names)
        names += name.encode() + b"\0"
        if name == ".shstrtab":
            content = names
        size = 24 if kind == 2 else 16 if kind == 9 else 0
        headers += struct.pack("<IIQQQQIIQQ", offset, kind, 0, 0, at, len(content), link, info, 8, size)
        body, at = body + content, at + len(content)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQI", 1, machine, 1, 0, 0, at, 0)
    head += struct.pack("<HHHHHH", 64, 0, 0, 64, len(sections), len(sections) - 1)
    return head + body + headers


LOAD = struct.pack("<BBhi", 0x18, 0x01, 0, 0) + bytes(8)  # r1 = a 64-bit immediate, which a map's becomes
LEAVE = struct.pack("<BBhi", 0x95, 0, 0, 0)
SMALL = elf(
    [
        ("tcx/egress", 1, LEAVE + LOAD, 0, 0),
        (".reltcx/egress", 9, struct.pack("<QQ", 8, 2 << 32 | 1), 5, 1),
        ("maps", 1, struct.pack("<5I", 2, 4, 40, 1, 0) + struct.pack("<5I", 11, 8, 8, 9, 1), 0, 0),
    ],
    [("first", 3, 0), ("second", 3, 20)],
)


def test_maps_programs_and_references_are_read_from_an_object():
    image = read_image(SMALL)
    assert image.maps == {"first": MapShape(2, 4, 40, 1, 0), "second": MapShape(11, 8, 8, 9, 1)}
    assert image.programs == {"tcx/egress": LEAVE + LOAD}
    assert image.references == {"tcx/egress": (Reference(8, "second"),)}


def test_a_reference_to_a_map_becomes_its_descriptor():
    code = read_image(SMALL).instructions("tcx/egress", {"first": 5, "second": 77})
    # struct bpf_insn: opcode, dst_reg and src_reg, off, imm; source 1 is BPF_PSEUDO_MAP_FD.
    assert code[8:16] == struct.pack("<BBhi", 0x18, 0x11, 0, 77)
    assert code[:8] + code[16:] == LEAVE + bytes(8)


@pytest.mark.parametrize("junk", [b"", b"\x7fELF", SMALL[:100], elf([("tcx/egress", 1, LEAVE, 0, 0)], [])])
def test_what_is_no_such_object_is_refused(junk):
    with pytest.raises(ValueError, match="not a BPF object"):
        read_image(junk)


def test_the_compiled_object_has_all_programs_and_the_layouts_sizes():
    compiled = Path(fast_path.__file__).with_name(fast_path.OBJECT)
    if not compiled.exists():
        pytest.skip("there was no clang to compile it")
    image = read_image(compiled.read_bytes())
    assert set(image.programs) == {"tcx/egress", "tcx/ingress", "tcx/inlet"}
    shapes = {name: (shape.key_size, shape.value_size) for name, shape in image.maps.items()}
    assert shapes == layouts.SIZES


# What the programs refuse, and what is refused to them

ARPHRD_ETHER = 1  # linux/if_arp.h
SOURCE = Path(fast_path.__file__).with_name("fast_path.c").read_text()


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def test_no_packet_ends_uncounted():
    """Who drops one says why: the action stands in `refuse` alone, beside its definition."""
    code = without_comments(SOURCE)
    (refuse,) = re.findall(r"^INLINE int refuse\(.*?^}$", code, re.DOTALL | re.MULTILINE)
    assert refuse.count("TCX_DROP") == 1
    assert code.count("TCX_DROP") == 2
    assert "TC_ACT_SHOT" not in code


def test_no_refusal_of_the_kernel_is_overlooked():
    """What a helper returns is looked at, but for the one that only lets go."""
    calls = re.findall(r"[;{})]\s*(bpf_\w+)\(", without_comments(SOURCE))
    assert set(calls) == {"bpf_sk_release"}


def test_reasons_have_the_same_names_and_order_in_c():
    (names,) = re.findall(r"^enum drop { (.*), DROPS };$", SOURCE, re.MULTILINE)
    assert [getattr(layouts, name) for name in names.split(", ")] == list(layouts.DROPS)
    assert len({drop.reason for drop in layouts.DROPS}) == len(layouts.DROPS)


# Layouts


def test_a_mandate_is_laid_out_as_in_c():
    """until in ns, what the programs remember, address, subnet, netmask (as on the wire), tun, underlay,
    port (as on the wire), check, inlet's port (as on the wire), and 6 bytes that fill it up."""
    assert layouts.mandate(MANDATE, PLACE) == (
        struct.pack("<QQ", 5_500_000_000, 0)
        + bytes([192, 168, 199, 52]) + bytes([10, 2, 35, 0]) + bytes([255, 255, 255, 0])
        + struct.pack("<II", 7, 2) + struct.pack(">H", 8285) + struct.pack("<H", 1)
        + bytes(8)
    )  # fmt: skip
    assert layouts.mandate(replace(MANDATE, check_source=False), PLACE)[-10:] == bytes(10)
    assert layouts.mandate(MANDATE, replace(PLACE, inlet=4790))[-8:] == struct.pack(">H6x", 4790)


def test_a_reservation_has_no_end():
    (until,) = struct.unpack_from("<Q", layouts.mandate(replace(MANDATE, until=math.inf), PLACE))
    assert until > 100 * 365 * 86400 * 10**9


def test_peers_are_laid_out_as_in_c():
    assert layouts.prefix(THEIRS) == struct.pack("<I", 24) + bytes([10, 2, 52, 0])
    node = bytes([192, 168, 199, 53])
    assert layouts.peer(PEER, fast=True) == node + struct.pack("<HH", 1472, 1)
    assert layouts.peer(PEER, fast=False) == node + struct.pack("<HH", 1472, 0)


def test_counters_are_the_sum_of_all_cpus():
    """After the counters a struct flow has what its CPU remembers: a tick, an Ethernet header, 2 bytes."""
    cpus = [struct.pack("<4Q", 1, 2, 3, 4) + bytes(24), struct.pack("<4Q", 10, 20, 30, 40) + b"\xff" * 24]
    assert layouts.flow(cpus) == layouts.Counts(sent=Flow(11, 22), received=Flow(33, 44))
    assert layouts.flow(cpus[:1]).and_of(cpus[1:]) == layouts.flow(cpus)
    assert layouts.flow([]) == layouts.Counts(Flow(0, 0), Flow(0, 0))
    assert layouts.number([struct.pack("<Q", 2), struct.pack("<Q", 3)]) == 5


# Where it cannot be


def load_on(underlay: str) -> str:
    """Why the fast path cannot be had there."""
    with pytest.raises(fast_path.FastPathUnavailable) as raised:
        fast_path.load("lo", underlay, PLACE.address, PLACE.port)
    return str(raised.value)


def test_an_underlay_that_is_gone_is_told_of_and_no_error_of_the_daemon():
    assert load_on("none0") == "reading the type of device none0: No such file or directory"


def lo_is(monkeypatch: pytest.MonkeyPatch, folder: Path, arphrd: int) -> None:
    """Have the kernel tell that lo is of this type of linux/if_arp.h."""
    monkeypatch.setattr(fast_path, "DEVICES", folder)
    (folder / "lo").mkdir()
    (folder / "lo" / "type").write_text(f"{arphrd}\n")


def test_an_underlay_that_is_no_ethernet_is_refused(monkeypatch, tmp_path):
    lo_is(monkeypatch, tmp_path, 65534)  # ARPHRD_NONE
    assert load_on("lo") == "lo is not an Ethernet device (ARPHRD type 65534)"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "fast_path.o cannot be read: not a BPF object"),
        (SMALL, "fast_path.o is of another version: it has no program tcx/ingress"),
    ],
)
def test_an_object_that_is_not_ours_is_refused(monkeypatch, tmp_path, content, reason):
    (tmp_path / "fast_path.o").write_bytes(content)
    monkeypatch.setattr(fast_path, "files", lambda _: tmp_path)
    lo_is(monkeypatch, tmp_path, ARPHRD_ETHER)
    assert load_on("lo").startswith(reason)


def test_an_object_whose_maps_are_laid_out_otherwise_is_refused(monkeypatch, tmp_path):
    (tmp_path / "fast_path.o").touch()
    monkeypatch.setattr(fast_path, "files", lambda _: tmp_path)
    lo_is(monkeypatch, tmp_path, ARPHRD_ETHER)
    maps = {name: MapShape(1, *sizes, 1, 0) for name, sizes in layouts.SIZES.items()}
    maps["flows"] = MapShape(5, 4, 32, 1, 0)  # counters alone
    programs = dict.fromkeys(("tcx/egress", "tcx/ingress", "tcx/inlet"), LEAVE)
    monkeypatch.setattr(fast_path, "read_image", lambda _: Image(maps, programs, {}))
    assert load_on("lo") == "fast_path.o is of another version: its maps are not laid out as here"


def test_without_the_reader_of_objects_the_loop_serves(monkeypatch, tmp_path):
    (tmp_path / "fast_path.o").write_bytes(SMALL)
    monkeypatch.setattr(fast_path, "files", lambda _: tmp_path)
    lo_is(monkeypatch, tmp_path, ARPHRD_ETHER)
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    assert load_on("lo").startswith("fast_path.o cannot be read: import of elftools.elf.elffile halted")


def test_without_an_object_the_reason_is_that_there_was_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(fast_path, "files", lambda _: tmp_path)
    lo_is(monkeypatch, tmp_path, ARPHRD_ETHER)
    assert load_on("lo") == "fast_path.o is not there: this flanneld was built without clang"


class Programs:
    """Stands in for the kernel's side."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def know(self, node: str) -> None:
        self.told.append(("know", node))

    def forget(self, node: str) -> None:
        self.told.append(("forget", node))

    def put(self, subnet: IPv4Network, peer: Peer, *, fast: bool) -> None:
        self.told.append((subnet, peer, fast))

    def remove(self, subnet: IPv4Network) -> None:
        self.told.append(subnet)

    def allow(self, mandate: Mandate) -> None:
        self.told.append(mandate)

    def forbid(self) -> None:
        self.told.append("forbid")

    def statistics(self) -> Statistics:
        return Statistics({PEER.node: Flow(5, 500)}, {}, {"the destination is not in our subnet": 3})

    def damage(self) -> str:
        return "The BPF program tcx/ingress is no longer attached to eth0"

    def close(self) -> None:
        self.told.append("close")


@pytest.fixture
def outside() -> Iterator[Outside]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield Outside(sock, IPv4Address("127.0.0.1"), sock.getsockname()[1], "lo")


def carrier(outside: Outside, monkeypatch: pytest.MonkeyPatch, wanted: str, load: object) -> Tunnel:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    reader.setblocking(False)
    writer.close()
    monkeypatch.setattr(carrier_module, "open_tun", lambda name, **_: Tun(reader.detach(), name))
    monkeypatch.setattr(carrier_module, "load", load)
    return Tunnel("flannel0", outside, 1472, fast_path=wanted, offloads="off")


def refuse(*_: object) -> None:
    raise fast_path.FastPathUnavailable("making the BPF map peers: Operation not permitted")


def test_where_the_kernel_refuses_the_loop_serves_and_the_reason_is_told(outside, monkeypatch, caplog):
    caplog.set_level("INFO")
    made = carrier(outside, monkeypatch, "auto", refuse)
    made.begin()
    assert not made.fast
    assert "without the fast path: making the BPF map peers: Operation not permitted" in caplog.text
    assert made.statistics().ways["fast_path"] == "off: making the BPF map peers: Operation not permitted"
    made.close()


def test_a_fast_path_that_is_required_and_cannot_be_had_ends_the_daemon(outside, monkeypatch):
    made = carrier(outside, monkeypatch, "require", refuse)
    with pytest.raises(Fatal, match="-udp-fast-path=require: making the BPF map") as raised:
        made.begin()
    assert raised.value.code == Exit.KERNEL
    made.close()


def test_a_fast_path_that_is_off_is_not_tried(outside, monkeypatch):
    made = carrier(outside, monkeypatch, "off", refuse)
    made.begin()
    assert made.statistics().ways["fast_path"] == "off"
    made.close()


def test_programs_and_loop_are_told_the_same_and_counted_together(outside, monkeypatch):
    programs = Programs()
    made = carrier(outside, monkeypatch, "auto", lambda *_: programs)
    made.begin()
    assert made.fast
    made.replace({THEIRS: (PEER, True)})
    made.allow(MANDATE)
    made.put(SUBNET, PEER, fast=False)
    made.remove(SUBNET)
    made.replace({})
    made.forbid()
    seen = made.statistics()
    made.close()
    node = PEER.node
    # It is a peer from its first subnet to its last.
    assert programs.told == [
        ("know", node), (THEIRS, PEER, True), MANDATE, (SUBNET, PEER, False), SUBNET,
        THEIRS, ("forget", node), "forbid", "close",
    ]  # fmt: skip
    assert seen.sent == {PEER.node: Flow(5, 500)}
    assert seen.dropped == {"the destination is not in our subnet": 3}
    assert asdict(seen)["dropped"] == seen.dropped  # as /state tells it
    assert seen.ways["fast_path"] == "on"


def test_programs_that_are_attached_anew_know_the_nodes_and_what_was_counted_stays(outside, monkeypatch):
    loaded = [Programs(), Programs()]
    programs = iter(loaded)
    made = carrier(outside, monkeypatch, "auto", lambda *_: next(programs))
    made.begin()
    made.put(THEIRS, PEER, fast=True)
    assert made.damage == "The BPF program tcx/ingress is no longer attached to eth0"
    made.renew()
    assert loaded[1].told == [("know", PEER.node)]
    seen = made.statistics()
    assert seen.sent == {PEER.node: Flow(5, 500), OTHERS: Flow(5, 500)}
    assert seen.dropped == {"the destination is not in our subnet": 6}
    made.close()


def test_a_carrier_that_moves_keeps_its_device_and_its_counts(outside, monkeypatch):
    made = carrier(outside, monkeypatch, "auto", lambda *_: Programs())
    made.begin()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.2", 0))
        other = Outside(sock, IPv4Address("127.0.0.2"), sock.getsockname()[1], "lo")
        made.move(other, 1372)
        assert (made.outside, made.mtu, made.device) == (other, 1372, "flannel0")
        assert made.statistics().sent == {PEER.node: Flow(5, 500), OTHERS: Flow(5, 500)}
        made.close()


def test_programs_that_cannot_be_kept_up_end_and_the_loop_serves(outside, monkeypatch, caplog):
    class Full(Programs):
        def put(self, subnet: IPv4Network, peer: Peer, *, fast: bool) -> None:  # noqa: ARG002
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    programs = Full()
    made = carrier(outside, monkeypatch, "auto", lambda *_: programs)
    made.begin()
    made.allow(MANDATE)
    made.put(THEIRS, PEER, fast=True)
    made.allow(MANDATE)
    made.forbid()
    assert not made.fast
    assert programs.told == [MANDATE, ("know", PEER.node), "close"]
    assert made.statistics().ways["fast_path"] == "off: it could not be kept up: No space left on device"
    assert "could not be kept up" in caplog.text
    made.close()


def test_of_peers_that_have_left_only_the_sum_is_kept(outside, monkeypatch):
    made = carrier(outside, monkeypatch, "off", refuse)
    made.begin()
    for number in range(1000):
        peer = Peer((f"192.168.{number // 250}.{number % 250 + 1}", 8285), 1472)
        made.put(THEIRS, peer, fast=False)  # the subnet of the one before
        made._traffic.sent.add(peer.node, 100)
        made._traffic.received.add(peer.node, 60, packets=2)
    seen = made.statistics()
    made.close()
    assert seen.sent == {"": Flow(999, 99_900), peer.node: Flow(1, 100)}
    assert seen.received == {"": Flow(1998, 59_940), peer.node: Flow(2, 60)}


def test_a_peer_that_comes_back_is_counted_from_the_beginning(outside, monkeypatch):
    made = carrier(outside, monkeypatch, "off", refuse)
    made.begin()
    for _ in range(2):
        made.put(THEIRS, PEER, fast=False)
        made._traffic.sent.add(PEER.node, 100)
        made.remove(THEIRS)
    made.put(THEIRS, PEER, fast=False)
    made._traffic.sent.add(PEER.node, 1)
    assert made.statistics().sent == {"": Flow(2, 200), PEER.node: Flow(1, 1)}
    made.close()


def test_all_of_a_carrier_ends_though_its_fast_path_cannot_be_taken_away(outside, monkeypatch):
    class Stuck(Programs):
        def close(self) -> None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    made = carrier(outside, monkeypatch, "auto", lambda *_: Stuck())
    made.begin()
    with pytest.raises(OSError, match="No such device"):
        made.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made._tun.descriptor)
