"""The compiled core: what it does itself, what it leaves, and what there is without it.

Its results are compared with Python's in test_segment.py.
"""

import contextlib
import ctypes
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath import coalesce, core, segment, tunnel, vnet
from flanneld_py.datapath.core import Core, pump
from flanneld_py.datapath.forward import ForwardTable, Mandate, Peer
from flanneld_py.datapath.pacing import MOST_WAITING
from flanneld_py.datapath.trains import MOST_SEGMENTS
from flanneld_py.datapath.tun import Tun
from flanneld_py.datapath.tunnel import Outside, Tunnel
from flanneld_py.datapath.vnet import VnetHeader
from tests.effort import examples
from tests.flanneld_py.test_plain_loop import OUR_SUBNET, OVERLAY, THEIR_SUBNET, TUNNEL
from tests.flanneld_py.test_segment import PACKETS, TCP, UDP, Packet, contents
from tests.sources import ROOT

SOURCE = Path(core.__file__).with_name("core.c")
LIBRARY = f"core.{platform.machine()}.so"
FOUND = core.load()
needs_core = pytest.mark.skipif(FOUND is None, reason="the core is not compiled here")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Core:
    """The core, which can leave nothing to Python."""

    def left(*_: object) -> NoReturn:
        raise AssertionError("this was left to Python")

    monkeypatch.setattr(segment, "segments", left)
    monkeypatch.setattr(coalesce, "runs", left)
    found = core.load()
    assert found is not None
    return found


@needs_core
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_all_that_is_common_is_its_own(alone, protocol):
    packet = Packet(os.urandom(60_000), protocol)
    whole, size = alone.segments(packet.vnet(1400), memoryview(bytearray(packet.partial())))
    parts = [part.built() for part in packet.parts(1400)]
    assert bytes(whole) == b"".join(parts)
    (first, *_) = alone.runs(memoryview(bytearray(whole)), size)
    assert first.packets == 43
    header = VnetHeader(vnet.NEEDS_CSUM, 0, 0, 0, 20, 16 if protocol == TCP else 6)
    small = Packet(b"select 1", protocol)
    assert alone.segments(header, memoryview(bytearray(small.partial())))[1] == len(small.built())


def test_a_core_that_is_compiled_here_is_loaded():
    """Or all that needs it would be left out, and nobody told."""
    assert FOUND is not None or not SOURCE.with_name(LIBRARY).exists()


@needs_core
def test_what_it_has_segmented_stays_until_it_is_forgotten():
    assert FOUND is not None
    packets = [Packet(os.urandom(60_000), ident=number) for number in range(20)]  # more than it has room for
    wholes = [FOUND.segments(each.vnet(1400), memoryview(bytearray(each.partial())))[0] for each in packets]
    for packet, whole in zip(packets, wholes, strict=True):
        assert bytes(whole) == b"".join(part.built() for part in packet.parts(1400))
    FOUND.forget()


@needs_core
def test_more_datagrams_than_it_has_room_for_are_joined_in_python():
    assert FOUND is not None
    train = bytearray(os.urandom(3 * core.MOST_RUNS))
    found, wanted = FOUND.runs(memoryview(train), 2), coalesce.runs(memoryview(train), 2)
    assert list(map(contents, found)) == list(map(contents, wanted))


@needs_core
@examples(25)
@given(PACKETS, st.binary(min_size=10, max_size=10), st.integers(0, 2**40), st.integers(1, 255))
def test_it_agrees_with_python_about_whatever_the_device_says(
    packet: Packet, header: bytes, place: int, change: int
) -> None:
    assert FOUND is not None
    whole = bytearray(packet.partial())
    whole[place % min(len(whole), 60)] ^= change
    for read in (VnetHeader.of(header), packet.vnet(VnetHeader.of(header).gso_size % 2000 + 1)):
        view = memoryview(whole)
        if view[8] == 0:  # the caller has answered it
            continue
        FOUND.forget()
        try:
            wanted, size = segment.segments(read, view)
        except segment.Unsound as error:
            with pytest.raises(segment.Unsound, match=str(error)):
                FOUND.segments(read, view)
            continue
        found, each = FOUND.segments(read, view)
        assert (bytes(found), each) == (bytes(wanted), size)


