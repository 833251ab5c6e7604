"""The clock that a program is told: the library that shifts it, and which programs take it."""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import Unfit
from lab.faults.clock import MACHINES, library
from lab.faults.inside import clocks
from lab.faults.inside.clocks import Skewed, interpreter
from lab.faults.inside.kinds import Failed, Seen

HERE = {machine: arch for arch, machine in MACHINES.items()}.get(platform.machine(), "")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")


@needs_cc
@pytest.mark.parametrize("offset", [7200, -7200])
def test_a_program_with_the_library_is_told_another_time_and_waits_no_longer(
    tmp_path: Path, offset: int
) -> None:
    (tmp_path / "clock.so").write_bytes(library(HERE))
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "clock.so"), "LAB_CLOCK_OFFSET": str(offset)}
    waits = "import threading, time; began = time.monotonic(); threading.Event().wait(0.01); "
    waits += "print(int(time.time()), time.monotonic() - began < 60)"
    for argv, well in ((["date", "+%s"], []), ([sys.executable, "-IS", "-c", waits], ["True"])):
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        told, *more = done.stdout.split()
        assert abs(int(told) - time.time() - offset) < 60
        assert more == well


@needs_cc
def test_a_compiler_for_another_architecture_is_refused() -> None:
    with pytest.raises(Unfit, match="and the lab's machines are s390x"):
        library("s390x")


def test_without_a_compiler_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    library.cache_clear()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unfit, match="this machine has no C compiler, cc") as error:
        library("amd64")
    assert "apt-get install gcc libc6-dev" in error.value.hint


def test_a_program_that_the_dynamic_linker_starts_names_it() -> None:
    program = Path("/bin/sh").resolve().read_bytes()
    assert Path(interpreter(program)).exists()


def test_a_static_program_names_none_and_a_script_is_no_program() -> None:
    # elf.h: an ELF64 header with no program headers.
    assert interpreter(b"\x7fELF\x02\x01".ljust(64, b"\0")) == ""
    with pytest.raises(Failed, match="no 64-bit little-endian ELF program"):
        interpreter(b"#!/bin/sh\n")


def test_a_clock_that_was_shifted_twice_is_shifted_as_it_was_once_the_later_fault_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "flanneld.service.env"

    def told(fault: Skewed) -> Seen:
        text = file.read_text() if file.exists() else ""
        return Seen(f"LAB_CLOCK_OFFSET={fault.given['seconds']}\n" in text, text)

    monkeypatch.setattr(clocks, "VARIABLES", tmp_path)
    monkeypatch.setattr(clocks, "run", lambda *_, **__: "")
    monkeypatch.setattr(clocks, "must_run", lambda _: {"MainPID": str(os.getpid())})
    monkeypatch.setattr(clocks, "active_with", lambda *_: ["flanneld.service"])
    monkeypatch.setattr(Skewed, "seen", told)
    faults = [Skewed({"unit": "flanneld.service", "seconds": seconds}) for seconds in (60, -60)]
    for fault in faults:
        fault.saved = fault.save()
        fault.start()
        assert told(fault).on
    faults[1].stop()
    assert told(faults[0]).on
    faults[0].stop()
    assert not file.exists()
