"""The tutorial's cluster as values: its own numbers, with the MTUs of a docker that follows flannel."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any, Literal, TypeVar

from lab import spec
from lab.engine import Command, Ended, ExecResult
from lab.errors import LabError, NoAnswer
from lab.node.services import Service
from lab.observe import (
    File,
    Lease,
    Link,
    Login,
    NodeObservation,
    Observation,
    Ping,
    Silent,
    Told,
)
from lab.pods import RunningPod
from lab.spec import ROLES, LabSpec
from lab.spec.segment import ONLY, Subnets

T = TypeVar("T")

SPEC = spec.tutorial()
UNDERLAY = IPv4Network("192.168.199.0/24")
MINIONS = {"centos-minion01": ("192.168.199.52", "10.2.35"), "centos-minion02": ("192.168.199.53", "10.2.52")}
CREATED = datetime(2016, 3, 13, 11, 24, 58, tzinfo=UTC)
PONG = "64 bytes from {}: icmp_seq=1 ttl={} time=0.2 ms\n"
PODS = ("mysql01", "mysql02")
FOLDER = "/coreos.com/network/subnets"


def link(name: str, address: str, mtu: int = 1472, queue: int | None = None) -> Link:
    return Link(name, True, mtu, queue, (address,))


AT = datetime(2026, 11, 28, 20, 31, 40, tzinfo=UTC)


@cache
def minion(name: str) -> NodeObservation:
    address, subnet = MINIONS[name]
    links = (
        link("eth0", f"{address}/24", 1500),
        link("flannel0", f"{subnet}.0/16", queue=500),
        link("docker0", f"{subnet}.1/24"),
    )
    (own,) = [item for item in map(pod, PODS) if item.node == name]
    (other,) = [item for item in map(pod, PODS) if item.node != name]
    return NodeObservation(
        name=name,
        address=IPv4Address(address),
        state="running",
        at=AT,
        services=services("minion"),
        links={item.name: item for item in links},
        routes=(
            f"10.2.0.0/16 dev flannel0 proto kernel scope link src {subnet}.0",
            f"{subnet}.0/24 dev docker0 proto kernel scope link src {subnet}.1",
            f"192.168.199.0/24 dev eth0 proto kernel scope link src {address}",
        ),
        neighbours=(),
        fdb=(),
        subnet_env=File(
            f"FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET={subnet}.1/24\n"
            "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
        ),
        pods=(own,),
        pod_links={own.name: {"eth0": link("eth0", f"{own.address}/24")}},
        # 64, less one for each machine's kernel and each machine's flanneld.
        pings=(Ping(own.name, other.name, 60, ""),),
        # Without -ip-masq Docker masquerades, so the server sees the client's machine.
        logins=tuple(
            Login(own.name, other.name, way, other.name, "9.7.0", "", f"{subnet}.0")
            for way in ("mysql", "pymysql")
        ),
        probes=tuple(Ping(name, peer, 60, "") for peer in MINIONS if peer != name),
    )


@cache
def master() -> NodeObservation:
    return NodeObservation(
        name="centos-master",
        address=IPv4Address("192.168.199.51"),
        state="running",
        at=AT,
        services=services("master"),
        config='{ "Network": "10.2.0.0/16" }',
        leases=tuple(
            Lease(
                f"{FOLDER}/{subnet}.0-24",
                IPv4Network(f"{subnet}.0/24"),
                f'{{"PublicIP":"{address}","PublicIPv6":null}}',
                86390,
            )
            for address, subnet in MINIONS.values()
        ),
    )


@cache
def pod(name: str) -> RunningPod:
    (found,) = [item for item in SPEC.pods if item.name == name]
    assert found.node is not None
    return RunningPod(
        name=name,
        node=found.node,
        address=IPv4Address(f"{MINIONS[found.node][1]}.2"),
        status="Running",
        ready="1/1",
        restarts=0,
        created=CREATED,
        spec=found,
        containers=(f"{name}_{name}",),
        infra_pid=4711,
    )


def seen_of(*nodes: NodeObservation, spec: LabSpec = SPEC, underlay: IPv4Network = UNDERLAY) -> Observation:
    return Observation(spec, {ONLY: Subnets(underlay)}, {node.name: node for node in nodes})


@cache
def observation() -> Observation:
    """The tutorial's cluster as it must be."""
    return seen_of(master(), *map(minion, MINIONS))


