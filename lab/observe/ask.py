"""Asks a lab's nodes: one command each, all at the same time, with the answers as they arrive.

An answer that a node does not give becomes a `Silent`, and all others are still looked at.
"""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from lab import threads
from lab.deadlines import PACKET, QUESTION
from lab.engine import Command, Ended
from lab.errors import LabError, NoAnswer
from lab.node.services import parse_services
from lab.observe import questions
from lab.observe.model import (
    LOGIN_WAYS,
    File,
    Link,
    Login,
    NodeObservation,
    Observation,
    Output,
    Ping,
    Silent,
    Told,
    Topic,
    known,
)
from lab.observe.parse import (
    parse_fdb,
    parse_leases,
    parse_leases_v2,
    parse_links,
    parse_login,
    parse_neighbours,
    parse_ping,
    parse_routes,
    parse_routes6,
)
from lab.observe.probing import probe
from lab.observe.questions import Questions
from lab.pods import RunningPod, parse_inspect
from lab.protocols import LabAccess, NodeAccess
from lab.spec import LabSpec, NodeSpec
from lab.spec.interface import announced, is_led

__all__ = ["EVERYTHING", "ask_node", "observe", "run_batch", "stream"]

T = TypeVar("T")

EVERYTHING = frozenset(Topic) - {Topic.VERSION}
"""All that a check may look at."""

ACROSS = frozenset({Topic.POD_LINKS, Topic.PINGS, Topic.LOGINS, Topic.PROBES})
"""Topics that can only be asked once the pods of every node are known."""

KILLED = 137
"""The exit status of timeout(1) when it had to kill the command."""

NO_KEY = "100: Key not found"
"""What etcd says by its v2 API (EcodeKeyNotFound)."""

LEASE_PARSERS = {"v2": parse_leases_v2, "v3": parse_leases}


def observe(
    lab: LabAccess, topics: Collection[Topic] = EVERYTHING, *, within: float | None = None
) -> Observation:
    """Ask once. A node has `within` seconds for its answers, by default those of QUESTION."""
    found = {node.name: node for node in stream(lab, topics, within=within)}
    nodes = {node.name: found[node.name] for node in lab.spec.nodes}
    return Observation(lab.spec, lab.segments, nodes)


def stream(
    lab: LabAccess, topics: Collection[Topic] = EVERYTHING, *, within: float | None = None
) -> Iterator[NodeObservation]:
    """Yield each node's observation as soon as it is there, without waiting for the others.

    When all have been seen, a node is yielded once more with its pods' pings and logins and its probes.
    """
    seconds = QUESTION.seconds if within is None else within
    first: dict[str, NodeObservation] = {}
    for found in threads.as_ended(partial(_look, lab, topics=topics, seconds=seconds), lab.spec.nodes):
        first[found.name] = found
        yield found
    if not ACROSS & set(topics):
        return
    pods = sorted((pod for node in first.values() for pod in known(node.pods) or ()), key=_name)
    members = [first[node.name] for node in lab.spec.overlay]
    probing = threads.start(lambda: probe(lab, members, pods) if Topic.PROBES in topics else {})
    look = partial(_look_across, lab, pods=pods, topics=topics, seconds=seconds)
    others = [node for node in lab.spec.nodes if node.runs("flanneld") or node.runs("docker")]
    further = threads.each(look, [first[node.name] for node in others])
    probes = probing.result()
    for node in further:
        yield replace(node, probes=probes.get(node.name))


def _name(pod: RunningPod) -> str:
    return pod.name


def _look(lab: LabAccess, node: NodeSpec, *, topics: Collection[Topic], seconds: float) -> NodeObservation:
    """What a node says about itself."""
    name, now = node.name, datetime.now(UTC)
    outside = announced(lab.spec, node, lab.segments)
    asked = questions.of_node(lab.spec, node, topics, min(seconds, PACKET.seconds))
    read = _Reading(now, asked, ask_node(lab, name, asked, seconds, now))
    return NodeObservation(
        name=name,
        address=outside.address(lab.spec.families),
        address6=outside.address6,
        state=lab.state(name),
        at=now,
        services=read.answer(Topic.SERVICES, partial(parse_services, node.watched)),
        version=_version(read, min(seconds, PACKET.seconds)),
        config=read.output(Topic.CONFIG, _config),
        leases=read.answer(Topic.LEASES, LEASE_PARSERS[lab.spec.etcd_api]),
        links=read.answer(Topic.LINKS, parse_links),
        routes=read.answer(Topic.ROUTES, parse_routes),
        routes6=read.answer(Topic.ROUTES6, parse_routes6),
        neighbours=read.answer(Topic.NEIGHBOURS, parse_neighbours),
        fdb=read.answer(Topic.FDB, parse_fdb),
        subnet_env=read.output(Topic.SUBNET_ENV, _file),
        pods=read.answer(Topic.PODS, partial(parse_inspect, name)),
        commands=_commands(lab.spec, name, read) if Topic.COMMANDS in topics else None,
    )


def _look_across(
    lab: LabAccess,
    node: NodeObservation,
    *,
    pods: Collection[RunningPod],
    topics: Collection[Topic],
    seconds: float,
) -> NodeObservation:
    """What a node's pods see of all others."""
    now = datetime.now(UTC)
    (here,) = [item for item in lab.spec.nodes if item.name == node.name]
    reached = [item.name for item in lab.spec.overlay if is_led(lab.spec, here, item, lab.segments)]
    asked = questions.of_pods(node.name, tuple(pods), topics, PACKET.seconds, reached, lab.spec.families)
    outputs: Told[Mapping[str, Output]] = node.silent or {}
    if asked:
        outputs = ask_node(lab, node.name, asked, seconds, now)
    if isinstance(outputs, Silent):
        return replace(node, pod_links=outputs, pings=outputs, logins=outputs)
    return replace(
        node, pod_links=_pod_links(outputs, asked, now), pings=_pings(outputs), logins=_logins(outputs)
    )


