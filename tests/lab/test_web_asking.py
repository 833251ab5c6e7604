"""How the page's server asks machines, and what it refuses to ask them."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import LabError, Unfit
from lab.protocols import LabAccess
from lab.render import trace as rendered
from lab.spec import Flanneld, Program
from lab.trace.asked import Asked
from lab.web import actions
from lab.web.actions import Actions
from lab.web.inside import PROGRAM
from lab.web.inside.watch import checksum
from lab.web.look import Looker, first
from lab.web.watching import Watching
from tests.lab.examples import SPEC, fake_lab, observation
from tests.lab.installed import installed
from tests.lab.served import MASTER, ONE, TWO, seen

TOLD = {
    "clock": 1.0,
    "devices": {"eth0": [1, 2]},
    "pods": {},
    "peers": {},
    "answers": {},
    "faults": [],
    "marks": [],
}


@dataclass
class FakeTalk:
    """Answers each question, after what is left over from an earlier one; or not at all."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    silent: bool = False
    ended: bool = False

    def say(self, line: str) -> None:
        self.asked.append(json.loads(line))

    def hear(self, _seconds: float) -> str:
        if self.silent:
            raise LabError("it did not answer")
        return self.before.pop() if self.before else json.dumps({**TOLD, "number": self.asked[-1]["number"]})

    def end(self, _seconds: float) -> None:
        self.ended = True


@dataclass
class Machines:
    """The tutorial's lab, whose machines have such conversations."""

    talks: dict[str, list[FakeTalk]] = field(default_factory=lambda: {MASTER: [], ONE: [], TWO: []})
    stopped: str = ""
    silent: str = ""
    spec: Any = SPEC

    def state(self, name: str) -> str:
        return "exited" if name == self.stopped else "running"

    def node(self, name: str) -> Any:
        def converse(_argv: list[str]) -> FakeTalk:
            self.talks[name].append(FakeTalk(silent=name == self.silent))
            return self.talks[name][-1]

        return SimpleNamespace(converse=converse)


def ask(watching: Watching, machines: Machines) -> set[str]:
    lab = cast(LabAccess, machines)
    return set(watching.ask(lab, observation(), observation().pods, probe=True))


def test_one_program_on_each_machine_answers_again_and_again():
    watching, machines = Watching(), Machines()
    assert ask(watching, machines) == ask(watching, machines) == {MASTER, ONE, TWO}
    assert [len(talks) for talks in machines.talks.values()] == [1, 1, 1]
    assert [asked["number"] for asked in machines.talks[ONE][0].asked] == [1, 2]
    watching.end()
    assert all(talk.ended for talks in machines.talks.values() for talk in talks)


def test_a_machine_that_does_not_answer_is_left_out_and_asked_anew():
    watching, machines = Watching(), Machines(silent=ONE)
    assert ask(watching, machines) == {MASTER, TWO}
    machines.silent = ""
    assert ask(watching, machines) == {MASTER, ONE, TWO}
    assert len(machines.talks[ONE]) == 2


def test_a_machine_that_does_not_run_is_not_asked():
    assert ask(Watching(), Machines(stopped=TWO)) == {MASTER, ONE}


def test_a_daemon_is_asked_at_readyz_whether_it_is_ready_and_a_genuine_flannel_is_not():
    genuine = Flanneld(program=Program(path="/flanneld", digest="0", architecture="amd64"))
    master, one, two = SPEC.nodes
    changes = {
        "flanneld_options": (*SPEC.flanneld_options, "-healthz-port=8471"),
        "nodes": (master, one, two.model_copy(update={"flanneld": genuine})),
    }
    machines = Machines(spec=SPEC.model_copy(update=changes))
    ask(Watching(), machines)
    told = {name: talks[0].asked[0]["ready"] for name, talks in machines.talks.items()}
    assert told == {MASTER: "", ONE: "http://127.0.0.1:8471/readyz", TWO: ""}


def test_without_healthz_port_nobody_is_asked_whether_it_is_ready():
    machines = Machines()
    ask(Watching(), machines)
    assert [talks[0].asked[0]["ready"] for talks in machines.talks.values()] == ["", "", ""]


def test_an_answer_to_an_earlier_question_is_not_taken_for_this_one():
    watching, machines = Watching(), Machines()
    ask(watching, machines)
    machines.talks[ONE][0].before = [json.dumps({**TOLD, "number": 1, "clock": 0.5})]
    found = watching.ask(cast(LabAccess, machines), observation(), (), probe=False)
    assert found[ONE].clock == 1.0


