"""What a machine of the lab is asked while a packet's way is traced.

It reads lines of JSON and answers each with one, which has `error` where it failed:

    {"ask": "state", "namespaces": {NAME: PID}}     the tables of each, and of the machine
    {"ask": "route", "pid": PID, "to": ADDRESS, "source": ADDRESS, "device": NAME}
    {"ask": "mtu", "pid": PID, "to": ADDRESS}
    {"ask": "watch", "namespaces": {NAME: PID}, "values": [WORD...], "offsets": [N...]}
    {"ask": "send", "pid": PID, ...}                as `probes.send` takes it
    {"ask": "seen"}                                 what the taps have seen since `watch`
    {"ask": "follow", "namespaces": {NAME: {"pid": PID, "scripts": [TEXT...]}}, "drops": BOOL,
     "values": [WORD...], "offsets": [N...]}
                                                    have the kernel tell which rules packets meet, and why
                                                    it drops them
    {"ask": "met"}                                  what it has told, and no more from now on

PID is a process in a network namespace; 0 stands for the machine's own. An empty line, or the end of input,
ends it; nothing of it is left then.
"""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lab.trace.inside.drops import DropTap
from lab.trace.inside.namespaces import in_each
from lab.trace.inside.probes import send
from lab.trace.inside.rules import RuleTap
from lab.trace.inside.state import machine, mtu, namespace, route
from lab.trace.inside.taps import Tap

__all__ = ["main"]

LIFE = 3600
"""Seconds after which it ends in any case."""


class Program:
    """Its verbs."""

    def __init__(self) -> None:
        self._taps: dict[str, Tap] = {}
        self._rules: dict[str, RuleTap] = {}
        self._drops: DropTap | None = None

    def state(self, namespaces: Mapping[str, int]) -> dict[str, Any]:
        """The tables."""
        return {"namespaces": in_each(namespaces, lambda _: namespace()), "machine": machine()}

    def route(self, pid: int, to: str, source: str, device: str) -> dict[str, Any]:
        """One decision of the kernel's."""
        return in_each({"": pid}, lambda _: route(to, source, device))[""]

    def mtu(self, pid: int, to: str) -> dict[str, Any]:
        """How large a packet may be that is sent there."""
        return {"mtu": in_each({"": pid}, lambda _: mtu(to))[""]}

    def watch(self, namespaces: Mapping[str, int], values: list[int], offsets: list[int]) -> dict[str, Any]:
        """Begin to watch."""
        self._taps = in_each(namespaces, lambda _: Tap(values, offsets))
        return {}

    def send(self, pid: int, **asked: Any) -> dict[str, Any]:
        """Send probes."""
        return in_each({"": pid}, lambda _: send(asked))[""]

    def seen(self) -> dict[str, Any]:
        """What was seen, by namespace."""
        return {"seen": {name: list(tap.seen()) for name, tap in self._taps.items()}}

    def follow(
        self,
        namespaces: Mapping[str, Mapping[str, Any]],
        drops: bool,
        values: list[int],
        offsets: list[int],
    ) -> dict[str, Any]:
        """Begin to hear which rules packets meet, and why they are dropped; what was refused."""
        why = ""
        if drops:
            try:
                self._drops = DropTap(values, offsets)
            except (OSError, ValueError) as error:
                why = str(error)
        pids = {name: asked["pid"] for name, asked in namespaces.items()}
        self._rules = in_each(pids, lambda name: RuleTap(namespaces[name]["scripts"]))
        return {"refused": {name: tap.refused for name, tap in self._rules.items()}, "noReasons": why}

    def met(self) -> dict[str, Any]:
        """What was heard, by namespace; the machine is then as it was."""
        told = {name: [message.hex() for message in tap.told()] for name, tap in self._rules.items()}
        for tap in self._rules.values():
            tap.close()
        self._rules = {}
        dropped = []
        if self._drops is not None:
            dropped = list(self._drops.dropped())
            self._drops.close()
            self._drops = None
        return {"met": told, "dropped": dropped}


def main(_: Sequence[str]) -> int:
    """The program; its exit status."""
    signal.alarm(LIFE)
    program = Program()
    for line in sys.stdin:
        if not line.strip():
            break
        asked = json.loads(line)
        try:
            answer = getattr(program, asked.pop("ask"))(**asked)
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0
