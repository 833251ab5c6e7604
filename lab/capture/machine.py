"""One machine while packets are captured: its program runs there, and what that tells comes to one place."""

import json
import math
import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from lab import wait
from lab.capture.inside import PROGRAM
from lab.capture.model import Asked, Counts, Packet, Place, Said, Wanted
from lab.capture.times import Correction
from lab.capture.wire import Reader, Record
from lab.cluster import Lab
from lab.engine import STDERR
from lab.errors import LabError
from lab.node.running import Running

__all__ = ["Inbox", "Machine"]

LOOK = 1.0
"""Seconds between two looks whether a machine runs again."""


Inbox = queue.Queue[Said]

KINDS = {"f": "fault", "t": "until", "r": "ready"}


class Machine:
    """Keeps the program running on one machine, again after each reboot."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        wanted: Wanted,
        asked: Asked,
        etcd: Mapping[str, str] | None,
        correction: Correction,
        inbox: Inbox,
    ) -> None:
        self.name = name
        self._lab = lab
        self._correction = correction
        self._inbox = inbox
        filters = {str(link_type): instructions for link_type, instructions in asked.filters.items()}
        told = {"devices": wanted.devices, "pods": wanted.pods, "filters": filters, "etcd": etcd}
        self._argv = PROGRAM.command(json.dumps(told))
        self._over = threading.Event()
        self._running: Running | None = None
        self._places: dict[int, Place] = {}

    def end(self) -> None:
        """Have the program tell what it has, and end; do not wait for that."""
        self._over.set()
        if self._running is not None:
            with suppress(OSError):  # it has ended by itself
                self._running.end_input()

    def stop(self) -> None:
        """Have it end with nothing more told."""
        self._over.set()
        if self._running is not None:
            self._running.stop()

    def keep(self) -> None:
        """Until it is over: run it. Where it cannot run, say so once."""
        why = ""
        try:
            with suppress(wait.Cancelled):
                while not (why := self._once()) and not self._over.is_set():
                    self._say("down")
                    wait.passing(LOOK, self._over)
        finally:
            self._say("over", what=why)

    def _once(self) -> str:
        """Run it to its end; why it cannot be run, or nothing where that came from outside."""
        what = f"{self.name} to run"
        look = partial(self._lab.look_for, self.name)
        node = wait.until(look, what=what, timeout=math.inf, interval=LOOK, cancel=self._over)
        said, reader = b"", Reader(self._correction.added)
        with (
            suppress(LabError, OSError),
            node.open(self._argv, stdin=True) as running,
        ):  # it goes down just now
            self._running = running
            if self._over.is_set():
                return ""
            for stream, data in running.frames():
                if stream == STDERR:
                    said += data
                else:
                    self._hand_on(list(reader.read(data)))
        words = said.decode(errors="replace").strip().splitlines()
        return words[-1] if words else ""

    def _hand_on(self, records: Sequence[Record]) -> None:
        packets: list[Packet] = []
        for record in records:
            if record.kind == "p":
                place = self._places[record.place]
                packets.append(Packet(record.at, place, record.data, record.length, record.flags))
                continue
            if packets:
                self._say("packets", what=packets)
                packets = []
            self._hand_on_other(record)
        if packets:
            self._say("packets", what=packets)

    def _hand_on_other(self, record: Record) -> None:
        told: Any = record.told if record.data else None
        if record.kind == "i":
            self._places[record.place] = self._place(told)
            self._say("place", what=self._places[record.place])
        elif record.kind == "x":
            counts = {self._places[int(number)]: Counts(*found) for number, found in told.items()}
            self._say("counts", what=counts)
        elif record.kind == "e":
            self._say("etcd", at=record.at, what=told["text"])
        else:
            self._say(KINDS[record.kind], at=record.at, what=told)

    def _place(self, told: Mapping[str, Any]) -> Place:
        pod, device = told["pod"], told["device"]
        name = f"pod {pod}" if pod else f"{self.name}/{device}"
        words = f"{device} on {self.name}: {told['words']}" if pod else told["words"]
        about = "; ".join(filter(None, (words, self._correction.description)))
        return Place(name, told["type"], about, told["rank"])

    def _say(self, kind: str, *, at: int = 0, what: Any = None) -> None:
        self._inbox.put(Said(self.name, kind, at, what))
