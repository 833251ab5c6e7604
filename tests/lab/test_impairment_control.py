"""The program for a node, and the lab's talk with it; what it does there is in tests/kernel."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from lab.engine import ExecResult
from lab.errors import CommandError, LabError, Unfit
from lab.faults import impairment
from lab.faults.impairment import Impairment, Rule
from lab.faults.impairment.inside import PROGRAM
from lab.protocols import Conversation

ADDRESS = IPv4Address("192.168.199.52")
RULE = Rule("x", Impairment(loss=0.05))


@dataclass
class FakeNode:
    """A machine on which the program prints this."""

    printed: str
    exit_code: int = 0
    name: str = "centos-minion01"
    address: IPv4Address = ADDRESS
    ran: list[tuple[Sequence[str], bytes | None]] = field(default_factory=list)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        assert not check, "the answer says what is wrong"
        assert within
        self.ran.append((argv, stdin))
        return ExecResult(self.exit_code, self.printed.encode(), b"")

    def converse(self, argv: Sequence[str]) -> Conversation:
        raise AssertionError(f"nobody talks with {argv}")


def test_a_rule_is_handed_over_as_json():
    node = FakeNode("{}")
    impairment.start(node, RULE)
    impairment.start(node, RULE, "line")
    (argv, given), (forced, _) = node.ran
    assert (argv, forced) == (PROGRAM.command("start"), PROGRAM.command("start", "line"))
    assert Rule.from_document(json.loads(given or b"")) == RULE
    impairment.stop(node, "x")
    impairment.clear(node)
    assert [argv for argv, _ in node.ran[2:]] == [PROGRAM.command("stop", "x"), PROGRAM.command("clear")]


def test_what_is_in_force_is_what_the_machine_says():
    standing = {"rule": RULE.as_document(), "way": "line", "missing": ["the device eth0 is gone"]}
    status = impairment.status(FakeNode(json.dumps({"rules": [standing], "strays": []})))
    ((found,), strays) = (status.rules, status.strays)
    assert (found.rule, found.in_force, strays) == (RULE, False, ())


@pytest.mark.parametrize(("exit_code", "kind"), [(1, LabError), (2, Unfit)])
def test_a_refusal_names_the_machine_and_says_what_to_do(exit_code, kind):
    node = FakeNode(
        json.dumps({"error": "there is no device eth7", "hint": "what there is: eth0"}), exit_code
    )
    with pytest.raises(LabError) as refused:
        impairment.start(node, RULE)
    assert type(refused.value) is kind
    assert refused.value.message == "centos-minion01: there is no device eth7"
    assert refused.value.hint == "what there is: eth0"


def test_a_program_that_prints_no_answer_is_told_with_its_command():
    with pytest.raises(CommandError, match=r"overlay-lab/impair status"):
        impairment.status(FakeNode("Traceback", 1))
