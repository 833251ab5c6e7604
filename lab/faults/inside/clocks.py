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
VARIABLES = Path("/run/lab-fault")
"""Has the variables of services, as systemd reads them when it starts one: see the package."""

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
    def _variables(self) -> Path:
        return VARIABLES / f"{self.given['unit']}.env"

    def save(self) -> Saved:
        """What runs now; its program has to take a preloaded library."""
        shown = must_run(self.given["unit"])
        pid = shown["MainPID"]
        with Path(f"/proc/{pid}/exe").open("rb") as program:
            linker = interpreter(program.read(4096))
        if not linker:
            name = Path(f"/proc/{pid}/exe").readlink()
            raise Refused(
                f"{name} is a static program, which takes no library and asks the kernel for the time itself",
                hint="Its clock is the host's. Root there can set that, for everything on it: date --set",
            )
        text = self._variables.read_text(encoding="utf-8") if self._variables.exists() else ""
        return {"ran": active_with(self.given["unit"], shown), "pid": pid, "variables": text}

    def start(self) -> None:
        """Preload it."""
        VARIABLES.mkdir(exist_ok=True)
        offset = f"LAB_CLOCK_OFFSET={round(self.given['seconds'])}"
        self._variables.write_text(f"LD_PRELOAD={LIBRARY}\n{offset}\n", encoding="utf-8")
        self._anew()

        def other() -> str:
            seen = self.seen()
            return "" if seen.on else seen.words

        until(other, f"{self.given['unit']} to start", 30.0)

    def _anew(self) -> None:
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
        if self.saved["variables"]:  # of a clock that was shifted by another time before
            self._variables.write_text(self.saved["variables"], encoding="utf-8")
        else:
            self._variables.unlink(missing_ok=True)
        if not self.seen().on:
            return
        run(
            ["systemctl", "reset-failed", "--", *self.saved["ran"]], check=False
        )  # however often it was started
        self._anew()

        def still() -> str:
            seen = self.seen()
            return seen.words if seen.on else ""

        until(still, f"{self.given['unit']} to end", 30.0)