def test_the_program_counts_bytes_and_ends_with_its_input(tmp_path):
    asked = {
        "number": 3,
        "probe": False,
        "ready": "",
        "etcd": True,
        "pods": {"gone": 2**22 + 1},
        "peers": {},
        "pings": {},
    }
    argv = [sys.executable, "-IS", str(installed(PROGRAM, tmp_path))]
    done = subprocess.run(
        argv, input=f"{json.dumps(asked)}\n", capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["number"], told["pods"], told["peers"], told["answers"], told["ready"]) == (
        3,
        {},
        {},
        {},
        None,
    )
    assert len(told["devices"]["lo"]) == 2


def test_the_checksum_is_that_of_the_rfc():
    # RFC 1071, 3: the sum of these is ddf2.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_before_anything_was_seen_the_machines_are_known():
    known = first(cast(Any, SimpleNamespace(**{"name": "x", "state": fake_lab().state} | lab_parts())))
    assert known.observation is not None
    assert list(known.observation.nodes) == [MASTER, ONE, TWO]
    assert str(known.observation.nodes[ONE].address) == "192.168.199.52"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LabError("the lab is gone"), "the lab is gone"),
        (
            ValueError("'x' is no address"),
            "what a machine has told cannot be read: ValueError: 'x' is no address",
        ),
        (KeyError("ifname"), "what a machine has told cannot be read: KeyError: 'ifname'"),
    ],
)
def test_a_look_that_fails_says_why_and_the_next_one_tells_again(monkeypatch, error, words):
    looker = Looker("x", lambda: cast(Any, None))
    outcomes: list[Any] = [seen(), error, seen()]

    def look(_lab: object) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(looker, "_look", look)
    whole, failed, again = (looker.look() for _ in range(3))
    assert (failed.problem, failed.observation) == (words, whole.observation)
    assert failed.at > whole.at
    assert again.problem == ""


def lab_parts() -> dict[str, Any]:
    return {"spec": fake_lab().spec, "segments": fake_lab().segments}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "source: expected a text"),
        ({"source": "a", "destination": ""}, "destination: expected a text"),
        ({"source": "a", "destination": "b", "port": 70000}, "port: expected a number from 0 to 65535"),
        ({"source": "a", "destination": "b", "port": True}, "port: expected a number"),
        ({"source": "a", "destination": "b", "protocol": "tcp"}, "tcp to which port"),
        ({"source": "a", "destination": "b", "protocol": "udp", "port": 0}, "udp to which port"),
        ({"source": "a", "destination": "b", "port": 80}, "port: icmp has none"),
        ({"source": "a", "destination": "b", "protocol": "sctp"}, "protocol: expected one of icmp, udp, tcp"),
        ({"source": "a", "destination": "b", "protocol": ["tcp"]}, "protocol: expected one of"),
        ({"source": "a", "destination": "b", "ipv6": "yes"}, "ipv6: expected true or false"),
    ],
)
def test_a_trace_that_makes_no_sense_is_refused_before_anybody_is_asked(body, words):
    with pytest.raises(Unfit, match=words):
        Actions(lambda: pytest.fail("it was looked for")).trace(body)


@pytest.mark.parametrize(
    ("body", "protocol", "port"),
    [
        ({}, "icmp", 0),
        ({"protocol": "tcp", "port": 80}, "tcp", 80),
        ({"protocol": "udp", "port": 53}, "udp", 53),
    ],
)
def test_a_trace_is_by_the_protocol_that_was_asked_for(monkeypatch, body, protocol, port):
    traced: list[Asked] = []

    def trace(_lab: object, asked: Asked) -> tuple[()]:
        traced.append(asked)
        return ()

    monkeypatch.setattr(actions, "trace", trace)
    monkeypatch.setattr(rendered, "document", lambda *_: {})
    Actions(lambda: cast(Any, None)).trace({"source": "a", "destination": "b", **body})
    assert traced == [Asked("a", "b", protocol, port)]


@pytest.mark.parametrize("body", [{"fault": "mtu", "targets": "a"}, {"fault": "mtu", "options": [1]}, {}])
def test_so_is_a_fault(body):
    with pytest.raises(Unfit, match="expected"):
        Actions(lambda: cast(Any, None)).start(body)