def changed(seen: Observation, name: str, **changes: Any) -> Observation:
    """With other answers of one node."""
    return replace(seen, nodes={**seen.nodes, name: replace(seen.nodes[name], **changes)})


def silent(node: NodeObservation, reason: str) -> NodeObservation:
    """The node when it answers nothing at all."""
    silence = Silent(reason, AT)
    told: dict[str, Any] = {
        item.name: silence
        for item in fields(node)
        if item.name not in {"name", "address", "state", "at", "probes"}
        and getattr(node, item.name) is not None
    }
    return replace(node, **told)


def services(role: Literal["master", "minion"]) -> tuple[Service, ...]:
    return tuple(Service(unit, "active", "running", CREATED) for unit in ROLES[role])


def systemctl_show(*found: Service) -> str:
    """What `systemctl show --timestamp=unix` (systemd 257) prints of services that run."""
    return "\n".join(
        f"Result=success\nNRestarts={item.restarts}\nId={item.unit}.service\nActiveState={item.state}\n"
        f"SubState={item.detail}\nActiveEnterTimestamp=@{CREATED.timestamp():.0f}\nInactiveEnterTimestamp=\n"
        for item in found
    )


def known(value: Told[T] | None) -> T:
    """What a machine has told."""
    assert value is not None
    assert not isinstance(value, Silent)
    return value


