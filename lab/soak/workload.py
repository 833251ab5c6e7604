"""What runs on a lab's machines during a round: the workload, and who writes down what happens. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from lab.observe import PASSWORD
from lab.pods import RunningPod
from lab.soak.evidence import Gap, GapKind, Missing
from lab.soak.records import ETCD, FDB, KERNEL, READY, SUBNET_ENV
from lab.spec import LabSpec, NodeSpec

__all__ = [
    "DATAGRAMS",
    "RECORD",
    "RECORDER",
    "ROWS",
    "STREAMS",
    "Rows",
    "Told",
    "Wanted",
    "acknowledged_rows",
    "cut_records",
    "gaps",
    "missing_rows",
    "other_content",
    "unasked_servers",
    "wanted",
]

Wanted = Mapping[tuple[str, str], Mapping[str, Any]]
"""What each is asked for, by node and program."""

Told = Mapping[tuple[str, str], Mapping[str, Any]]
"""What each tells, by node and program."""

Rows = frozenset[tuple[str, int]] | str
"""What a server has of the rows that were appended, by client and number; or why it does not say."""

DATAGRAMS, STREAMS, ROWS, RECORDER = "datagrams", "streams", "rows", "record"
"""Programs of `lab.soak.inside`."""

RECORD = "/var/tmp/overlay-lab-soak.jsonl"  # noqa: S108 - of a machine of the lab, where it outlives a reboot
"""What a machine has written down."""

PORTS = {DATAGRAMS: 7007, STREAMS: 7008}

EVERY = 0.05
"""Seconds between two datagrams of a flow."""

TAIL = 5
"""Datagrams at the end of a flow that may be missing: its sender ends a moment after its receiver."""

TOGETHER = 2.0
"""Seconds between two troubles that are one."""

ADDRESSES = 'ip -o -4 address show | sed "s/^/[ADDR]/"; exec "$@"'
"""What there is to begin with, in the words of `ip monitor`."""


def wanted(spec: LabSpec, gateways: Mapping[str, IPv4Address], pods: Iterable[RunningPod]) -> Wanted:
    """What each machine is asked for. `gateways` are docker0's addresses, by node."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {
        (node.name, RECORDER): _recorded(spec, node) for node in spec.nodes
    }
    servers = {
        pod.name: {"address": str(pod.address), "password": pod.spec.environment[PASSWORD]}
        for pod in pods
        if pod.address is not None and PASSWORD in pod.spec.environment
    }
    for name, own in gateways.items():
        peers = {other: str(address) for other, address in gateways.items() if other != name}
        said = {"own": str(own), "name": name}
        found[name, DATAGRAMS] = {**said, "peers": peers, "port": PORTS[DATAGRAMS], "every": EVERY}
        found[name, STREAMS] = {**said, "peers": peers, "port": PORTS[STREAMS]}
        if servers:
            found[name, ROWS] = {**said, "servers": servers}
    return found


def _recorded(spec: LabSpec, node: NodeSpec) -> Mapping[str, Any]:
    commands: dict[str, list[str]] = {}
    watches: dict[str, str] = {}
    files: dict[str, str] = {}
    urls: dict[str, str] = {}
    if node.runs("etcd") and spec.etcd_api == "v2":
        commands[ETCD] = ["etcdctl", "watch", "--forever", "--recursive", spec.etcd_prefix]
    elif node.runs("etcd"):
        watches[ETCD] = f"{spec.etcd_prefix}/"
    if node.runs("flanneld") or node.runs("docker"):
        monitor = ["ip", "-o", "monitor", "label", "link", "address", "route", "neigh", "rule"]
        commands[KERNEL] = ["sh", "-c", ADDRESSES, "sh", *monitor]
        commands[FDB] = ["bridge", "-o", "monitor", "fdb"]
        files[SUBNET_ENV] = "/run/flannel/subnet.env"
    if url := spec.readyz_url(node):
        urls[READY] = url
    return {"out": RECORD, "commands": commands, "watches": watches, "files": files, "urls": urls}


