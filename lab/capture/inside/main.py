"""Sees packets on this machine and in its pods, and prints them as they come.

Argument: {"devices": [NAME...] or null, "pods": [NAME...] or null, "filters": {LINK TYPE: INSTRUCTIONS},
"etcd": {"api": v2 or v3, "prefix": PREFIX} or null}, where null devices or pods are all of them, also those
that come later. What it prints, `lab.capture.wire` says. When its input ends, so does it, after all that it
has seen was printed; nothing of it is left then, and nothing on the machine was changed.
"""

import json
import os
import queue
import select
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from lab.capture.inside.devices import Device, News, devices
from lab.capture.inside.happenings import Etcd, Faults
from lab.capture.inside.pods import Pods
from lab.capture.inside.tap import Tap
from lab.trace.inside.namespaces import in_each

__all__ = ["main"]

HEAD = struct.Struct(">cBHIIQ")
"""As in `lab.capture.wire`."""

INPUT, OUTPUT = 0, 1

TICK = 0.05
"""Seconds, at most, between two words of how far everything was told."""

SLACK = 2_000_000
"""Nanoseconds from a packet's time until it is in its socket, at most."""

LOOPBACK = "lo"


class Space:
    """A network namespace, and the taps on its devices."""

    def __init__(self, pod: str, pid: int, wanted: Sequence[str] | None, filters: Mapping[str, Any]) -> None:
        """`wanted` are the devices; None: all of them. Raises `OSError` where the process has ended."""
        self.pod = pod
        self._pid = pid
        self._wanted = wanted
        self._filters = filters
        self.taps: dict[int, tuple[Device, Tap]] = {}
        """By the device's index."""
        self.missing: Sequence[int] = ()
        """Those on devices that are there no more."""
        self.news = in_each({"": pid}, lambda _: News())[""]
        self.process = os.pidfd_open(pid or os.getpid())
        """A descriptor that can be read once the process has ended."""

    def look(self) -> list[tuple[Device, Tap]]:
        """Begin with devices that have come; answers them. Those that have gone are `missing` then."""
        return in_each({"": self._pid}, lambda _: self._look())[""]

    def _look(self) -> list[tuple[Device, Tap]]:
        self.news.drain()
        here = {device.index: device for device in devices() if self._wants(device)}
        come = []
        for index, device in here.items():
            if index not in self.taps:
                try:
                    self.taps[index] = device, Tap(device.name, self._filters[str(device.link_type)])
                except OSError:  # it has gone again
                    continue
                come.append(self.taps[index])
        self.missing = [index for index in self.taps if index not in here]
        return come

    def _wants(self, device: Device) -> bool:
        if str(device.link_type) not in self._filters:
            return False
        return device.name != LOOPBACK if self._wanted is None else device.name in self._wanted

    def close(self) -> None:
        """End all of it."""
        for _, tap in self.taps.values():
            tap.close()
        self.news.close()
        os.close(self.process)


