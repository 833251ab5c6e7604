"""A cluster of many nodes in one container, or one on each of several engines: making it, harming it."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lab import wait
from lab.deadlines import ALL_KNOW, NOTHING_CHANGES, SANDBOX_COMMAND, UNIT_STARTS
from lab.errors import LabError
from lab.images.build_context import PYTHON
from lab.sandbox import Box
from lab.scale.boxes import Boxes
from lab.scale.figures import Usage
from lab.scale.inside import LOOK
from lab.scale.plan import (
    ETCD_READY,
    LOCAL_URL,
    MAKE_SWITCH,
    OVERLAY,
    PREFIX,
    Machine,
    Member,
    Node,
    Program,
    config,
    lease_of_a_stranger,
    members,
    name_members,
)

__all__ = ["Cluster", "Unsettled"]

NAMED = 5
"""Nodes that an error names."""

LINES = 3
"""Of a log that an error shows."""

TAIL = 600
"""Characters of a program's output that an error shows."""

ROUND = 5.0
"""Seconds that nodes on several engines are waited for before all leases are looked at again."""

ASKED_OF_ONE = 0.05
"""Seconds for a look at one node, at least; on top of `SANDBOX_COMMAND` for all of them."""


class Unsettled(LabError):
    """Nodes do not know what they should, or have ended; the message says which, and what they lack."""