def elsewhere(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Where the core is looked for from now on, beside its source."""
    shutil.copy(SOURCE, folder)
    monkeypatch.setattr(core, "__file__", str(folder / "__init__.py"))
    return folder / LIBRARY


def said(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that the log has."""
    (line,) = caplog.messages
    return line.removeprefix("The packet loop works without its compiled core: ")


def test_without_the_library_there_is_none(monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")
    elsewhere(monkeypatch, tmp_path)
    assert core.load() is None
    assert said(caplog) == f"there is no {LIBRARY}; it is compiled where flanneld is built"


def test_a_file_that_is_no_library_is_refused(monkeypatch, tmp_path, caplog):
    elsewhere(monkeypatch, tmp_path).write_bytes(b"#!/bin/sh\n")
    assert core.load() is None
    assert said(caplog) == f"{LIBRARY} is no library (ELF) for this machine"


@needs_core
def test_a_library_for_another_word_size_is_refused(monkeypatch, tmp_path, caplog):
    library = bytearray(SOURCE.with_name(LIBRARY).read_bytes())
    library[4] ^= 3  # EI_CLASS of elf.h: ELFCLASS32 is 1, ELFCLASS64 is 2
    elsewhere(monkeypatch, tmp_path).write_bytes(library)
    assert core.load() is None
    assert said(caplog) == f"{LIBRARY} is no library (ELF) for this machine"


@needs_core
def test_a_library_for_another_processor_is_refused(monkeypatch, tmp_path, caplog):
    library = bytearray(SOURCE.with_name(LIBRARY).read_bytes())
    library[18:20] = (0xF3 if library[18] != 0xF3 else 0x3E).to_bytes(2, sys.byteorder)  # e_machine: RISC-V
    elsewhere(monkeypatch, tmp_path).write_bytes(library)
    assert core.load() is None
    assert said(caplog).startswith(f"{LIBRARY} is for another machine or C library, or damaged: {tmp_path}")


@needs_core
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.6, 0.999])
def test_a_library_whose_end_is_missing_is_refused_and_ends_no_daemon(monkeypatch, tmp_path, caplog, share):
    library = SOURCE.with_name(LIBRARY).read_bytes()
    left = library[: max(6, int(len(library) * share))]
    elsewhere(monkeypatch, tmp_path).write_bytes(left)
    assert core.load() is None  # by dlopen it would be a bus error
    assert said(caplog).startswith(f"{LIBRARY} is cut short: it has {len(left)} of ")


@needs_core
def test_a_library_of_another_source_is_refused(monkeypatch, tmp_path, caplog):
    library = elsewhere(monkeypatch, tmp_path)
    shutil.copy(SOURCE.with_name(LIBRARY), library)
    assert core.load() is not None
    with (tmp_path / SOURCE.name).open("a") as source:
        source.write("\n")
    assert core.load() is None
    assert said(caplog).startswith(f"{LIBRARY} is compiled from another core.c than the one beside it")


@needs_core
def test_a_library_without_its_source_is_refused(monkeypatch, tmp_path, caplog):
    shutil.copy(SOURCE.with_name(LIBRARY), elsewhere(monkeypatch, tmp_path))
    (tmp_path / SOURCE.name).unlink()
    assert core.load() is None
    assert said(caplog).startswith(f"{LIBRARY} cannot be compared with core.c beside it: [Errno 2]")


@needs_core
def test_a_library_without_its_functions_is_refused(monkeypatch, tmp_path, caplog):
    library = SOURCE.with_name(LIBRARY).read_bytes()
    elsewhere(monkeypatch, tmp_path).write_bytes(library.replace(b"\0core_runs\0", b"\0core_rune\0"))
    assert core.load() is None
    assert said(caplog).startswith(f"{LIBRARY} is for another machine or C library, or damaged: ")


@needs_core
def test_a_library_with_other_structures_is_refused(monkeypatch, tmp_path, caplog):
    shutil.copy(SOURCE.with_name(LIBRARY), elsewhere(monkeypatch, tmp_path))
    monkeypatch.setattr(pump, "_Pump", pump._Peer)
    assert core.load() is None
    assert said(caplog) == f"{LIBRARY} has its structures laid out in another way than here"