class Program:
    """The loop."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._filters = asked["filters"]
        self._found: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._awake, self._wake = os.pipe()
        self._faults = Faults()
        self._etcd_ready = not asked["etcd"]
        self._etcd = Etcd(**asked["etcd"], ready=self._is_etcd_ready) if asked["etcd"] else None
        self._spaces: list[Space] = []
        self._numbers: dict[Tap, int] = {}
        self._counts: dict[int, list[int]] = {}
        self._next = 0
        if asked["devices"] is None or asked["devices"]:
            self._enter(Space("", 0, asked["devices"], self._filters))
        wanted = asked["pods"]
        self._pods_ready = wanted == []
        self._pods = None if wanted == [] else Pods(wanted, self._pod_found, self._are_pods_ready)

    def _pod_found(self, name: str, pid: int) -> None:
        """In another thread."""
        self._found.put((name, pid))
        os.write(self._wake, b"\0")

    def _are_pods_ready(self) -> None:
        """In another thread."""
        self._pods_ready = True

    def _is_etcd_ready(self) -> None:
        """In another thread."""
        self._etcd_ready = True

    def run(self) -> None:
        """Until the input ends."""
        told_ready = False
        while True:
            if not told_ready and self._pods_ready and self._etcd_ready and self._found.empty():
                told_ready = True
                _say(b"r")
            ready = self._ready()
            before = time.time_ns()
            for space in list(self._spaces):
                if space.process in ready:
                    self._leave(space)
                elif space.news.fileno() in ready:
                    self._look(space)
            if self._awake in ready:
                self._enter_pods()
            self._tell_faults()
            self._tell_etcd(ready)
            self._tell_packets(before)
            if INPUT in ready and not os.read(INPUT, 1024):
                break
        self._end()

    def _ready(self) -> dict[int, int]:
        waiting = select.poll()
        watched = [INPUT, self._awake]
        for space in self._spaces:
            watched += [space.process, space.news.fileno()]
        watched += [tap.fileno() for tap in self._numbers]
        if self._etcd is not None:
            watched.append(self._etcd.fileno())
        for descriptor in watched:
            waiting.register(descriptor, select.POLLIN)
        full = any(not tap.is_empty for tap in self._numbers)
        return dict(waiting.poll(0 if full else TICK * 1000))

    def _enter_pods(self) -> None:
        for _ in os.read(self._awake, 1024):
            name, pid = self._found.get()
            for space in [space for space in self._spaces if space.pod == name]:
                self._leave(space)
            with suppress(OSError):  # it has ended again
                self._enter(Space(name, pid, ["eth0"], self._filters))

    def _enter(self, space: Space) -> None:
        self._spaces.append(space)
        self._look(space)

    def _leave(self, space: Space) -> None:
        for _, tap in space.taps.values():
            self._drop(tap)
        self._spaces.remove(space)
        space.close()

    def _look(self, space: Space) -> None:
        for device, tap in space.look():
            self._numbers[tap] = self._next
            place = {"pod": space.pod, "device": device.name, "type": device.link_type}
            _say(b"i", {**place, "words": device.words, "rank": device.rank}, place=self._next)
            self._next += 1
        for index in space.missing:
            _, tap = space.taps.pop(index)
            self._drop(tap)
            tap.close()

    def _drop(self, tap: Tap) -> None:
        """Take what is left in it, and count it."""
        _write(self._packets_of(tap))
        tap.count()
        self._counts[self._numbers.pop(tap)] = [tap.seen, tap.dropped]

    def _packets_of(self, tap: Tap) -> list[tuple[int, bytes]]:
        number = self._numbers[tap]
        return [
            (at, HEAD.pack(b"p", flags, number, len(data), length, at) + data)
            for at, flags, length, data in tap.take()
        ]

    def _tell_packets(self, before: int) -> None:
        found = []
        until = before - SLACK
        for tap in self._numbers:
            own = self._packets_of(tap)
            if not tap.is_empty:  # more has come than was taken
                until = min(until, own[-1][0])
            found += own
        _write(found)
        _say(b"t", at=max(0, until))

    def _tell_faults(self) -> None:
        if (news := self._faults.news()) is not None:
            changed, found = news
            _say(b"f", found, at=changed)

    def _tell_etcd(self, ready: Mapping[int, int]) -> None:
        if self._etcd is not None and self._etcd.fileno() in ready:
            _say(b"e", {"text": self._etcd.take()}, at=time.time_ns())

    def _end(self) -> None:
        while any(not tap.is_empty for tap in self._numbers):
            self._tell_packets(time.time_ns())
        for space in list(self._spaces):
            self._leave(space)
        for watcher in (self._etcd, self._pods):
            if watcher is not None:
                watcher.end()
        _say(b"x", self._counts)


def _write(packets: list[tuple[int, bytes]]) -> None:
    if packets:
        sys.stdout.buffer.write(b"".join(record for _, record in sorted(packets, key=lambda item: item[0])))
        sys.stdout.buffer.flush()


def _say(kind: bytes, told: object = None, *, at: int = 0, place: int = 0) -> None:
    body = b"" if told is None else json.dumps(told).encode()
    sys.stdout.buffer.write(HEAD.pack(kind, 0, place, len(body), 0, at) + body)
    sys.stdout.buffer.flush()


def main(arguments: Sequence[str]) -> int:
    """The program; its exit status."""
    Program(json.loads(arguments[0])).run()
    return 0
