"""What the tests of faults share: machines with daemons and pods, their readiness, and ways to harm them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lab import wait
from tests.kernel.harness import PREFIX, USUAL, Host, Process, Sandbox, eventually

__all__ = ["KINDS", "PROBES", "TTL", "UDP_WAYS", "Node", "behind_a_narrow_path", "configure", "cut", "full"]
__all__ += ["lacks", "listening", "needs", "nodes", "reach", "ready", "start"]

KINDS = ("udp", "vxlan", "host-gw")

UDP_WAYS = {
    "plain": ("-udp-fast-path=off", "-udp-offloads=off"),
    "offloads": ("-udp-fast-path=off",),
    "offloads in Python": ("-udp-fast-path=off", "-udp-offloads=python"),
    "fast path": ("-udp-fast-path=require",),
}
"""The ways in which the udp backend can carry packets, as options."""

PORT = 8285
"""Of -healthz-port; no machine has another program that listens by TCP."""

GET = f"exec 3<>/dev/tcp/127.0.0.1/{PORT} && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' $0 >&3 && cat <&3"

TTL = 10
EXPIRED = TTL + 30
"""Seconds for a lease to have ended: a busy machine holds up etcd, which then grants all of it anew."""
"""Seconds that a lease lives here; in `full`; it is renewed after 2."""


@dataclass
class Node:
    """A machine with a daemon; its `pod` has an address of the daemon's first lease."""

    host: Host
    daemon: Process
    pod: Host | None = None

    @property
    def inside(self) -> Host:
        assert self.pod is not None, "this machine was made without a pod"
        return self.pod

    def get(self, path: str) -> str:
        """Status and body: `200 flanneld is ready` of /readyz; empty while nothing listens."""
        answer = self.host.run("bash", "-c", GET, path, check=False)
        if answer.exit_code != 0:
            return ""
        head, _, words = answer.text.replace("\r\n", "\n").partition("\n\n")
        return f"{head.split()[1]} {words.strip()}"

    def dropped(self, reason: str) -> int:
        """Packets that /metrics says were dropped for this reason."""
        line = f'flanneld_dropped_packets_total{{network="",reason="{reason}"}} '
        found = [text for text in self.get("/metrics").splitlines() if text.startswith(line)]
        return int(float(found[0].removeprefix(line))) if found else 0

    def has_dropped(self, reason: str, least: int = 1) -> None:
        """Wait until so many were."""

        def probe() -> bool | wait.NotYet:
            return self.dropped(reason) >= least or wait.NotYet(self.get("/metrics"))

        eventually(probe, f"{least} packets dropped for {reason!r}")

    def says_ready(self, *words: str, timeout: float = 10) -> None:
        """Wait until /readyz begins with the first and has all others in it."""

        def probe() -> bool | wait.NotYet:
            seen = self.get("/readyz")
            well = seen.startswith(words[0]) and all(word in seen for word in words)
            return well or wait.NotYet(f"{seen!r}; log:\n{self.daemon.log}")

        eventually(probe, f"/readyz of {self.host.name} to say {words}", timeout)

    def is_well(self, timeout: float = 10) -> None:
        """Wait until it is ready and knows of nothing wrong."""

        def probe() -> bool | wait.NotYet:
            seen = self.get("/readyz")
            return seen == "200 flanneld is ready" or wait.NotYet(f"{seen!r}; log:\n{self.daemon.log}")

        eventually(probe, f"{self.host.name} to be ready and well", timeout)

    def restart(self, signal: str, altered: Mapping[str, float] = USUAL) -> None:
        """End the daemon, by KILL or TERM, and start another at once."""
        self.daemon.signal(signal)
        self.daemon.ends(5)
        self.daemon = start(self.host, altered=altered)


def start(host: Host, *options: str, path: str = "", altered: Mapping[str, float] = USUAL) -> Process:
    """A daemon that tells its readiness; with a PATH and times of its own, as `Host.flanneld` takes them."""
    health = ("-healthz-ip=127.0.0.1", f"-healthz-port={PORT}")
    return host.flanneld(*health, *options, path=path, altered=altered)


PROBES = {
    "wireguard": ("type", "wireguard"),
    # With an address: without one it would be tunl0, which the kernel itself has made.
    "ipip": ("type", "ipip", "local", "192.0.2.1"),
}
"""A device of each kind that not every kernel has, as arguments of `ip link add NAME`."""


def lacks(sandbox: Sandbox, kind: str) -> bool:
    """Whether this kernel has no devices of the kind that a backend takes."""
    if kind not in PROBES:
        return False
    probe = sandbox.run("ip", "link", "add", "probe0", *PROBES[kind], check=False)
    if probe.exit_code != 0:
        # Any other failure is the probe's own, and must not skip a test.
        assert "Unknown device type" in probe.output or "not supported" in probe.output, probe.output
        return True
    sandbox.run("ip", "link", "delete", "probe0")
    return False


