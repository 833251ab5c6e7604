"""Impairments of a lab's machine: started, stopped and looked at by the program that runs there."""

import json
from collections.abc import Sequence
from typing import Any

from lab.deadlines import QUESTION
from lab.errors import CommandError, LabError, Unfit
from lab.faults.impairment.inside import PROGRAM
from lab.faults.impairment.model import Rule
from lab.faults.impairment.status import Status
from lab.protocols import Runs

__all__ = ["clear", "start", "status", "stop"]


def start(node: Runs, rule: Rule, way: str = "") -> None:
    """Put a rule in force, by sch_netem where the kernel has it; `way`: by `netem` or `line` in any case.

    Raises `LabError`, and then nothing has changed on the machine.
    """
    _ask(node, ["start", *([way] if way else [])], json.dumps(rule.as_document()).encode())


def stop(node: Runs, identifier: str) -> None:
    """End a rule; what was under way arrives, if that takes a few seconds at most. Raises `LabError`."""
    _ask(node, ["stop", identifier])


def clear(node: Runs) -> None:
    """End all of a machine's rules, and remove what is left of any. Raises `LabError`."""
    _ask(node, ["clear"])


def status(node: Runs) -> Status:
    """What is in force on a machine, as its kernel has it. Raises `LabError`."""
    return Status.from_document(_ask(node, ["status"]))


def _ask(node: Runs, arguments: Sequence[str], given: bytes = b"") -> Any:
    argv = PROGRAM.command(*arguments)
    done = node.run(argv, check=False, stdin=given, within=QUESTION.seconds)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise CommandError(
            node.name, argv, done.exit_code, done.output, hint=f"Run it on {node.name}."
        ) from None
    if "error" in answer:
        kind = Unfit if done.exit_code == Unfit.exit_code else LabError
        raise kind(f"{node.name}: {answer['error']}", hint=answer["hint"])
    return answer
