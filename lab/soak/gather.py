"""What a round's evidence is gathered from: machines are asked before it and after it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab import threads, wait
from lab.checks.expected import public_ip
from lab.clocks import ask, one_of_each
from lab.clocks.compare import Clock, compare, require_close
from lab.cluster import Lab
from lab.deadlines import QUESTION, patience
from lab.observe import PASSWORD, Lease, Topic, known, observe
from lab.observe.journal import lines_of as journal_of
from lab.observe.parse import parse_environment
from lab.observe.questions import mysql_argv
from lab.pods import RunningPod
from lab.soak.evidence import Remains
from lab.soak.history import Change
from lab.soak.records import Line, lines_of
from lab.soak.remains import ASKED, differences, parse_remains
from lab.soak.workload import RECORD, Rows

__all__ = ["Standing", "clocks", "logs", "panics", "recorded", "remains_like", "rows", "standing"]

PANICS = r"^panic: |^fatal error: |^Traceback \(most recent call last\)|SIGSEGV|segfault"
"""What the runtimes of Go, Python and C say of a program that should not have ended so."""

PANIC = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=3", f"--grep={PANICS}"]

LOG = [
    *("journalctl", "--quiet", "--no-pager", "--output=json", "--output-fields=MESSAGE,SYSLOG_IDENTIFIER"),
    *("--lines=1000", "--unit=flanneld", "--unit=docker"),
]

APPENDED = "SELECT client, number FROM lab_soak.appended"

CLEARED = 5.0
"""Seconds within which processes that are about to end do so."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lab stands outside of a round."""

    subnets: Mapping[str, str]
    """FLANNEL_SUBNET by node of the overlay; empty where there is none."""
    leases: tuple[Change, ...]
    addresses: Mapping[str, str]
    """By node, the address that the lease of its subnet names."""
    pods: tuple[RunningPod, ...]
    remains: Mapping[str, Remains]

    @property
    def networks(self) -> Mapping[str, IPv4Network]:
        """The subnets that there are."""
        return {node: IPv4Interface(text).network for node, text in self.subnets.items() if text}

    @property
    def gateways(self) -> Mapping[str, IPv4Address]:
        """docker0's addresses."""
        return {node: IPv4Interface(text).ip for node, text in self.subnets.items() if text}


def standing(lab: Lab) -> Standing:
    """How it stands now."""
    topics = {Topic.SUBNET_ENV, Topic.LEASES} | ({Topic.PODS} if lab.spec.pods else set())
    seen = observe(lab, topics)
    subnets = {}
    for node in seen.minions:
        env = known(node.subnet_env)
        subnets[node.name] = parse_environment(env.text or "").get("FLANNEL_SUBNET", "") if env else ""
    networks = {node: IPv4Interface(text).network for node, text in subnets.items() if text}
    leases = seen.leases or ()
    return Standing(
        subnets=subnets,
        leases=tuple(Change(0.0, lease.key, lease.value) for lease in leases),
        addresses={node: named for node, net in networks.items() if (named := _named(leases, net))},
        pods=seen.pods,
        remains=_remains(lab, networks),
    )


def _named(leases: Iterable[Lease], network: IPv4Network) -> str:
    return next((public_ip(lease) for lease in leases if lease.subnet == network), "")


def _running(lab: Lab) -> list[str]:
    return [name for name in lab.nodes if lab.state(name) == "running"]


def _remains(lab: Lab, subnets: Mapping[str, IPv4Network]) -> Mapping[str, Remains]:
    def of(name: str) -> tuple[str, Remains]:
        node = lab.node(name)  # one after the other, or ps would show the others
        outputs = {kind: node.run(argv, within=QUESTION.seconds).text for kind, argv in ASKED.items()}
        return name, parse_remains(outputs, subnets)

    return dict(threads.each(of, _running(lab)))


def remains_like(lab: Lab, before: Mapping[str, Remains], after: Standing) -> Mapping[str, Remains]:
    """What machines have, as soon as that is what they had, or some seconds later."""
    found = after.remains

    def same() -> bool | wait.NotYet:
        nonlocal found
        other = [name for name in found if name in before and differences(before[name], found[name])]
        if not other:
            return True
        found = _remains(lab, after.networks)
        return wait.NotYet(other)

    try:
        wait.until(same, what="machines to have what they had", timeout=CLEARED * patience())
    except wait.TimedOut:
        return found
    return found


def clocks(lab: Lab) -> Mapping[str, Clock]:
    """How each machine's clocks go: machines of one engine have the same. Raises `LabError`.

    One machine of each engine is asked, for engines may be far from each other.
    """
    asked = one_of_each(lab, lab.nodes)
    samples = dict(zip(asked, threads.each(lambda name: ask(lab.node(name)), [*asked.values()]), strict=True))
    require_close(samples)
    of_engine = compare(samples)
    return {name: of_engine[lab.engine_of(name)] for name in lab.nodes}


def recorded(lab: Lab, zero: float) -> tuple[Line, ...]:
    """What machines have written down since then, by all machines' clock."""

    def of(name: str) -> list[Line]:
        text = lab.node(name).run(["sh", "-c", 'cat "$0"; rm -f "$0"', RECORD], check=False).text
        return lines_of(name, text, zero)

    found = [line for lines in threads.each(of, _running(lab)) for line in lines]
    return tuple(sorted(found, key=lambda line: line.at))


def logs(lab: Lab, since: float, zero: float, clocks: Mapping[str, Clock]) -> tuple[Line, ...]:
    """What flanneld and Docker have said since this time of day here, and `zero` by all machines' clock."""

    def of(name: str) -> list[Line]:
        clock = clocks[name]
        text = lab.node(name).run([*LOG, f"--since=@{clock.wall(since):.0f}"], check=False).text
        said, _ = journal_of(text)
        return [
            Line(line.monotonic / 1e6 + clock.shift - zero, name, line.origin, line.message) for line in said
        ]

    found = [line for lines in threads.each(of, _running(lab)) for line in lines if line.at >= 0]
    return tuple(sorted(found, key=lambda line: line.at))


def rows(lab: Lab, pods: Iterable[RunningPod]) -> Mapping[str, Rows]:
    """What each MySQL server has of what was appended."""

    def of(pod: RunningPod) -> tuple[str, Rows]:
        asked = mysql_argv(pod, pod, "--batch", "--skip-column-names", f"--execute={APPENDED}")
        said = lab.node(pod.node).run(asked, check=False)
        if said.exit_code != 0:
            return pod.name, f"asked for its rows it said: {said.output.strip() or 'nothing'}"
        pairs = (line.split("\t") for line in said.text.splitlines())
        return pod.name, frozenset((client, int(number)) for client, number in pairs)

    servers = [pod for pod in pods if PASSWORD in pod.spec.environment and pod.address is not None]
    return dict(threads.each(of, servers))


def panics(lab: Lab, since: float, clocks: Mapping[str, Clock]) -> Mapping[str, str]:
    """What programs have written that panicked since this time of day here, by node."""

    def of(name: str) -> tuple[str, str]:
        argv = [*PANIC, f"--since=@{clocks[name].wall(since):.0f}"]
        return name, lab.node(name).run(argv, check=False).text.strip()

    return {name: text for name, text in threads.each(of, _running(lab)) if text}