@needs_core
def test_every_structure_and_number_is_the_same_in_python_and_c(tmp_path):
    structures = [pump._Peer, pump._Place, pump._Arrival, pump._Train, pump._Queued, pump._Line, pump._Pump]
    expected = {
        f"offsetof(struct {each.__name__}, {name})": getattr(each, name).offset
        for each in structures
        for name, *_ in each._fields_
    }
    expected |= {f"sizeof(struct {each.__name__})": ctypes.sizeof(each) for each in structures}
    arrays = ("changes", "seen", "arrived", "destinations", "sources", "peers", "lines")
    expected |= {f"sizeof(((struct pump *)0)->{name})": getattr(pump._Pump, name).size for name in arrays}
    names = ("ARRIVALS", "PLACES", "PEERS", "MOST_PACED", "MOST_QUEUED", "TRAINS")
    expected |= {name: getattr(pump, name) for name in names}
    expected |= {"MOST_WAITING": MOST_WAITING, "MOST": MOST_SEGMENTS}
    expected |= {reason.name: reason.value for reason in pump.Reason}
    expected |= {name.upper(): 1 << bit for bit, name in enumerate(pump.READY)}
    expected |= {"LEFT": core.LEFT, "sizeof(struct run)": core._RUN.size, "sizeof(struct vnet)": vnet.SIZE}
    told = "".join(f'_Static_assert(({each}) == {value}, "{each}");\n' for each, value in expected.items())
    (tmp_path / "main.c").write_text(f'#include "{SOURCE}"\n{told}')
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None
    argv = [compiler, "-std=gnu11", '-DSOURCE=""', "-fsyntax-only", tmp_path / "main.c"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_with_a_library_for_another_machine_the_daemon_carries_packets_in_python(
    monkeypatch, tmp_path, caplog
):
    elsewhere(monkeypatch, tmp_path).write_bytes(b"\x7fELF")
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    device.setblocking(False)
    with kernel, contextlib.ExitStack() as closing:
        near, far = (
            closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        )
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
        near.setblocking(False)
        far.settimeout(30)
        tun = Tun(device.detach(), "flannel0", offloads="TSO, USO")
        monkeypatch.setattr(tunnel, "open_tun", lambda *_, **__: tun)
        outside = Outside(near, IPv4Address("127.0.0.1"), near.getsockname()[1], "lo")
        made = Tunnel("flannel0", outside, 1472, fast_path="off", offloads="auto")
        closing.callback(made.close)
        made.begin()
        table = ForwardTable.of({THEIR_SUBNET: Peer(far.getsockname(), 1472)}, OVERLAY)
        made.allow(Mandate(TUNNEL, OUR_SUBNET, table, until=math.inf))
        packet = Packet(os.urandom(3000))
        kernel.send(packet.vnet(1000).pack() + packet.partial())
        assert [far.recv(2000) for _ in range(3)] == [part.built() for part in packet.parts(1000)]
        assert "compiled" not in made.statistics().ways["loop"]
    assert said(caplog) == f"{LIBRARY} is no library (ELF) for this machine"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A copy of the source, with a newer library that is not of it."""
    folder = tmp_path / "flanneld_py/datapath/core"
    folder.mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/core", tmp_path / "tools")
    shutil.copy(SOURCE, folder)
    library = folder / LIBRARY
    library.write_bytes(b"of another version")
    return library


def compiling(beside: Path, compiler: str) -> str:
    """What tools/core says where there are no programs but what it needs, and this compiler."""
    programs = beside.parent / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "grep", "mv", "rm", "sha256sum", "uname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    if compiler:
        (programs / "cc").write_text(f"#!/bin/bash\n{compiler}\n")
        (programs / "cc").chmod(0o755)
    script = beside.parents[3] / "tools/core"
    done = subprocess.run(
        [script], env={"PATH": str(programs)}, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr


def test_without_a_compiler_a_library_of_another_version_goes_and_that_is_said(beside):
    assert compiling(beside, "") == (
        "setup: no C compiler, so the udp backend's core is not compiled: with offloads it is slower.\n"
    )
    assert not beside.exists()


def test_a_compiler_without_headers_is_not_said_to_be_missing(beside):
    error = "core.c:12:10: fatal error: errno.h: No such file or directory"
    assert f"setup: cc fails ({error}), so" in compiling(beside, f"echo {error!r} >&2; exit 1")
    assert not beside.exists()


@needs_core
def test_a_library_of_this_source_stays_as_it_is(beside):
    shutil.copy(SOURCE.with_name(LIBRARY), beside)
    before = beside.stat().st_mtime_ns, beside.stat().st_ino
    assert compiling(beside, "exit 1") == ""
    assert (beside.stat().st_mtime_ns, beside.stat().st_ino) == before
