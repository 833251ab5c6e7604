"""One step of the tutorial: the original command, today's equivalent, and the expected output."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from lab.spec import EtcdApi

__all__ = ["ABSENT", "Expect", "Shown", "StepResult", "Today", "TutorialStep", "examine", "plain"]

ABSENT = "no such line"
"""The seen value when a pattern does not match."""

NUMBERS = re.compile(r"192\.168\.199\.|10\.2\.(?:35|52)\.")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\a]")


@dataclass(frozen=True, slots=True)
class Today:
    """This lab's counterparts of the tutorial's addresses: flannel picks subnets at random."""

    underlay: IPv4Network
    subnets: Mapping[str, IPv4Network]
    """The subnet of each minion, from its lease."""
    api: EtcdApi = "v3"
    programs: Mapping[str, str] = field(default_factory=dict)
    """Minions that run another flanneld than flanneld_py, and the path it was copied from."""

    def translate(self, text: str) -> str:
        """Replace the tutorial's addresses in a text by this lab's."""
        numbers = {
            "192.168.199.": _stem(self.underlay),
            "10.2.35.": _stem(self.subnets["centos-minion01"]),
            "10.2.52.": _stem(self.subnets["centos-minion02"]),
        }
        return NUMBERS.sub(lambda match: numbers[match[0]], text)


@dataclass(frozen=True, slots=True)
class Expect:
    """One expectation of a step's output."""

    what: str
    document: str
    """What the tutorial shows, with its own addresses."""
    pattern: str
    """A multi-line regular expression; its groups, joined with blanks, are the seen value."""
    today: str | None = None
    """The expected value where the lab differs on purpose; None: the tutorial's, translated."""


@dataclass(frozen=True, slots=True)
class TutorialStep:
    """One step, on one node."""

    section: str
    node: str
    """Empty for the machine that runs `lab`."""
    document: str
    command: str
    expects: tuple[Expect, ...]
    why: str = ""
    """Why the command or its output differs from the tutorial's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An expectation and what was seen."""

    what: str
    document: str
    expected: str
    seen: str
    ok: bool


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step."""

    section: str
    node: str
    document: str
    command: str
    output: str
    ok: bool
    shown: tuple[Shown, ...]
    why: str


def examine(step: TutorialStep, output: str, exit_code: int, today: Today) -> StepResult:
    """Compare a step's output with its expectations."""
    shown = tuple(_look(expect, output, today) for expect in step.expects)
    if exit_code != 0:
        shown = (Shown("exit status", "0", "0", str(exit_code), False), *shown)
    return StepResult(
        section=step.section,
        node=step.node,
        document=step.document,
        command=step.command,
        output=output,
        ok=all(item.ok for item in shown),
        shown=shown,
        why=step.why,
    )


def _look(expect: Expect, output: str, today: Today) -> Shown:
    match = re.search(expect.pattern, output, re.MULTILINE)
    seen = " ".join(match.groups()) if match else ABSENT
    expected = today.translate(expect.document) if expect.today is None else expect.today
    return Shown(expect.what, expect.document, expected, seen, seen == expected)


def plain(text: str) -> str:
    """Remove terminal control sequences from an output."""
    lines: Sequence[str] = ESCAPES.sub("", text).split("\n")
    return "\n".join(line.rstrip() for line in lines)


def _stem(network: IPv4Network) -> str:
    return str(network.network_address).rpartition(".")[0] + "."
