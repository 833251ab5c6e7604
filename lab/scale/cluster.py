"""A cluster of many nodes in one container: making it, and what is done to it."""

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

ASKED_OF_ONE = 0.05
"""Seconds for a look at one node, at least; on top of `SANDBOX_COMMAND` for all of them."""


class Unsettled(LabError):
    """Nodes do not know what they should, or have ended; the message says which, and what they lack."""


class Cluster:
    """etcd's members and the nodes; `running` are those whose daemons run, in the order of their start."""

    def __init__(self, box: Box, program: Program, backend: str, count: int) -> None:
        self._box = box
        self._program = program
        self._backend = backend
        self._members = members(count)
        self._etcd: dict[Member, tuple[int, str]] = {}
        self._starts = Counter[Member]()
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
        box, etcd = self._box, self._members
        box.script(MAKE_SWITCH + name_members(etcd))
        self._make(etcd, [*etcd, *nodes])
        for member in etcd:
            self._etcd[member] = box.spawn(*member.argv(etcd))
        self._await_etcd(etcd)
        done = box.run(
            "etcdctl", f"--endpoints={LOCAL_URL}", "put", f"{PREFIX}/config", config(self._backend),
            netns=etcd[0].name,
        )  # fmt: skip
        if done.exit != 0:
            raise LabError(f"writing the network's configuration into etcd: {done.said.strip()[-TAIL:]}")
        self._make(nodes, etcd)
        if self._program.forks:
            if self._backend == "udp":
                box.load("elftools.elf", f"/usr/local/lib/python{PYTHON}/dist-packages")  # of its fast path
            box.load("flanneld_py", "/usr/lib/flanneld")

    def _make(self, machines: Sequence[Machine], known: Sequence[Machine]) -> None:
        plugged = "\n".join(command for each in machines for command in each.plug())
        done = self._box.run("ip", "-batch", "-", given=plugged, timeout=self._patience(len(machines)))
        if done.exit != 0:
            raise LabError(f"making {len(machines)} network namespaces: {done.said.strip()[-TAIL:]}")
        for each in machines:
            others = [other for other in known if other != each]
            done = self._box.run("sh", "-e", netns=each.name, given=each.set_up(others))
            if done.exit != 0:
                raise LabError(f"setting up the machine {each.name}: {done.said.strip()[-TAIL:]}")

    def start(self, nodes: Sequence[Node]) -> None:
        """Start their daemons."""
        for node in nodes:
            argv = node.argv(self._program, self._backend, self._members)
            self.running[node] = (
                self._box.fork(*argv, netns=node.name) if self._program.forks else self._box.spawn(*argv)
            )

    def _await_etcd(self, started: Sequence[Member]) -> None:
        """Wait until these, which were started just now, serve."""
        for member in started:
            self._starts[member] += 1
            _, log = self._etcd[member]
            said = self._box.says(log, ETCD_READY, self._starts[member], UNIT_STARTS.seconds)
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
        answer = self._look(
            "await",
            timeout=ALL_KNOW.seconds,
            still=NOTHING_CHANGES.seconds,
            more=self._strangers,
            longest=ALL_KNOW.seconds,
        )
        seconds = time.monotonic() - began
        logs = {node.name: log for node, (_, log) in self.running.items()}
        if ended := answer.get("ended"):
            name = next(iter(ended))
            self.running = {node: run for node, run in self.running.items() if node.name not in ended}
            raise Unsettled(
                f"{what}: the daemons of {_some(list(ended))} have ended; the last words of {name}'s: "
                + _tail(self._box.read(logs[name]))
            )
        if lacking := answer.get("lacking"):
            name = next(iter(lacking))
            listed = _some([f"{name} ({text})" for name, text in lacking.items()])
            raise Unsettled(
                f"{what}: after {seconds:.0f} s {len(lacking)} of {len(self.running)} nodes lack something: "
                f"{listed}; the last words of {name}'s daemon: {_tail(self._box.read(logs[name]))}",
                hint="On a busy machine LAB_PATIENCE=3 lets everything take three times as long.",
            )
        return {key: float(value) for key, value in answer.items()}

    def usage(self) -> tuple[Mapping[str, Usage], int]:
        """What every process takes that has not ended, by its node's or member's name.

        And how many entries the kernel's table of neighbours has had no room for since the machine's start.
        """
        etcd = [{"pid": self._etcd[member][0], "netns": member.name} for member in self._members]
        answer = self._look("usage", etcd=etcd)
        names = [*(node.name for node in self.running), *self.member_names]
        found = zip(names, (*answer["nodes"], *answer["etcd"]), strict=True)
        running = {name: Usage(**item) for name, item in found if item is not None}
        return running, int(answer["neighbours"]["refused"])

    def _look(self, what: str, *, longest: float = 0.0, **more: Any) -> Any:
        """Have the program in the container do one thing. `longest`: seconds that it may wait."""
        request = {
            "do": what,
            "nodes": [
                {"name": node.name, "pid": pid, "file": node.subnet_file}
                for node, (pid, _) in self.running.items()
            ],
            "backend": self._backend,
            **more,
        }
        return self._ask(request, longest)

    def _ask(self, request: Mapping[str, Any], longest: float = 0.0) -> Any:
        timeout = longest + self._patience(len(self.running))
        done = self._box.run("python3", "-I", LOOK, given=json.dumps(request), timeout=timeout)
        if done.exit != 0:
            raise LabError(f"looking at {len(self.running)} nodes: {done.said.strip()[-TAIL:]}")
        return json.loads(done.out)

    @staticmethod
    def _patience(nodes: int) -> float:
        """Seconds for something that has to be done for each of so many nodes."""
        return SANDBOX_COMMAND.seconds * (1 + nodes * ASKED_OF_ONE)

    # What is done to it

    def kill(self, nodes: Sequence[Node]) -> None:
        """Kill their daemons, all at once. Their leases stay."""
        self._box.clear([self.running.pop(node)[0] for node in nodes])

    def expire(self, nodes: Sequence[Node]) -> float:
        """End the leases of nodes whose daemons were killed; when, in seconds of the container's clock."""
        files = [{"name": node.name, "pid": 0, "file": node.subnet_file} for node in nodes]
        return float(self._ask({"do": "expire", "nodes": files, **self._store()})["at"])

    def announce(self) -> float:
        """Write the lease of a machine that does not exist into etcd; when."""
        self._announced += 1
        lease = lease_of_a_stranger(self._backend, self._announced)
        answer = self._ask(
            {"do": "announce", "nodes": [], "lease": lease, "network": str(OVERLAY), **self._store()}
        )
        self._strangers.append(str(answer["subnet"]))
        return float(answer["at"])

    def restart_etcd(self) -> None:
        """Kill all its members and start them again at once; wait until they serve."""
        for member, (pid, log) in self._etcd.items():
            new, _ = self._box.replace(pid, log, *member.argv(self._members))
            self._etcd[member] = (new, log)
        self._await_etcd(self._members)

    # What a fault does: to processes by the names of their machines, which are nodes or members of etcd

    def signal(self, names: Sequence[str], signal: str) -> None:
        """Send a signal to the daemon or the etcd of each."""
        runs = self._runs()
        for name in names:
            self._box.signal(runs[name][0], signal)

    def end(self, names: Sequence[str], signal: str) -> Sequence[str]:
        """Send a signal, and wait until they have ended; which of them have, and so do not run any more."""
        self.signal(names, signal)
        runs = self._runs()
        return [name for name in names if self._box.ends(runs[name][0], SANDBOX_COMMAND.seconds) is not None]

    def start_again(self, names: Sequence[str]) -> None:
        """Start those that have ended; etcd with the data that it had. Does not wait for it."""
        self.start([node for node in self.running if node.name in names])
        for member in self._members:
            if member.name in names:
                pid, log = self._etcd[member]
                new, _ = self._box.replace(pid, log, *member.argv(self._members))
                self._etcd[member] = (new, log)
                self._starts[member] += 1

    def serves(self) -> None:
        """Wait until every member of etcd answers, and knows a leader."""
        for member in self._members:
            longest = UNIT_STARTS.seconds
            answer = self._ask(
                {"do": "serves", "nodes": [], "etcd": member.name, "timeout": longest}, longest
            )
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

    def _store(self) -> Mapping[str, Any]:
        return {"etcd": self._members[0].name, "prefix": PREFIX}

    def now(self) -> float:
        """Seconds of the container's clock."""
        return float(self._ask({"do": "clock", "nodes": []})["at"])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _tail(log: str) -> str:
    return " | ".join(log.strip().splitlines()[-LINES:]) or "nothing"
