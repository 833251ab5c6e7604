"""Puts impairments into this node's kernel, takes them out, and says what is there.

    impair start [WAY]    standard input: a rule as JSON (Rule.as_document); WAY: netem or line
    impair stop ID
    impair clear          all rules, and what of ours belongs to none
    impair status

Prints JSON: what `Status.as_document` gives, or on failure `error` and `hint`. The exit status is 0, 1, or 2
where nothing was tried.
"""

import json
import sys
from collections.abc import Mapping, Sequence

from lab.errors import LabError, Unfit
from lab.faults.impairment.inside.records import Records, open_records
from lab.faults.impairment.inside.verbs import clear, start, status, stop
from lab.faults.impairment.model import Rule
from lab.faults.impairment.plan import Way

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """The program; its exit status."""
    try:
        with open_records() as records:
            answer = _act(records, argv)
    except LabError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}))  # noqa: T201 - what it is for
        return error.exit_code
    print(json.dumps(answer))  # noqa: T201
    return 0


def _act(records: Records, argv: Sequence[str]) -> Mapping[str, object]:
    match argv:
        case ["start", *way] if len(way) <= 1:
            start(records, Rule.from_document(json.load(sys.stdin)), Way(way[0]) if way else None)
        case ["stop", identifier]:
            stop(records, identifier)
        case ["clear"]:
            clear(records)
        case ["status"]:
            return status(records).as_document()
        case _:
            raise Unfit(
                f"impair {' '.join(argv)}: there is no such command", hint="start, stop, clear, status"
            )
    return {}