def ip_json(*links: Link) -> str:
    """What `ip -json address show` (iproute2 6) prints of these."""
    return json.dumps(
        [
            {
                "ifname": item.name,
                "flags": ["POINTOPOINT", "UP", "LOWER_UP"] if item.up else ["POINTOPOINT"],
                "mtu": item.mtu,
                **({"txqlen": item.queue} if item.queue is not None else {}),
                "addr_info": [
                    {"family": "inet", "local": local, "prefixlen": int(length), "scope": "global"}
                    for local, _, length in (address.partition("/") for address in item.addresses)
                ]
                + [{"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}],
            }
            for item in links
        ]
    )


def etcd_answer(*leases: Lease) -> str:
    """What etcdctl 3.5 prints, and the time that is left of each etcd lease."""

    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    return json.dumps(
        {
            "header": {"revision": 7},
            "kvs": [
                {"key": coded(item.key), "value": coded(item.value), "lease": 7587870000000000000 + number}
                for number, item in enumerate(leases)
            ],
            "count": len(leases),
            "ttl": {str(7587870000000000000 + number): item.ttl for number, item in enumerate(leases)},
        }
    )


@dataclass
class FakeTalk:
    """A stand-in for a container, that finds its place and gets an answer from each other one."""

    place: dict[str, str]
    answer: dict[str, Any]
    peers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    heard: int = 0

    def hear(self, seconds: float) -> str:
        assert seconds > 0
        self.heard += 1
        if self.heard == 1:
            return json.dumps(self.place)
        return json.dumps({"answers": dict.fromkeys(self.peers, self.answer)})

    def say(self, line: str) -> None:
        self.peers = json.loads(line)["peers"]

    def end(self, seconds: float) -> None:
        assert seconds > 0
        self.ended = True


@dataclass(frozen=True)
class FakeNode:
    """Answers a batch as the tutorial's machine would, and a single command with what `said` has."""

    name: str
    address: IPv4Address | IPv6Address
    answers: dict[str, tuple[str, str, int]]
    role: str = "minion"
    asked: dict[str, list[str]] = field(default_factory=dict)
    """What the batch was, for the test to look at."""
    talk: FakeTalk | None = None
    conversed: list[list[str]] = field(default_factory=list)
    """The programs that a conversation was begun with."""
    said: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Like one whose processes stand still: the engine reaches it, and it never answers."""

    def converse(self, argv: Sequence[str]) -> "FakeTalk":
        assert argv[:3] == ["/usr/bin/python3", "-IS", "-c"]
        self.conversed.append(list(argv))
        if self.talk is None or self.hangs:
            raise LabError(f"{self.name} cannot be asked")
        return self.talk

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        assert (check, stdin, within) == (False, None, None)
        return ExecResult(0, self.said.get(" ".join(argv), "").encode(), b"")

    def run_each(self, commands: Mapping[str, Command], *, within: float) -> Mapping[str, Ended]:
        if self.hangs:
            raise NoAnswer(self.name, "; ".join(commands), within)
        if not self.answers:
            raise LabError("the program that runs commands has ended: python3: not found")
        self.asked.update({name: list(command.argv) for name, command in commands.items()})
        ends = {name: self.answers[name] for name in commands}
        return {
            name: Ended(code, out.encode(), err.encode(), "all" if code == 124 else "")
            for name, (out, err, code) in ends.items()
        }


@dataclass(frozen=True)
class FakeLab:
    master: FakeNode
    minions: tuple[FakeNode, ...]
    spec: LabSpec = SPEC
    segments: Mapping[str, Subnets] = field(default_factory=lambda: {ONLY: Subnets(UNDERLAY)})

    @property
    def nodes(self) -> dict[str, FakeNode]:
        return {node.name: node for node in (self.master, *self.minions)}

    def node(self, name: str) -> FakeNode:
        return self.nodes[name]

    def state(self, name: str) -> str:
        return "running" if name in self.nodes else "absent"

    def pods(self) -> Sequence[RunningPod]:
        return observation().pods


def docker_inspect(*pods: RunningPod) -> str:
    """What `docker inspect` says of these pods' containers, as far as the lab reads it."""

    def container(found: RunningPod, name: str, part: str) -> dict[str, object]:
        (only,) = found.spec.containers
        labels = {"lab.pod": found.name, "lab.pod.part": part, "lab.pod.spec": found.spec.model_dump_json()}
        return {
            "Name": f"/{name}",
            "Config": {"Labels": labels, "Env": [f"{item.name}={item.value}" for item in only.env]},
            "State": {"Status": "running", "Pid": found.infra_pid, "ExitCode": 0},
            "RestartCount": found.restarts,
            "Created": found.created.isoformat(),
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": str(found.address)}}},
        }

    return json.dumps(
        [
            container(found, name, part)
            for found in pods
            for name, part in ((f"{found.name}_infra", "infra"), (found.containers[0], "container"))
        ]
    )


def fake_minion(seen: NodeObservation) -> FakeNode:
    (own,) = [item for item in observation().pods if item.node == seen.name]
    (other,) = [item for item in observation().pods if item.node != seen.name]
    base = f"{MINIONS[seen.name][1]}.0"
    return FakeNode(
        seen.name,
        seen.address,
        {
            "services": (systemctl_show(*services("minion")), "", 0),
            "links": (ip_json(*known(seen.links).values()), "", 0),
            "routes": ("".join(f"{route} \n" for route in known(seen.routes)), "", 0),
            "neighbours": ("[ ]\n", "", 0),
            "fdb": ("[]\n", "", 0),
            "subnet.env": (known(seen.subnet_env).text or "", "", 0),
            "pods": (docker_inspect(own), "", 0),
            "version": ("flanneld 0.1.0\n", "", 0),
            f"ping {own.name} {other.name}": (PONG.format(other.address, 60), "", 0),
            f"links {own.name}": (ip_json(known(seen.pod_links)[own.name]["eth0"]), "", 0),
            f"mysql {own.name} {other.name}": (f"{other.name}\t9.7.0\troot@{base}\n", "", 0),
            f"pymysql {own.name} {other.name}": (f"{other.name}\t9.7.0\troot@{base}\n", "", 0),
        },
        talk=FakeTalk({"address": f"{MINIONS[seen.name][1]}.254"}, {"ttl": 60}),
    )


def fake_lab() -> FakeLab:
    etcd: dict[str, tuple[str, str, int]] = {
        "services": (systemctl_show(*services("master")), "", 0),
        "config": ('{ "Network": "10.2.0.0/16" }\n', "", 0),
        "leases": (etcd_answer(*known(master().leases)), "", 0),
    }
    node = FakeNode("centos-master", IPv4Address("192.168.199.51"), etcd, "master")
    return FakeLab(node, tuple(fake_minion(item) for item in observation().minions))


def with_no_routes() -> Observation:
    """The tutorial's cluster, the first minion of which has lost flannel's route."""
    name = next(iter(MINIONS))
    routes = tuple(route for route in known(minion(name).routes) if " dev flannel0 " not in route)
    return changed(observation(), name, routes=routes)