def ask_node(
    lab: LabAccess, name: str, asked: Questions, seconds: float, now: datetime
) -> Told[Mapping[str, Output]]:
    """A node's answers; a `Silent` when it is not running, cannot be reached, or does not answer in time."""
    try:
        return run_batch(lab.node(name), asked, seconds)
    except NoAnswer as error:
        return Silent(f"did not answer in {error.seconds:.0f} s", now)
    except LabError as error:
        return Silent(error.message, now)


def run_batch(node: NodeAccess, commands: Questions, seconds: float) -> Mapping[str, Output]:
    """Run commands on a node, all at the same time. Raises `LabError`.

    One that has not finished after `seconds` is killed, and the last line of its error output says so.
    """
    if not commands:
        return {}
    ends = node.run_each({name: _command(asked) for name, asked in commands.items()}, within=seconds)
    return {name: _output(ended, seconds) for name, ended in ends.items()}


def _command(asked: Sequence[str] | Mapping[str, Any]) -> Command:
    return Command(asked["argv"], within=asked["within"]) if isinstance(asked, Mapping) else Command(asked)


def _output(ended: Ended, seconds: float) -> Output:
    out, err = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
    why = "more than 64 MiB was printed" if ended.late == "much" else f"no answer within {seconds:.0f} s"
    return Output(ended.exit_code, out, f"{err}\n{why}" if ended.late else err, ended.late)


class _Reading:
    """One node's answers, read."""

    def __init__(self, now: datetime, asked: Questions, outputs: Told[Mapping[str, Output]]) -> None:
        self._now = now
        self._asked = asked
        self._outputs = outputs

    def output(self, topic: Topic, parse: Callable[[Output], T]) -> Told[T] | None:
        """The parsed answer, however its command ended. None if the node was not asked."""
        question = topic.value
        if question not in self._asked:
            return None
        if isinstance(self._outputs, Silent):
            return self._outputs
        try:
            return parse(self._outputs[question])
        except LabError as error:
            return self.silent(question, error.message)

    def answer(self, topic: Topic, parse: Callable[[str], T]) -> Told[T] | None:
        """The parsed answer of a command that must have succeeded."""

        def succeeded(output: Output) -> T:
            if output.exit_code != 0:
                raise LabError(output.error)
            return parse(output.stdout)

        return self.output(topic, succeeded)

    def outputs(self, asked: Mapping[str, str]) -> Told[Mapping[str, Output]]:
        """The answers to several questions, by the names that these have here."""
        if isinstance(self._outputs, Silent):
            return self._outputs
        return {name: self._outputs[question] for name, question in asked.items()}

    def silent(self, question: str, reason: str) -> Silent:
        """The `Silent` for this question."""
        return _silent(self._now, self._asked, question, reason)


def _silent(now: datetime, asked: Questions, question: str, reason: str) -> Silent:
    # A program passed as text is not a command that anybody could type: name the topic instead.
    argv = asked[question]
    return Silent(reason, now, question if any("\n" in word for word in argv) else shlex.join(argv))


def _commands(spec: LabSpec, node: str, read: _Reading) -> Told[Mapping[str, Output]] | None:
    """How the commands of the lab file's checks on this node ended; None if there are none."""
    own = [item.name for item in spec.checks if item.node == node]
    return read.outputs({name: questions.of_check(name) for name in own}) if own else None


def _config(output: Output) -> str:
    """A key that is missing is an empty answer of the v3 API, and an error of the v2 API."""
    if output.exit_code != 0 and NO_KEY not in output.error:
        raise LabError(output.error)
    return output.stdout.removesuffix("\n") if output.exit_code == 0 else ""


def _file(output: Output) -> File:
    """A missing file is an answer, too."""
    return File(output.stdout) if output.exit_code == 0 else File(None, output.error)


def _version(read: _Reading, seconds: float) -> Told[str] | None:
    """The version that a flanneld prints; one that kept running instead was killed."""

    def last_line(output: Output) -> str:
        if output.exit_code == KILLED:
            raise LabError(f"it did not end in {seconds:.0f} s, and was killed")
        return output.error

    found = read.output(Topic.VERSION, last_line)
    if isinstance(found, Silent) and found.question:
        return replace(found, question="flanneld -version")  # the words before it are the lab's
    return found


def _pod_links(
    outputs: Mapping[str, Output], asked: Questions, now: datetime
) -> Told[Mapping[str, Mapping[str, Link]]]:
    """By pod; empty for one that has ended since it was listed."""
    found: dict[str, Mapping[str, Link]] = {}
    for question, output in outputs.items():
        if question.startswith("links "):
            try:
                pod = question.removeprefix("links ")
                found[pod] = parse_links(output.stdout) if output.exit_code == 0 else {}
            except LabError as error:
                return _silent(now, asked, question, error.message)
    return found


def _logins(answers: Mapping[str, Output]) -> tuple[Login, ...]:
    found = []
    for name, output in answers.items():
        way, _, pair = name.partition(" ")
        if way in LOGIN_WAYS:
            client, server = pair.split(" ")
            found.append(parse_login(client, server, way, output))
    return tuple(found)


def _pings(answers: Mapping[str, Output]) -> tuple[Ping, ...]:
    families = {word: family for family, word in questions.PINGS.items()}
    asked = [(name.split(" "), output) for name, output in answers.items()]
    return tuple(
        parse_ping(words[1], words[2], output, families[words[0]])
        for words, output in asked
        if words[0] in families
    )