def cut_records(spec: LabSpec, told: Told) -> frozenset[str]:
    """Nodes whose recorder is gone before the end, or has left something out there."""
    whole = {node for node, said in _by(told, RECORDER).items() if not said["left_out"]}
    return frozenset({node.name for node in spec.nodes} - whole)


def gaps(told: Told, zero: float) -> list[Gap]:
    """What did not get through, of flows whose ends have both told; times are seconds after `zero`."""
    return [*_datagrams(_by(told, DATAGRAMS), zero), *_streams(_by(told, STREAMS), zero)]


def _by(told: Told, program: str) -> Mapping[str, Mapping[str, Any]]:
    return {node: said for (node, name), said in told.items() if name == program}


def _datagrams(told: Mapping[str, Mapping[str, Any]], zero: float) -> Iterator[Gap]:
    for receiver, said in told.items():
        for sender in told:
            if sender == receiver or receiver not in told[sender]["sent"]:
                continue
            heard = said["heard"].get(sender, {"next": 0, "last": zero, "lost": []})
            for after, before, count in heard["lost"]:
                yield _lost(sender, receiver, after - zero, before - zero, count)
            missing = told[sender]["sent"][receiver] - heard["next"]
            if missing > TAIL:
                last = heard["last"] - zero
                yield _lost(sender, receiver, last, last + missing * EVERY, missing)


def _lost(sender: str, receiver: str, after: float, before: float, count: int) -> Gap:
    return Gap("datagrams", sender, receiver, after, before, f"{count} lost")


def _streams(told: Mapping[str, Mapping[str, Any]], zero: float) -> Iterator[Gap]:
    """Troubles that follow each other closely are one: a peer that is gone is tried again and again."""
    for sender, said in told.items():
        open_: dict[tuple[str, GapKind], Gap] = {}
        for receiver, kind, since, until, words in sorted(said["troubles"], key=lambda item: item[2]):
            if receiver not in told or kind == "content":
                continue
            new = Gap(kind, sender, receiver, since - zero, until - zero, words)
            before = open_.get((receiver, kind))
            if before is not None and new.after - before.before <= TOGETHER:
                new = Gap(kind, sender, receiver, before.after, max(before.before, new.before), words)
            elif before is not None:
                yield before
            open_[receiver, kind] = new
        yield from open_.values()


def other_content(told: Told) -> tuple[str, ...]:
    """Messages that arrived as other ones."""
    return tuple(
        f"{sender} -> {receiver}: {words}"
        for sender, said in _by(told, STREAMS).items()
        for receiver, kind, _, _, words in said["troubles"]
        if kind == "content"
    )


def acknowledged_rows(told: Told) -> set[tuple[str, str, int]]:
    """Rows that a server has acknowledged to a client: client, server and number."""
    return {
        (client, server, number)
        for client, said in _by(told, ROWS).items()
        for server, numbers in said["acknowledged"].items()
        for number in numbers
    }


def missing_rows(told: Told, found: Mapping[str, Rows]) -> tuple[Missing, ...]:
    """Acknowledged rows that a server does not have, of those that have said which they have."""
    missing: dict[tuple[str, str], list[int]] = {}
    for client, server, number in sorted(acknowledged_rows(told)):
        rows = found.get(server)
        if isinstance(rows, frozenset) and (client, number) not in rows:
            missing.setdefault((client, server), []).append(number)
    return tuple(Missing(client, server, tuple(numbers)) for (client, server), numbers in missing.items())


def unasked_servers(told: Told, found: Mapping[str, Rows]) -> Mapping[str, str]:
    """Servers with acknowledged rows that have not said which they have, and why."""
    asked = sorted({server for _, server, _ in acknowledged_rows(told)})
    said = {server: found.get(server, "no pod of that name has an address") for server in asked}
    return {server: why for server, why in said.items() if isinstance(why, str)}
