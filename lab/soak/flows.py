"""The workload on a lab's machines: begun, ended, and what it lost."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from lab import threads
from lab.cluster import Lab
from lab.deadlines import QUESTION
from lab.errors import LabError
from lab.inside import program
from lab.protocols import Conversation
from lab.soak import inside
from lab.soak.evidence import Lost

__all__ = ["Flows", "losses"]

PORT = 7007
EVERY = 0.05
"""Seconds between two datagrams of a flow."""

TAIL = 5
"""Datagrams at the end of a flow that may be missing: its sender ends a moment after its receiver."""


class Flows:
    """Datagrams between all machines whose docker0 is in the overlay, for as long as the context is open."""

    def __init__(self, lab: Lab, gateways: Mapping[str, str]) -> None:
        """`gateways` are docker0's addresses, by node."""
        self._lab = lab
        self._gateways = gateways
        self._talks: dict[str, Conversation] = {}
        self.began: dict[str, float] = {}
        """By node: its CLOCK_MONOTONIC when it began."""

    def __enter__(self) -> "Flows":
        with ExitStack() as undo:
            undo.callback(self._close)
            for name, own in self._gateways.items():
                peers = {other: address for other, address in self._gateways.items() if other != name}
                asked = {"own": own, "name": name, "peers": peers, "port": PORT, "every": EVERY}
                argv = program(inside, "datagrams", json.dumps(asked))
                self._talks[name] = self._lab.node(name).converse(argv)
            for talk in self._talks.values():
                talk.hear(QUESTION.seconds)
            for talk in self._talks.values():
                talk.say("begin")
            for name, talk in self._talks.items():
                self.began[name] = json.loads(talk.hear(QUESTION.seconds))["now"]
            undo.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._close()

    def _close(self) -> None:
        def close(talk: Conversation) -> None:
            with suppress(LabError):  # one that does not react ends with its machine, or this connection
                talk.end(QUESTION.seconds)

        threads.each(close, list(self._talks.values()))

    def end(self) -> Mapping[str, Mapping[str, Any]]:
        """What each machine tells; those whose program is gone, as after a reboot, tell nothing."""
        told = threads.each(self._end, list(self._talks))
        return {name: said for name, said in told if said is not None}

    def _end(self, name: str) -> tuple[str, Mapping[str, Any] | None]:
        talk = self._talks[name]
        try:
            talk.say("")
            return name, json.loads(talk.hear(QUESTION.seconds))
        except LabError:
            return name, None


def losses(told: Mapping[str, Mapping[str, Any]], zero: float) -> Sequence[Lost]:
    """What was lost, in seconds after `zero`, of flows whose ends have both told."""
    found = []
    for receiver, said in told.items():
        for sender in told:
            if sender == receiver or receiver not in told[sender]["sent"]:
                continue
            heard = said["heard"].get(sender, {"next": 0, "last": zero, "lost": []})
            found += [Lost(sender, receiver, a - zero, b - zero, count) for a, b, count in heard["lost"]]
            missing = told[sender]["sent"][receiver] - heard["next"]
            if missing > TAIL:
                last = heard["last"] - zero
                found.append(Lost(sender, receiver, last, last + missing * EVERY, missing))
    return found