class Cluster:
    """etcd's members and the nodes; `running` are those whose daemons run, in the order of their start."""

    def __init__(self, boxes: Boxes, program: Program, backend: str, count: int) -> None:
        self._boxes = boxes
        self._program = program
        self._backend = backend
        self._members = members(count)
        self._etcd: dict[Member, tuple[int, str]] = {}
        self._starts = Counter[Member]()
        self._of: dict[str, Box] = {}
        self._strangers: list[str] = []
        self._announced = 0
        self.running: dict[Node, tuple[int, str]] = {}

    @property
    def member_names(self) -> Sequence[str]:
        """By which `usage` names etcd's members."""
        return [each.name for each in self._members]

    # Making it

    def begin(self, nodes: Sequence[Node]) -> None:
        """Make the switch, etcd with the network's configuration, and machines without daemons."""
        etcd = self._members
        self._boxes.each(lambda box: box.script(MAKE_SWITCH + name_members(etcd)))
        self._boxes.connect()
        self._make(etcd, [*etcd, *nodes])
        for member in etcd:
            self._etcd[member] = self.box(member.name).spawn(*member.argv(etcd))
        self._await_etcd(etcd)
        done = self.box(etcd[0].name).run(
            "etcdctl", f"--endpoints={LOCAL_URL}", "put", f"{PREFIX}/config", config(self._backend),
            netns=etcd[0].name,
        )  # fmt: skip
        if done.exit != 0:
            raise LabError(f"writing the network's configuration into etcd: {done.said.strip()[-TAIL:]}")
        self._make(nodes, etcd)
        if self._program.forks:
            self._boxes.each(self._load)

    def _load(self, box: Box) -> None:
        if self._backend == "udp":
            box.load("elftools.elf", f"/usr/local/lib/python{PYTHON}/dist-packages")  # of its fast path
        box.load("flanneld_py", "/usr/lib/flanneld")

    def _make(self, machines: Sequence[Machine], known: Sequence[Machine]) -> None:
        def make(box: Box, own: Sequence[Machine]) -> None:
            plugged = "\n".join(command for each in own for command in each.plug(self._boxes.mtu))
            done = box.run("ip", "-batch", "-", given=plugged, timeout=self._patience(len(own)))
            if done.exit != 0:
                raise LabError(f"making {len(own)} network namespaces: {done.said.strip()[-TAIL:]}")
            for each in own:
                others = [other for other in known if other != each]
                done = box.run("sh", "-e", netns=each.name, given=each.set_up(others))
                if done.exit != 0:
                    raise LabError(f"setting up the machine {each.name}: {done.said.strip()[-TAIL:]}")

        for machine in machines:
            self._of[machine.name] = self._boxes.of(machine)
        self._boxes.share(machines, make)

    def box(self, name: str) -> Box:
        """The container that a machine is in."""
        return self._of[name]

    def start(self, nodes: Sequence[Node]) -> None:
        """Start their daemons."""

        def start(box: Box, own: Sequence[Node]) -> None:
            for node in own:
                argv = node.argv(self._program, self._backend, self._members)
                begun[node] = box.fork(*argv, netns=node.name) if self._program.forks else box.spawn(*argv)

        begun: dict[Node, tuple[int, str]] = {}
        self._boxes.share(nodes, start)
        self.running.update({node: begun[node] for node in nodes})

    def _await_etcd(self, started: Sequence[Member]) -> None:
        """Wait until these, which were started just now, serve."""
        for member in started:
            self._starts[member] += 1
            _, log = self._etcd[member]
            said = self.box(member.name).says(log, ETCD_READY, self._starts[member], UNIT_STARTS.seconds)
            if said is not None:
                raise wait.TimedOut(
                    f"waited {UNIT_STARTS.seconds:.0f} s for etcd's member {member.name}; last seen: "
                    + said[-TAIL:]
                )

    # Looking at it

    def settled(self, what: str) -> Mapping[str, float]:
        """Wait until all know all, and no others: `at`, and when the first daemon `began`.

        Raises `Unsettled`, also where daemons have ended by themselves, which are no longer among ours then.
        """
        began = time.monotonic()
        answer = self._await_here() if self._boxes.alone else self._await_everywhere()
        seconds = time.monotonic() - began
        logs = {node.name: log for node, (_, log) in self.running.items()}
        if ended := answer.get("ended"):
            name = next(iter(ended))
            self.running = {node: run for node, run in self.running.items() if node.name not in ended}
            raise Unsettled(
                f"{what}: the daemons of {_some(list(ended))} have ended; the last words of {name}'s: "
                + _tail(self.box(name).read(logs[name]))
            )
        if lacking := answer.get("lacking"):
            name = next(iter(lacking))
            listed = _some([f"{name} ({text})" for name, text in lacking.items()])
            raise Unsettled(
                f"{what}: after {seconds:.0f} s {len(lacking)} of {len(self.running)} nodes lack something: "
                f"{listed}; the last words of {name}'s daemon: {_tail(self.box(name).read(logs[name]))}",
                hint="On a busy machine LAB_PATIENCE=3 lets everything take three times as long.",
            )
        return {key: float(value) for key, value in answer.items()}

    def usage(self) -> tuple[Mapping[str, Usage], int]:
        """What every process takes that has not ended, by its node's or member's name.

        And how many entries the kernel's table of neighbours has had no room for since the machine's start.
        """

        def use(box: Box) -> Any:
            etcd = [
                {"name": each.name, "pid": self._etcd[each][0]}
                for each in self._members
                if self.box(each.name) is box
            ]
            return self._look(box, "usage", etcd=etcd)

        answers = self._boxes.each(use)
        found = {name: used for answer in answers for name, used in answer["used"].items()}
        names = [*(node.name for node in self.running), *self.member_names]
        running = {name: Usage(**used) for name in names if (used := found[name]) is not None}
        return running, max(int(answer["neighbours"]["refused"]) for answer in answers)

    def _await_here(self) -> Any:
        """On one engine, the program that looks waits for everything."""
        longest = ALL_KNOW.seconds
        return self._look(self._boxes.first, "await", longest, **self._until(longest), more=self._strangers)

    def _await_everywhere(self) -> Any:
        """On several, each waits for its own nodes, which are to know the others' as well."""
        deadline = time.monotonic() + ALL_KNOW.seconds
        since, before = time.monotonic(), None
        while True:
            answer = self._await_once(max(0.0, min(ROUND, deadline - time.monotonic())))
            if "lacking" not in answer:
                return answer
            if answer != before:
                since, before = time.monotonic(), answer
            if time.monotonic() > min(deadline, since + NOTHING_CHANGES.seconds):
                return answer

    def _await_once(self, longest: float) -> Any:
        """For so many seconds; then a node may have another lease than those that were waited for."""
        limits = self._until(longest)
        leased = _together(self._boxes.each(lambda box: self._look(box, "leases", longest, **limits)))
        if "subnets" not in leased:
            return leased
        known = [*self._strangers, *leased["subnets"]]
        seen = _together(
            self._boxes.each(lambda box: self._look(box, "await", longest, **limits, more=known))
        )
        if "lacking" in seen or "ended" in seen:
            return seen
        again = _together(self._boxes.each(lambda box: self._look(box, "leases", longest, **limits)))
        same = sorted(again.get("subnets", ())) == sorted(leased["subnets"])
        return seen if same else {"lacking": {self._any_node: "what another node has leased meanwhile"}}

    @property
    def _any_node(self) -> str:
        return next(iter(self.running)).name

    @staticmethod
    def _until(longest: float) -> Mapping[str, float]:
        return {"timeout": longest, "still": NOTHING_CHANGES.seconds}

    def _look(self, box: Box, what: str, longest: float = 0.0, **more: Any) -> Any:
        """Have the program in a container do one thing with its nodes. `longest`: seconds that it may wait.

        Times are those of the first engine.
        """
        request = {
            "do": what,
            "nodes": [
                {"name": node.name, "pid": pid, "file": node.subnet_file}
                for node, (pid, _) in self.running.items()
                if self.box(node.name) is box
            ],
            "backend": self._backend,
            **more,
        }
        return self._ask(box, request, longest)

    def _ask(self, box: Box, request: Mapping[str, Any], longest: float = 0.0) -> Any:
        timeout = longest + self._patience(len(self.running))
        done = box.run("python3", "-I", LOOK, given=json.dumps(request), timeout=timeout)
        if done.exit != 0:
            raise LabError(f"looking at {len(self.running)} nodes: {done.said.strip()[-TAIL:]}")
        answer = json.loads(done.out)
        shift = self._boxes.shift(box)
        return answer | {
            name: answer[name] + shift for name in ("at", "began") if answer.get(name) is not None
        }

    @staticmethod
    def _patience(nodes: int) -> float:
        """Seconds for something that has to be done for each of so many nodes."""
        return SANDBOX_COMMAND.seconds * (1 + nodes * ASKED_OF_ONE)

    # What is done to it

    def kill(self, nodes: Sequence[Node]) -> None:
        """Kill their daemons, all at once. Their leases stay."""
        self._boxes.share(nodes, lambda box, own: box.clear([self.running.pop(node)[0] for node in own]))

    def expire(self, nodes: Sequence[Node]) -> float:
        """End the leases of nodes whose daemons were killed; when, in seconds of the first engine's clock."""
        subnets: list[str] = []

        def forget(box: Box, own: Sequence[Node]) -> None:
            files = [{"name": node.name, "pid": 0, "file": node.subnet_file} for node in own]
            subnets.extend(self._ask(box, {"do": "forget", "nodes": files})["subnets"])

        self._boxes.share(nodes, forget)
        return float(self._ask_etcd("expire", subnets=subnets)["at"])

    def announce(self) -> float:
        """Write the lease of a machine that does not exist into etcd; when."""
        self._announced += 1
        lease = lease_of_a_stranger(self._backend, self._announced)
        answer = self._ask_etcd("announce", lease=lease, network=str(OVERLAY))
        self._strangers.append(str(answer["subnet"]))
        return float(answer["at"])

    def restart_etcd(self) -> None:
        """Kill all its members and start them again at once; wait until they serve."""

        def replace(box: Box, own: Sequence[Member]) -> None:
            for member in own:
                pid, log = self._etcd[member]
                new, _ = box.replace(pid, log, *member.argv(self._members))
                self._etcd[member] = (new, log)

        self._boxes.share(self._members, replace)
        self._await_etcd(self._members)

    # What a fault does: to processes by the names of their machines, which are nodes or members of etcd

    def signal(self, names: Sequence[str], signal: str) -> None:
        """Send a signal to the daemon or the etcd of each."""
        runs = self._runs()
        for name in names:
            self.box(name).signal(runs[name][0], signal)

    def end(self, names: Sequence[str], signal: str) -> Sequence[str]:
        """Send a signal, and wait until they have ended; which of them have, and so do not run any more."""
        self.signal(names, signal)
        runs = self._runs()
        return [
            name for name in names if self.box(name).ends(runs[name][0], SANDBOX_COMMAND.seconds) is not None
        ]

    def start_again(self, names: Sequence[str]) -> None:
        """Start those that have ended; etcd with the data that it had. Does not wait for it."""
        self.start([node for node in self.running if node.name in names])
        for member in self._members:
            if member.name in names:
                pid, log = self._etcd[member]
                new, _ = self.box(member.name).replace(pid, log, *member.argv(self._members))
                self._etcd[member] = (new, log)
                self._starts[member] += 1

    def serves(self) -> None:
        """Wait until every member of etcd answers, and knows a leader."""
        for member in self._members:
            longest = UNIT_STARTS.seconds
            request = {"do": "serves", "nodes": [], "etcd": member.name, "timeout": longest}
            answer = self._ask(self.box(member.name), request, longest)
            if answer["lacking"]:
                raise wait.TimedOut(
                    f"waited {longest:.0f} s for etcd's member {member.name} to know a leader; last seen: "
                    + str(answer["lacking"])
                )

    def forget_strangers(self) -> None:
        """Their leases are gone: no node is to know them."""
        self._strangers.clear()

    def _runs(self) -> Mapping[str, tuple[int, str]]:
        runs = {node.name: run for node, run in self.running.items()}
        return runs | {member.name: run for member, run in self._etcd.items()}

    def _ask_etcd(self, what: str, **more: Any) -> Any:
        """Have something done to leases, where the first member is."""
        first = self._members[0].name
        return self._ask(self.box(first), {"do": what, "nodes": [], "etcd": first, "prefix": PREFIX, **more})

    def now(self) -> float:
        """Seconds of the first engine's clock."""
        return float(self._ask(self._boxes.first, {"do": "clock", "nodes": []})["at"])


def _together(answers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the programs that wait on several engines say, as if it were one."""
    for trouble in ("ended", "lacking"):
        if any(trouble in answer for answer in answers):
            return {trouble: {k: v for answer in answers for k, v in answer.get(trouble, {}).items()}}
    if "subnets" in answers[0]:
        return {"subnets": [subnet for answer in answers for subnet in answer["subnets"]]}
    # One without a node of its own knows no beginning.
    return {
        "at": max(answer["at"] for answer in answers),
        "began": min(answer["began"] for answer in answers if answer["began"] is not None),
        "looked": sum(answer["looked"] for answer in answers),
    }


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _tail(log: str) -> str:
    return " | ".join(log.strip().splitlines()[-LINES:]) or "nothing"
