"""Asks the machines of a lab: one conversation each, for as long as a trace takes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from lab import threads
from lab.deadlines import LOOK, QUESTION
from lab.errors import LabError
from lab.naming import name_option
from lab.protocols import Conversation, LabAccess
from lab.trace import drop_reasons
from lab.trace.drop_reasons import Dropped
from lab.trace.inside import PROGRAM
from lab.trace.machine import Machine, parse_machine
from lab.trace.marks import Marks, Sighting
from lab.trace.rule_trace import Ended, read, scripts
from lab.trace.world import Answer, Question

__all__ = ["Followed", "Machines", "asking"]


@dataclass(frozen=True, slots=True)
class Followed:
    """Where a kernel will not tell what becomes of packets, and why."""

    rules: Mapping[tuple[str, str], str]
    """By machine and namespace: which rules they meet."""
    reasons: Mapping[str, str]
    """By the machine that asked: for what reasons it drops them."""

    @property
    def notes(self) -> Sequence[str]:
        """For a person whose packets are lost, and nothing explains it."""
        rules = [
            f"{'/'.join(filter(None, place))}: the kernel does not tell which rules packets meet: {why}"
            for place, why in self.rules.items()
        ]
        needs = "it takes an engine that may load BPF programs, and a kernel with BTF"
        return [
            *rules,
            *(
                f"{name}: the kernel does not tell why it drops packets: {why}; {needs}"
                for name, why in self.reasons.items()
            ),
        ]


class Machines:
    """The machines that are asked, and why others are not."""

    def __init__(self, talks: Mapping[str, Conversation], silent: Mapping[str, str], lab: str) -> None:
        self._talks = dict(talks)
        self._ended: list[Conversation] = []
        self._lab = name_option(lab)
        self.silent = dict(silent)
        """By machine: why nothing is known of it."""
        self._routes: dict[Question, Answer] = {}
        self._pids: dict[tuple[str, str], int] = {}
        self._followed: Sequence[str] = ()
        """The machines whose kernel tells of rules."""

    @property
    def names(self) -> Sequence[str]:
        """Those that answer."""
        return tuple(self._talks)

    def watch(self, namespaces: Mapping[str, Mapping[str, int]], marks: Marks) -> None:
        """Have every machine look for the marks, in its own namespace and those that are named."""
        wanted = {"values": list(marks.values()), "offsets": list(marks.offsets())}
        self._each("watch", lambda name: {"namespaces": self._of(name, namespaces), **wanted})

    def mtu(self, machine: str, pid: int, to: str) -> int:
        """How many bytes a packet may have that is sent there; 0 if there is no way. Raises `LabError`."""
        return int(self._ask(machine, {"ask": "mtu", "pid": pid, "to": to}, QUESTION.seconds)["mtu"])

    def send(self, machine: str, pid: int, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have probes sent; what came of them. Raises `LabError`."""
        seconds = QUESTION.seconds + asked["patience"] + asked["interval"] * len(asked["sizes"])
        told: Mapping[str, Any] = self._ask(machine, {"ask": "send", "pid": pid, **asked}, seconds)
        return told

    def state(self, namespaces: Mapping[str, Mapping[str, int]]) -> Mapping[str, Machine]:
        """What every machine says of itself; routes are asked for anew from then on. Raises `LabError`."""
        self._routes.clear()
        found = self._each("state", lambda name: {"namespaces": self._of(name, namespaces)})
        pids = {name: self._of(name, namespaces) for name in self.names}
        self._pids = {(name, inside): pid for name, each in pids.items() for inside, pid in each.items()}
        try:
            return {name: parse_machine(name, told, self._lab, pids[name]) for name, told in found.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"reading a machine's tables: {type(error).__name__}: {error}") from error

    def seen(self, marks: Marks) -> Sequence[Sighting]:
        """What the taps have seen."""
        found = self._each("seen", lambda _: {})
        return [
            sighting
            for name, told in found.items()
            for inside, items in told["seen"].items()
            for sighting in marks.read(name, inside, items)
        ]

    def follow(self, tables: Mapping[str, Machine], marks: Marks) -> Followed:
        """Have the kernels tell which rules marked packets meet, and why they drop them."""
        kernels = {machine.boot: name for name, machine in tables.items()}
        wanted: dict[str, dict[str, Any]] = {name: {} for name in kernels.values()}
        for name, machine in tables.items():
            for inside, space in machine.namespaces.items():
                if texts := scripts(space.ruleset, space.links, marks):
                    about = {"pid": self._pids.get((name, inside), 0), "scripts": texts}
                    wanted.setdefault(name, {})[inside] = about
        self._followed = tuple(name for name in wanted if name in self._talks)
        of_marks = {"values": list(marks.values()), "offsets": list(marks.offsets())}
        found = self._try_each(
            "follow",
            self._followed,
            lambda name: {"namespaces": wanted[name], "drops": name in kernels.values(), **of_marks},
        )
        rules: dict[tuple[str, str], str] = {}
        reasons: dict[str, str] = {}
        for name, told in found.items():
            failed = told.message if isinstance(told, LabError) else ""
            refused = {inside: [failed] for inside in wanted[name]} if failed else told["refused"]
            rules |= {(name, inside): "; ".join(why) for inside, why in refused.items() if why}
            if why := failed or told["noReasons"]:
                reasons[name] = why
        return Followed(rules, reasons)

    def met(self, marks: Marks) -> tuple[Sequence[Ended], Sequence[Dropped]]:
        """Where rules have ended packets, and why the kernels have dropped some, since `follow`.

        They tell no more from then on.
        """
        found = self._try_each("met", self._followed, lambda _: {})
        answers = {name: told for name, told in found.items() if not isinstance(told, LabError)}
        ended = [
            item
            for name, told in answers.items()
            for inside, messages in told["met"].items()
            for item in read(name, inside, messages, marks)
        ]
        dropped = [
            item for name, told in answers.items() for item in drop_reasons.read(name, told["dropped"], marks)
        ]
        return ended, dropped

    def route(self, question: Question) -> Answer:
        """What a kernel would do with a packet; asked once."""
        if question not in self._routes:
            self._routes[question] = self._route(question)
        return self._routes[question]

    def _route(self, question: Question) -> Answer:
        if question.machine not in self._talks:
            return Answer(error="the machine does not answer")
        pid = self._pids.get((question.machine, question.namespace), 0)
        asked = {"to": question.to, "source": question.source, "device": question.into}
        told = self._ask(question.machine, {"ask": "route", "pid": pid, **asked}, QUESTION.seconds)
        if why := told.get("error"):
            return Answer(error=str(why))
        route = told["route"]
        return Answer(
            device=route.get("dev", ""),
            via=route.get("gateway", "") or route.get("via", {}).get("host", ""),
            source=route.get("prefsrc", ""),
            local=route.get("type") == "local",
        )

    @staticmethod
    def _of(name: str, namespaces: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
        return {"": 0, **namespaces.get(name, {})}

    def _each(self, verb: str, given: Any) -> Mapping[str, Any]:
        """Ask all at the same time. One that fails, or hangs, is silent from then on."""
        found = self._try_each(verb, self.names, given)
        for name, told in found.items():
            if isinstance(told, LabError):
                self.silent[name] = told.message
                self._ended.append(self._talks.pop(name))
        return {name: told for name, told in found.items() if not isinstance(told, LabError)}

    def _try_each(self, verb: str, names: Sequence[str], given: Any) -> Mapping[str, Any]:
        """Ask some at the same time: what each answers, or its `LabError`."""

        def ask(name: str) -> Any:
            try:
                return self._ask(name, {"ask": verb, **given(name)}, LOOK.seconds)
            except LabError as error:
                return error

        return dict(zip(names, threads.each(ask, names), strict=True))

    def _ask(self, machine: str, asked: Mapping[str, Any], seconds: float) -> Any:
        if machine not in self._talks:
            raise LabError(
                f"{machine}: {self.silent.get(machine, 'it does not answer')}", hint="see: lab status"
            )
        talk = self._talks[machine]
        talk.say(json.dumps(asked))
        text = talk.hear(seconds)
        try:
            told = json.loads(text)
        except ValueError as error:
            raise LabError(f"{machine}: tracing: no JSON, but: {text[:200]!r}") from error
        if set(told) == {"error"} and asked["ask"] != "route":
            raise LabError(f"{machine}: tracing ({asked['ask']}): {told['error']}")
        return told

    def end(self) -> None:
        """End all conversations."""

        def end(talk: Conversation) -> None:
            with suppress(LabError):
                talk.end(LOOK.seconds)

        threads.each(end, [*self._talks.values(), *self._ended])


@contextmanager
def asking(lab: LabAccess) -> Iterator[Machines]:
    """Conversations with all machines that run, which end with the context."""

    def begin(name: str) -> tuple[str, Conversation | str]:
        try:
            return name, lab.node(name).converse(PROGRAM.command())
        except LabError as error:
            return name, error.message

    # A container that is paused takes a command, and never answers.
    begun = dict(threads.each(begin, [node.name for node in lab.spec.nodes]))
    talks = {name: it for name, it in begun.items() if not isinstance(it, str)}
    silent = {name: it for name, it in begun.items() if isinstance(it, str)}
    machines = Machines(talks, silent, lab.spec.name)
    try:
        yield machines
    finally:
        machines.end()
