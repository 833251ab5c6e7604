"""The compiled core: what it does itself, what it leaves, and what there is without it.

Its results are compared with Python's in test_segment.py.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.datapath import coalesce, core, segment, vnet
from flanneld_py.datapath.core import Core
from flanneld_py.datapath.vnet import VnetHeader
from tests.effort import examples
from tests.flanneld_py.test_segment import PACKETS, TCP, UDP, Packet, contents
from tests.sources import ROOT

FOUND = core.load()
needs_core = pytest.mark.skipif(FOUND is None, reason="there is no C compiler")


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
@examples(50)
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
    """Where the core is looked for from now on."""
    monkeypatch.setattr(core, "__file__", str(folder / "__init__.py"))
    return folder / f"core.{platform.machine()}.so"


def test_without_the_library_there_is_none(monkeypatch, tmp_path):
    elsewhere(monkeypatch, tmp_path)
    assert core.load() is None


def test_a_file_that_is_no_library_is_none(monkeypatch, tmp_path):
    elsewhere(monkeypatch, tmp_path).write_bytes(b"\x7fELF")
    assert core.load() is None


@needs_core
def test_a_library_of_another_version_is_none(monkeypatch, tmp_path):
    library = Path(core.__file__).with_name(f"core.{platform.machine()}.so")
    shutil.copy(library, elsewhere(monkeypatch, tmp_path))
    assert core.load() is not None
    monkeypatch.setattr(core, "ABI", core.ABI + 1)
    assert core.load() is None


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A copy of the source, with a library that is older, and that says so."""
    folder = tmp_path / "flanneld_py/datapath/core"
    folder.mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/core", tmp_path / "tools")
    shutil.copy(ROOT / "flanneld_py/datapath/core/core.c", folder)
    library = folder / f"core.{platform.machine()}.so"
    library.write_bytes(b"of another version")
    os.utime(library, (0, 0))
    return library


def compiling(beside: Path, compiler: str) -> str:
    """What tools/core says where there are no programs but what it needs, and this compiler."""
    programs = beside.parent / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "grep", "mv", "rm", "uname"):
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
