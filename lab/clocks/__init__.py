"""The clocks of a lab's machines: all of one engine have the same, and those of several are compared."""

import json
import time
from collections.abc import Iterable, Mapping

from lab.clocks import inside
from lab.clocks.compare import Sample, quickest
from lab.cluster import Lab
from lab.deadlines import QUESTION
from lab.inside import program
from lab.node import Node

__all__ = ["SAMPLES", "ask", "one_of_each"]

SAMPLES = 8
"""Times that a machine is asked: the quickest answer says most (RFC 5905, section 10)."""


def one_of_each(lab: Lab, names: Iterable[str]) -> Mapping[str, str]:
    """One of these machines for each engine, by its name; the home comes first, if it has any."""
    home = lab.fleet.name_of_home
    of_engine = {lab.engine_of(name): name for name in names}
    return {engine: of_engine[engine] for engine in sorted(of_engine, key=lambda it: (it != home, it))}


def ask(node: Node) -> Sample:
    """What a machine's clocks say, as precisely as can be seen from here. Raises `LabError`."""
    found = []
    talk = node.converse(program(inside, "clock"))
    try:
        for _ in range(SAMPLES):
            asked, wall = time.monotonic(), time.time()
            talk.say("now")
            said = talk.hear(QUESTION.seconds)
            found.append(Sample(asked, time.monotonic(), wall, *json.loads(said)))
    finally:
        talk.end(QUESTION.seconds)
    return quickest(found)
