"""The clocks of a lab's machines: all of one engine have the same, and those of several are compared."""

import json
import time
from collections.abc import Callable, Iterable, Mapping

from lab.clocks import inside
from lab.clocks.compare import Sample, quickest
from lab.cluster import Lab
from lab.deadlines import QUESTION
from lab.inside import program
from lab.node import Node

__all__ = ["ask", "one_of_each", "sample"]

SAMPLES = 8
"""Times that a machine is asked: the quickest answer says most (RFC 5905, section 10)."""

Seen = tuple[str, float, float]
"""The boot of a kernel, the clock that is compared, and the time of day, both in seconds."""


def one_of_each(lab: Lab, names: Iterable[str]) -> Mapping[str, str]:
    """One of these machines for each engine, by its name; the home comes first, if it has any."""
    home = lab.fleet.name_of_home
    of_engine = {lab.engine_of(name): name for name in names}
    return {engine: of_engine[engine] for engine in sorted(of_engine, key=lambda it: (it != home, it))}


def ask(node: Node) -> Sample:
    """What a machine's clocks say. Raises `LabError`."""
    talk = node.converse(program(inside, "clock"))

    def look() -> Seen:
        talk.say("now")
        boot, monotonic, wall = json.loads(talk.hear(QUESTION.seconds))
        return boot, monotonic, wall

    try:
        return sample(look)
    finally:
        talk.end(QUESTION.seconds)


def sample(look: Callable[[], Seen]) -> Sample:
    """What clocks say that `look` asks for, as precisely as can be seen from here."""

    def once() -> Sample:
        asked, wall = time.monotonic(), time.time()
        seen = look()
        return Sample(asked, time.monotonic(), wall, *seen)

    return quickest(once() for _ in range(SAMPLES))