def needs(sandbox: Sandbox, kind: str) -> None:
    """Skip the test where this kernel lacks the devices that a backend takes."""
    if lacks(sandbox, kind):
        pytest.skip(f"this kernel has no {kind}")


def configure(sandbox: Sandbox, kind: str, **network: object) -> None:
    """The tutorial's network with this backend, or another one; skips the test as `needs`."""
    needs(sandbox, kind)
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", **network, "Backend": {"Type": kind}}))


def nodes(
    sandbox: Sandbox,
    number: int = 2,
    *options: str,
    pods: bool = True,
    skews: Sequence[int] = (),
    altered: Mapping[str, float] = USUAL,
) -> list[Node]:
    """So many machines whose daemons hold leases and know each other, with a pod each.

    Their daemons' times may be altered, as `Host.flanneld` does; clocks may be wrong by as much as `skews`.
    """
    hosts = [sandbox.host("abcdefghij"[place]) for place in range(number)]
    clocks = [{"skew": skew} for skew in skews] or [{}] * number
    made = [
        Node(host, start(host, *options, altered={**altered, **clock}))
        for host, clock in zip(hosts, clocks, strict=True)
    ]
    for node in made:
        node.daemon.says("Subnet added: ", times=number - 1)
        if pods:
            node.pod = node.host.pod()
    return made


def full(sandbox: Sandbox, kind: str, skews: Sequence[int] = ()) -> tuple[Node, Node, Process]:
    """Two machines that know each other, a third daemon that gets no subnet, and short leases."""
    configure(sandbox, kind, Network="10.2.0.0/22", SubnetLen=24)  # flannel leaves the first subnet out
    here, there = nodes(sandbox, altered={"ttl": TTL}, skews=skews)
    (third,) = {"10.2.1", "10.2.2", "10.2.3"} - {here.host.subnet, there.host.subnet}
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{third}.0-24", '{"PublicIP":"192.168.50.99"}')
    heir = start(sandbox.host("c"), altered={"ttl": TTL})
    heir.says("Failed to acquire subnet: out of subnets")
    return here, there, heir


def ready(*of: Node, timeout: float = 10) -> None:
    for node in of:
        node.is_well(timeout)


@contextmanager
def cut(host: Host, *, incoming: Sequence[str] = (), outgoing: Sequence[str] = ()) -> Iterator[None]:
    """Lose frames that match such expressions of nft(8) on the machine's eth0, ARP's too."""
    rules = "add table netdev cut\n"
    for hook, matches in (("ingress", incoming), ("egress", outgoing)):
        rules += f"add chain netdev cut {hook} {{ type filter hook {hook} device eth0 priority 0; }}\n"
        rules += "".join(f"add rule netdev cut {hook} {match} drop\n" for match in matches)
    host.run("nft", rules)
    try:
        yield
    finally:
        host.run("nft", "delete table netdev cut")


def behind_a_narrow_path(sandbox: Sandbox, here: Host, there: Host) -> None:
    """Have them reach each other by a router whose other link has an MTU of 1300, without a word of ICMP."""
    router = sandbox.host("r")
    there.run("ip", "address", "replace", "192.168.51.12/24", "dev", "eth0")
    there.address = "192.168.51.12"
    script = f"""
        ip netns exec {there.name} ip address delete 192.168.50.12/24 dev eth0
        ip -n {router.name} address add 192.168.51.1/24 dev eth0
        ip -n {there.name} route add default via 192.168.51.1
        ip -n {here.name} route add 192.168.51.0/24 via {router.address}
        ip route add 192.168.51.0/24 via {router.address}
        ip -n {router.name} route add 192.168.51.12 dev eth0 mtu lock 1300
        ip -n {router.name} route add 192.168.50.11 dev eth0 mtu lock 1300
        for name in all eth0; do
            ip netns exec {router.name} sysctl -qw net.ipv4.conf.$name.send_redirects=0
        done
        for name in {here.name} {there.name} {router.name}; do
            ip netns exec $name sysctl -qw net.ipv4.conf.all.accept_redirects=0
        done
    """
    sandbox.run("sh", "-ec", script)
    drop = "add table inet mute; add chain inet mute out { type filter hook output priority 0; }; "
    router.run("nft", f"{drop} add rule inet mute out icmp type destination-unreachable drop")
    size = there.run("ping", "-c1", "-W1", "-M", "do", "-s", "1400", here.address, check=False)
    assert size.exit_code != 0
    assert "Frag needed" not in size.output


def reach(here: Node, there: Node, timeout: float = 20) -> None:
    """A packet crosses each way, with its source as it was."""
    here.inside.reaches(there.inside.address, here.inside.address, timeout=timeout)
    there.inside.reaches(here.inside.address, there.inside.address, timeout=timeout)


def listening(node: Node) -> Process:
    """A program in its pod that prints what it hears."""
    listener = node.inside.start("hear_words", node.inside.address)
    listener.says("listening")
    return listener
