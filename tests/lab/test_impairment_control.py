"""The program for a node, and the lab's talk with it; what it does there is in tests/kernel."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from ipaddress import IPv4Address

import pytest

from lab.engine import ExecResult
from lab.errors import CommandError, LabError, Unfit
from lab.faults import impairment
from lab.faults.impairment import Impairment, Rule
from lab.faults.impairment.inside import command, program_files
from lab.node.files import node_files
from lab.protocols import Conversation
from lab.spec import tutorial

ADDRESS = IPv4Address("192.168.199.52")
RULE = Rule("x", Impairment(loss=0.05))
ABSENT = (
    "import sys; sys.path.insert(0, sys.argv[1]); import lab.faults.impairment.inside.impair; print(sys.path)"
)


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


def test_the_program_needs_nothing_but_its_archive_and_pythons_library(tmp_path):
    ((path, content),) = program_files().items()
    archive = tmp_path / "impair.pyz"
    archive.write_bytes(content.data)
    # Isolated, and without site-packages, as on a node.
    done = subprocess.run(
        [sys.executable, "-IS", "-c", ABSENT, str(archive)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "site-packages" not in done.stdout
    assert path.endswith(archive.name)


def test_the_archive_is_the_same_whenever_it_is_made_and_has_what_runs():
    ((path, content),) = program_files().items()
    assert program_files()[path] == content
    assert "__main__.py" in zipfile.ZipFile(BytesIO(content.data)).namelist()
    assert command("status") == ["/usr/bin/python3", "-IS", path, "status"]


def test_every_machine_has_it():
    lab = tutorial()
    for node in lab.nodes:
        assert program_files().items() <= node_files(lab, node, "amd64").items()


def test_a_rule_is_handed_over_as_json():
    node = FakeNode("{}")
    impairment.start(node, RULE)
    impairment.start(node, RULE, "line")
    (argv, given), (forced, _) = node.ran
    assert (argv, forced) == (command("start"), command("start", "line"))
    assert Rule.from_document(json.loads(given or b"")) == RULE
    impairment.stop(node, "x")
    impairment.clear(node)
    assert [argv for argv, _ in node.ran[2:]] == [command("stop", "x"), command("clear")]


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
    with pytest.raises(CommandError, match=r"impair\.pyz status"):
        impairment.status(FakeNode("Traceback", 1))
