"""Faults of the clock: a unit's processes believe that it is another time.

A machine has no clock of its own: it is the host's, and time namespaces know no offset of the wall clock.
So a library is preloaded that shifts what the processes are told.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

from lab.faults.inside.kinds import Failed, Refused, Saved, Seen, State, run, state, until
from lab.faults.inside.units import active_with, must_run, properties

__all__ = ["interpreter"]

LIBRARY = "/usr/lib/overlay-lab/clock.so"
UNITS = Path("/run/systemd/system")

PT_INTERP = 3
"""elf.h: the segment that names the dynamic linker."""


def interpreter(program: bytes) -> str:
    """The dynamic linker of a 64-bit little-endian ELF program, by its first bytes; empty if static."""
    if program[:6] != b"\x7fELF\x02\x01":
        raise Failed("it is no 64-bit little-endian ELF program")
    offset, size, count = (
        struct.unpack_from("<Q", program, 32)[0],
        *struct.unpack_from("<HH", program, 54),
    )
    for number in range(count):
        at = offset + number * size
        if struct.unpack_from("<I", program, at)[0] == PT_INTERP:
            begin, length = (struct.unpack_from("<Q", program, at + place)[0] for place in (8, 32))
            return program[begin : begin + length].rstrip(b"\0").decode()
    return ""


@state("clock-skewed")
class Skewed(State):
    """A unit's processes are told another time; for that the unit is started again."""

    @property
    def changes(self) -> Sequence[str]:
        """The unit's clock."""
        return (f"clock of {self.given['unit']}",)

    @property
    def _drop_in(self) -> Path:
        return UNITS / f"{self.given['unit']}.d" / f"lab-fault-{self.given['id']}.conf"

    def save(self) -> Saved:
        """What runs now; its program has to take a preloaded library."""
        pid = must_run(self.given["unit"])["MainPID"]
        with Path(f"/proc/{pid}/exe").open("rb") as program:
            linker = interpreter(program.read(4096))
        if not linker:
            name = Path(f"/proc/{pid}/exe").readlink()
            raise Refused(
                f"{name} is a static program, which takes no library and asks the kernel for the time itself",
                hint="Its clock is the host's. Root there can set that, for everything on it: date --set",
            )
        return {"ran": active_with(self.given["unit"]), "pid": pid}

    def start(self) -> None:
        """Preload it."""
        self._drop_in.parent.mkdir(parents=True, exist_ok=True)
        seconds = round(self.given["seconds"])
        self._drop_in.write_text(
            f"[Service]\nEnvironment=LD_PRELOAD={LIBRARY} LAB_CLOCK_OFFSET={seconds}\n", encoding="utf-8"
        )
        self._anew()
        until(lambda: "" if self.seen().on else self.seen().words, f"{self.given['unit']} to start", 30.0)

    def _anew(self) -> None:
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "restart", "--no-block", "--", *self.saved["ran"]])

    def seen(self) -> Seen:
        """By the libraries of its main process, and the offset that this was started with (proc(5))."""
        pid = properties(self.given["unit"])["MainPID"]
        wanted = f"LAB_CLOCK_OFFSET={round(self.given['seconds'])}"
        try:
            loaded = LIBRARY in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            told = wanted in Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
        except OSError:
            return Seen(False, f"{self.given['unit']} does not run")
        words = f"the clock of process {pid} of {self.given['unit']} is"
        if not (loaded and told):
            return Seen(False, f"{words} the host's")
        seconds = self.given["seconds"]
        return Seen(True, f"{words} {abs(seconds):g} s {'ahead' if seconds > 0 else 'behind'}")

    def stop(self) -> None:
        """Start it again without."""
        self._drop_in.unlink(missing_ok=True)
        if not self.seen().on:
            return
        self._anew()
        until(lambda: self.seen().words if self.seen().on else "", f"{self.given['unit']} to end", 30.0)
