"""The programs that count bytes and send probes, one on each machine, for as long as somebody looks.

One that does not answer in time is left alone, and ends by itself; another one is asked next time.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from lab import threads
from lab.deadlines import LOOK
from lab.errors import LabError
from lab.observe import Observation
from lab.pods import RunningPod
from lab.protocols import Conversation, LabAccess
from lab.spec import NodeSpec
from lab.web.inside import PROGRAM
from lab.web.links import questions
from lab.web.model import Watched, watched_of

__all__ = ["Watching"]


class Watching:
    """The conversations with the machines. One question at a time."""

    def __init__(self) -> None:
        self._talks: dict[str, Conversation] = {}
        self._number = 0

    def ask(
        self, lab: LabAccess, seen: Observation, pods: Sequence[RunningPod], *, probe: bool
    ) -> Mapping[str, Watched]:
        """What each machine that runs tells; those that do not are left out."""
        self._number += 1
        running = [node for node in lab.spec.nodes if lab.state(node.name) == "running"]
        for name in self._talks.keys() - {node.name for node in running}:
            del self._talks[name]  # it may stand still: the program ends by itself

        def of(node: NodeSpec) -> tuple[str, Watched | None]:
            ready = lab.spec.readyz_url(node)
            asked = {**questions(seen, pods, node), "number": self._number, "probe": probe, "ready": ready}
            # The v2 store has its log written twice a second while a key has an end, as leases have.
            asked["etcd"] = lab.spec.etcd_api == "v3"
            try:
                return node.name, self._of(lab, node.name, asked)
            except LabError:
                self._talks.pop(node.name, None)
                return node.name, None

        return {name: found for name, found in threads.each(of, running) if found is not None}

    def _of(self, lab: LabAccess, node: str, asked: Mapping[str, object]) -> Watched:
        talk = self._talks.get(node)
        if talk is None:
            talk = self._talks[node] = lab.node(node).converse(PROGRAM.command())
        talk.say(json.dumps(asked))
        while True:
            text = talk.hear(LOOK.seconds)
            try:
                said = json.loads(text)
            except ValueError as error:
                raise LabError(f"the program that counts bytes printed {text[:200]!r}") from error
            if said.get("number") == asked["number"]:
                return watched_of(said)

    def end(self) -> None:
        """End them all; one that does not react ends by itself soon."""

        def end(talk: Conversation) -> None:
            with suppress(LabError):
                talk.end(LOOK.seconds)

        talks, self._talks = list(self._talks.values()), {}
        threads.each(end, talks)
