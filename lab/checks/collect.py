"""Asking a lab's machines: one command each, all at the same time.

What a machine does not answer is a `Silence`, and everything else is looked at all the same.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from lab import together
from lab.access import LabAccess, NodeAccess
from lab.checks import questions
from lab.checks.facts import LOGIN_WAYS, Facts, Link, Login, Minion, Output, Ping, Silence
from lab.checks.inside import program
from lab.checks.parse import (
    parse_fdb,
    parse_leases,
    parse_leases_v2,
    parse_links,
    parse_login,
    parse_neighbours,
    parse_ping,
    parse_routes,
)
from lab.checks.probing import probe
from lab.checks.questions import Questions
from lab.deadlines import PACKET, QUESTION
from lab.errors import LabError
from lab.pods import RunningPod
from lab.services import Service, parse_services, show_argv
from lab.spec import NodeSpec

__all__ = ["collect", "run_batch"]

T = TypeVar("T")

NOT_DONE = 124
"""The exit status of what was not done in time (lab/checks/inside/batch.py)."""

KILLED = 137
"""The exit status of timeout(1) when it has killed."""

LEASE_PARSERS = {"v2": parse_leases_v2, "v3": parse_leases}


def run_batch(node: NodeAccess, commands: Questions) -> dict[str, Output]:
    """Run commands on a machine, all at once, in one call of the engine. Raises `LabError`.

    One that is not done in time is killed, and says so as its last line of complaint.
    """
    seconds = QUESTION.seconds
    result = node.run(program("batch", str(seconds)), stdin=json.dumps(commands).encode())
    late = f"no answer within {seconds:.0f} s"
    return {
        name: Output(code, out, f"{err}\n{late}" if code == NOT_DONE else err)
        for name, (out, err, code) in json.loads(result.text).items()
    }


class _Answers:
    """What one machine answered; collects what it did not."""

    def __init__(self, name: str, asked: Questions, outputs: Mapping[str, Output] | LabError) -> None:
        self.name = name
        self.silences: list[Silence] = []
        self.answered = not isinstance(outputs, LabError)
        self.outputs: Mapping[str, Output] = {}
        self._asked = asked
        if isinstance(outputs, LabError):
            self.silences.append(Silence(name, "", outputs.message))
        else:
            self.outputs = outputs

    def read(self, question: str, parse: Callable[[str], T]) -> T | None:
        """What a question's output says; None, and a `Silence`, where it failed or says something else."""
        output = self.outputs.get(question)
        if output is None:
            return None
        try:
            if output.exit_code != 0:
                raise LabError(output.error)
            return parse(output.stdout)
        except LabError as error:
            # A program that is handed over as text is no command that anybody could type.
            argv = self._asked[question]
            told = question if any("\n" in word for word in argv) else shlex.join(argv)
            self.silences.append(Silence(self.name, told, error.message))
            return None


def collect(lab: LabAccess) -> Facts:
    """Everything that the checks look at. Raises `LabError` when the lab as a whole cannot be asked."""
    pods, spec = tuple(lab.pods()), lab.spec
    asked = {node.name: _questions(lab, node, pods) for node in spec.nodes}
    probing = together.start(lambda: probe(lab, pods))
    found = together.each(lambda node: _ask(lab, node.name, asked[node.name]), spec.nodes)
    answers = dict(zip(asked, found, strict=True))
    etcd = answers[spec.running("etcd")[0].name]
    facts = Facts(
        spec=spec,
        underlay=lab.underlay,
        config=etcd.read("config", lambda text: text.removesuffix("\n")),
        leases=etcd.read("leases", LEASE_PARSERS[spec.etcd_api]),
        minions=tuple(_minion(lab, node, answers[node.name]) for node in spec.minions),
        pods=pods,
        pod_links={
            pod.name: _pod_links(pod, answers[pod.node]) for pod in pods if answers[pod.node].answered
        },
        logins=tuple(login for item in found for login in _logins(item.outputs)),
        pings=tuple(ping for item in found for ping in _pings(item.outputs)),
        probes=probing.result(),
        services=_services(spec.nodes, answers),
    )
    return replace(facts, silences=tuple(silence for item in found for silence in item.silences))


def _questions(lab: LabAccess, node: NodeSpec, pods: tuple[RunningPod, ...]) -> Questions:
    asked: dict[str, Sequence[str]] = {"services": show_argv(node.services)}
    if node.runs("etcd"):
        asked |= questions.of_etcd(lab.spec, PACKET.seconds)
    if node.runs("flanneld"):
        foreign = node.flanneld.program is not None
        asked |= questions.of_minion(node.name, pods, PACKET.seconds, foreign=foreign)
    return asked


def _ask(lab: LabAccess, name: str, asked: Questions) -> _Answers:
    try:
        return _Answers(name, asked, run_batch(lab.node(name), asked))
    except LabError as error:
        return _Answers(name, asked, error)


def _services(nodes: tuple[NodeSpec, ...], answers: Mapping[str, _Answers]) -> dict[str, tuple[Service, ...]]:
    """By machine, of those that say."""
    found = {
        node.name: answers[node.name].read("services", partial(parse_services, node.services))
        for node in nodes
    }
    return {name: services for name, services in found.items() if services is not None}


def _minion(lab: LabAccess, node: NodeSpec, answers: _Answers) -> Minion:
    env = answers.outputs.get("subnet.env")
    return Minion(
        name=node.name,
        address=lab.spec.address(node, lab.underlay),
        links=answers.read("links", parse_links),
        routes=answers.read("routes", parse_routes),
        # That there is no such file is an answer.
        subnet_env=None if env is None else env.stdout if env.exit_code == 0 else env.error,
        version=_version(answers),
        neighbours=answers.read("neighbours", parse_neighbours),
        fdb=answers.read("fdb", parse_fdb),
    )


def _version(answers: _Answers) -> str:
    """What somebody's own flanneld says of itself; one that does something else instead was killed."""
    output = answers.outputs.get("version")
    if output is None:
        return ""
    if output.exit_code != KILLED:
        return output.error
    why = f"it did not end in {PACKET.seconds:.0f} s, and was killed"
    answers.silences.append(Silence(answers.name, "flanneld -version", why))
    return ""


def _pod_links(pod: RunningPod, answers: _Answers) -> Mapping[str, Link]:
    """None of them when the pod has ended since it was listed."""
    answer = answers.outputs.get(f"links {pod.name}")
    return parse_links(answer.stdout) if answer is not None and answer.exit_code == 0 else {}


def _logins(answers: Mapping[str, Output]) -> list[Login]:
    found = []
    for name, output in answers.items():
        way, _, pair = name.partition(" ")
        if way in LOGIN_WAYS:
            client, server = pair.split(" ")
            found.append(parse_login(client, server, way, output))
    return found


def _pings(answers: Mapping[str, Output]) -> list[Ping]:
    asked = [(name.split(" "), output) for name, output in answers.items() if name.startswith("ping ")]
    return [parse_ping(client, server, output) for (_, client, server), output in asked]
