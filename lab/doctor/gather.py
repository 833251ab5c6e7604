"""Asks a lab's machines what the diagnoses need to know: all at the same time."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from lab import threads
from lab.checks.registry import every_check, judge
from lab.deadlines import LOOK
from lab.doctor import inside
from lab.doctor.case import Case
from lab.doctor.parse import parse_look
from lab.doctor.questions import TOPICS, of_node
from lab.doctor.seen import Look
from lab.engine import Command
from lab.errors import LabError, NoAnswer
from lab.inside import program
from lab.observe import Silent, Told, observe
from lab.protocols import LabAccess
from lab.spec import NodeSpec

__all__ = ["gather"]

ROUND = 1.5
"""Of what a machine has for everything, in terms of what one thing has: what is late has to be told, too."""


def gather(lab: LabAccess, option: str = "") -> Case:
    """What is seen of a lab; `option` is what a command needs to mean it."""
    within = ROUND * LOOK.seconds
    looking = threads.start(lambda: _looks(lab))
    seen = observe(lab, TOPICS, within=within)
    checks = [known for known in every_check() if known.needs <= TOPICS]
    return Case(seen, looking.result(), tuple(judge(seen, checks)), option)


def _looks(lab: LabAccess) -> Mapping[str, Told[Look]]:
    nodes = lab.spec.nodes
    looks = threads.each(partial(_look, lab), nodes)
    return {node.name: look for node, look in zip(nodes, looks, strict=True)}


def _look(lab: LabAccess, node: NodeSpec) -> Told[Look]:
    now = datetime.now(UTC)
    argument = json.dumps(of_node(lab.spec, node, LOOK.seconds))
    argv = program(inside, "look", argument)
    try:
        machine = lab.node(node.name)
        before = time.time()
        ends = machine.run_each({"look": Command(argv)}, within=ROUND * LOOK.seconds)
        after = time.time()
        ended = ends["look"]
        if ended.exit_code != 0:
            words = ended.stderr.decode(errors="replace").strip().splitlines()
            return Silent(words[-1] if words else f"exit status {ended.exit_code}", now)
        return parse_look(node.name, ended.stdout.decode(errors="replace"), (before, after))
    except NoAnswer as error:
        return Silent(f"did not answer in {error.seconds:.0f} s", now)
    except LabError as error:
        return Silent(error.message, now)
