"""One step of the tutorial: the original command, today's equivalent, and the expected output. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network

from lab.spec import EtcdApi
from lab.tutorial.words import NOTHING, Words

__all__ = [
    "ABSENT",
    "Agreement",
    "Expect",
    "Shown",
    "StepResult",
    "Today",
    "TutorialStep",
    "examine",
    "plain",
    "worst",
]

ABSENT = "no such line"
"""The seen value when a pattern does not match."""

NUMBERS = re.compile(r"192\.168\.199\.|10\.2\.(?:35|52)\.|02:42:0a:02:(?:23|34):")
"""Docker's Ethernet addresses have a container's IPv4 address in them."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\a]")

UNDERLAY = "192.168.199."
ELSEWHERE = Words(
    "The document's numbers, put in terms of this lab's, whose machines are on another network.",
    "原文的数字换成本实验室的数字后相同：本实验室的主机在另一个网段。",
)
CHOSEN = Words(
    "The document's numbers, put in terms of this lab's: flannel chooses subnets at random.",
    "原文的数字换成本实验室的数字后相同：子网由 flannel 随机选取。",
)
WRONG = Words(
    "Neither what the document shows nor what is expected of a lab.",
    "既不是原文所示，也不是实验室应有的结果。",
)
READ_BACK = Words(
    "lab up has done what the document does here; the command shows what came of it.",
    "原文在这里做的事 lab up 已经做好；这条命令显示其结果。",
)


class Agreement(Enum):
    """How what is seen stands to what the document shows; the values are in the JSON document."""

    SAME = "same"
    """To the letter."""
    NORMALISED = "normalised"
    """The same but for addresses that are another lab's."""
    DIFFERENT = "different"
    """Something else, on purpose, as is expected of a lab."""
    WRONG = "wrong"
    """Something else than is expected."""


def worst(found: Sequence[Agreement]) -> Agreement:
    """The one that is furthest from the document; of none, that there is no difference."""
    order = list(Agreement)
    return max(found, key=order.index, default=Agreement.SAME)


@dataclass(frozen=True, slots=True)
class Today:
    """This lab's counterparts of the tutorial's addresses: flannel picks subnets at random."""

    underlay: IPv4Network
    subnets: Mapping[str, IPv4Network]
    """The subnet of each minion, from its lease."""
    api: EtcdApi = "v3"
    programs: Mapping[str, str] = field(default_factory=dict)
    """Minions that run another flanneld than flanneld_py, and the path it was copied from."""
    config: str | None = None
    """What flannel's configuration in etcd is at the moment; None if nobody knows."""

    def translate(self, text: str) -> str:
        """Replace the tutorial's addresses in a text by this lab's."""
        one, two = self.subnets["centos-minion01"], self.subnets["centos-minion02"]
        numbers = {
            UNDERLAY: _stem(self.underlay),
            "10.2.35.": _stem(one),
            "10.2.52.": _stem(two),
            "02:42:0a:02:23:": _ethernet_stem(one),
            "02:42:0a:02:34:": _ethernet_stem(two),
        }
        return NUMBERS.sub(lambda match: numbers[match[0]], text)


@dataclass(frozen=True, slots=True)
class Expect:
    """One expectation of a step's output."""

    what: Words
    document: str
    """What the tutorial shows, with its own addresses."""
    pattern: str
    """A multi-line regular expression; its groups, joined with blanks, are the seen value."""
    today: str | None = None
    """The expected value where the lab differs on purpose; None: the tutorial's, translated."""
    why: Words = NOTHING
    """Why it differs; nothing: for the step's own reason."""


@dataclass(frozen=True, slots=True)
class TutorialStep:
    """One step, on one node."""

    section: str
    node: str
    """Empty for the machine that runs `lab`."""
    document: str
    command: str
    expects: tuple[Expect, ...]
    why: Words = NOTHING
    """Why the command or its output differs from the tutorial's."""
    text: Words = NOTHING
    """What the document says here, in our words."""
    shows: str = ""
    """What the document prints here, with its own addresses; empty where it prints nothing."""
    document_zh: str = ""
    """Where the document has no command: `document` in Chinese."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An expectation and what was seen."""

    what: Words
    document: str
    expected: str
    seen: str
    agreement: Agreement
    why: Words = NOTHING
    """Why it is not the same."""
    lines: tuple[int, ...] = ()
    """Where it stands in the output, counted from 0."""
    document_lines: tuple[int, ...] = ()
    """Where it stands in what the document prints."""

    @property
    def ok(self) -> bool:
        """Whether what was seen is what is expected."""
        return self.agreement is not Agreement.WRONG


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step."""

    section: str
    node: str
    document: str
    command: str
    output: str
    shown: tuple[Shown, ...]
    command_agreement: Agreement
    """How the command stands to the document's."""
    why: Words = NOTHING
    text: Words = NOTHING
    shows: str = ""
    document_zh: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that it shows is as expected."""
        return all(item.ok for item in self.shown)

    @property
    def agreement(self) -> Agreement:
        """How what it shows stands to what the document shows."""
        return worst([item.agreement for item in self.shown])

    @property
    def command_why(self) -> Words:
        """Why it is another command."""
        if self.command_agreement is Agreement.SAME:
            return NOTHING
        if self.command_agreement is Agreement.NORMALISED:
            return _why_numbers(self.document)
        return self.why or READ_BACK

    @property
    def reasons(self) -> tuple[Words, ...]:
        """Why it is another command, and why what it shows is something else on purpose; each once."""
        different = [item.why for item in self.shown if item.agreement is Agreement.DIFFERENT]
        found: list[Words] = []
        for why in filter(None, (self.command_why, *different)):
            if not any(why.en in before.en for before in found):
                found.append(why)
        return tuple(found)


def examine(step: TutorialStep, output: str, exit_code: int, today: Today) -> StepResult:
    """Compare a step's output with its expectations."""
    shown = tuple(_look(step, expect, output, today) for expect in step.expects)
    if exit_code != 0:
        status = Words("exit status", "退出状态")
        shown = (Shown(status, "0", "0", str(exit_code), Agreement.WRONG, WRONG), *shown)
    return StepResult(
        section=step.section,
        node=step.node,
        document=step.document,
        command=step.command,
        output=output,
        shown=shown,
        command_agreement=_agreement(step.document, step.command, step.command, today),
        why=step.why,
        text=step.text,
        shows=step.shows,
        document_zh=step.document_zh,
    )


def _look(step: TutorialStep, expect: Expect, output: str, today: Today) -> Shown:
    match = re.search(expect.pattern, output, re.MULTILINE)
    seen = " ".join(match.groups()) if match else ABSENT
    expected = today.translate(expect.document) if expect.today is None else expect.today
    agreement = _agreement(expect.document, expected, seen, today)
    why = {
        Agreement.SAME: NOTHING,
        Agreement.NORMALISED: _why_numbers(expect.document),
        Agreement.DIFFERENT: expect.why or step.why,
        Agreement.WRONG: WRONG,
    }
    return Shown(
        what=expect.what,
        document=expect.document,
        expected=expected,
        seen=seen,
        agreement=agreement,
        why=why[agreement],
        lines=_lines(match, output),
        document_lines=_lines(
            re.search(expect.pattern, step.shows, re.MULTILINE)
            or re.search(f"({re.escape(expect.document)})", step.shows),  # a pattern with this lab's numbers
            step.shows,
        ),
    )


def _why_numbers(document: str) -> Words:
    """Why this lab has others than these."""
    return ELSEWHERE if set(NUMBERS.findall(document)) == {UNDERLAY} else CHOSEN


def _agreement(document: str, expected: str, seen: str, today: Today) -> Agreement:
    if seen != expected:
        return Agreement.WRONG
    if seen == document:
        return Agreement.SAME
    return Agreement.NORMALISED if seen == today.translate(document) else Agreement.DIFFERENT


def _lines(match: "re.Match[str] | None", text: str) -> tuple[int, ...]:
    """The lines in which the groups of a match stand."""
    if match is None:
        return ()
    starts = [match.start(number) for number in range(1, len(match.groups()) + 1)]
    return tuple(dict.fromkeys(text.count("\n", 0, start) for start in starts))


def plain(text: str) -> str:
    """Remove terminal control sequences from an output."""
    lines: Sequence[str] = ESCAPES.sub("", text).split("\n")
    return "\n".join(line.rstrip() for line in lines)


def _stem(network: IPv4Network) -> str:
    return str(network.network_address).rpartition(".")[0] + "."


def _ethernet_stem(network: IPv4Network) -> str:
    """That of a container which Docker has given an address in this subnet."""
    return "02:42:" + "".join(f"{octet:02x}:" for octet in network.network_address.packed[:3])
