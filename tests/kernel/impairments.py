"""What tests of impairments share: rules on a machine, a flow of datagrams, and what is left afterwards."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

import pytest

from lab.engine import ExecResult
from lab.faults import impairment
from lab.faults.impairment import Rule, Standing, parse_impairment, parse_match
from lab.protocols import Conversation
from lab.sandbox import Namespace
from tests.kernel.dual_stack import two_machines
from tests.kernel.harness import Host, Sandbox
from tests.kernel.programs import program

__all__ = ["DIRECTIONS", "PORT", "Arrivals", "Machine", "ends", "flow", "machine_and_peer", "needs_way"]
__all__ += ["is_delayed", "state", "within"]

PORT = 5000

DIRECTIONS = ("out", "in")

LATE = 0.01
"""Seconds that the usual packet may take longer than it was to be delayed."""

FLOWS = 10
"""That may be sent until the usual packet of one is in time."""

SIZE = 200
"""Bytes of a datagram."""


@dataclass(frozen=True)
class Machine:
    """A machine of the harness, as the laboratory sees one (`lab.protocols.NodeAccess`)."""

    host: Host

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def address(self) -> IPv4Address:
        return IPv4Address(self.host.address)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        return Namespace(self.host.sandbox.box, self.name).run(argv, check=check, stdin=stdin, within=within)

    def converse(self, argv: Sequence[str]) -> Conversation:
        raise AssertionError(f"nobody talks with {argv}")

    def impair(
        self,
        identifier: str,
        what: str,
        *peers: str,
        protocol: str = "",
        port: int = 0,
        direction: str = "out",
        device: str = "eth0",
        way: str = "",
    ) -> None:
        match = parse_match(peers, protocol, port, direction)
        impairment.start(self, Rule(identifier, parse_impairment(what), match, device), way)
        standing = self.standing(identifier)
        assert standing.in_force, standing.missing

    def standing(self, identifier: str) -> Standing:
        status = impairment.status(self)
        assert not status.strays
        (found,) = [item for item in status.rules if item.rule.identifier == identifier]
        return found

    def stop(self, *identifiers: str) -> None:
        for identifier in identifiers:
            impairment.stop(self, identifier)

    @contextmanager
    def impaired(
        self,
        what: str,
        *peers: str,
        protocol: str = "",
        port: int = 0,
        direction: str = "out",
        way: str = "",
    ) -> Iterator[None]:
        """While a rule is in force, which leaves nothing behind."""
        before = state(self.host)
        self.impair("rule", what, *peers, protocol=protocol, port=port, direction=direction, way=way)
        yield
        self.stop("rule")
        assert state(self.host) == before


LEFT = """
    tc qdisc
    tc filter show dev eth0 egress
    tc filter show dev eth0 ingress
    nft --stateless list ruleset
    pgrep -f overlay-lab/impai[r] || true
"""


def state(host: Host) -> list[str]:
    """What could be left of an impairment on a machine; without counters and ages."""
    links = json.loads(host.run("ip", "-json", "address").text)
    # The kernel itself changes a bridge's operstate a while after it was made, and an address's state.
    told = [
        f"{key} of {link['ifname']}: {link.get(key)}"
        for link in links
        for key in ("mtu", "qdisc", "txqlen", "address", "promiscuity", "xdp")
    ]
    addresses = [f"{own['local']}/{own['prefixlen']}" for link in links for own in link["addr_info"]]
    return [*told, *addresses, *host.run("sh", "-ec", LEFT).text.splitlines()]


@contextmanager
def machine_and_peer(sandbox: Sandbox) -> Iterator[tuple[Machine, Host]]:
    """A machine that can be impaired, and its peer, with addresses of both families."""
    here, there = two_machines(sandbox)
    yield Machine(here), there
    impairment.clear(Machine(here))  # of a test that has failed


def ends(here: Machine, there: Host, direction: str) -> tuple[Host, Host]:
    """Source and sink of what goes out, or comes in."""
    return (here.host, there) if direction == "out" else (there, here.host)


@dataclass(frozen=True)
class Arrivals:
    """What came of a flow, in the order of its coming: numbers, seconds under way, and times."""

    sent: int
    numbers: tuple[int, ...]
    took: tuple[float, ...]
    at: tuple[float, ...]

    @classmethod
    def read(cls, sent: int, text: str) -> Self:
        lines = [json.loads(line) for line in text.splitlines()]
        numbers, took, at = zip(*lines, strict=True) if lines else ((), (), ())
        return cls(sent, numbers, took, at)

    @property
    def lost(self) -> int:
        return self.sent - len(set(self.numbers) - {-1})

    @property
    def doubled(self) -> int:
        return len(self.numbers) - len(set(self.numbers))

    def befallen(self, late: float = 0.0) -> set[int]:
        """The numbers of those that did not arrive once, or that took less than `late` seconds."""
        times = Counter(self.numbers)
        early = {number for number, took in zip(self.numbers, self.took, strict=True) if took < late}
        return {number for number in range(self.sent) if times[number] != 1} | early

    @property
    def overtaken(self) -> int:
        return sum(later < earlier for earlier, later in itertools.pairwise(self.numbers))

    @property
    def usual(self) -> float:
        """Seconds within which a tenth of them came: a busy machine is late with more, and never early."""
        return sorted(self.took)[len(self.took) // 10]

    def is_whole(self) -> bool:
        """Each came once, unchanged, and in its order."""
        return self.numbers == tuple(range(self.sent))


def flow(
    source: Host,
    sink: Host,
    number: int = 100,
    interval: float = 0.002,
    *,
    port: int = PORT,
    size: int = SIZE,
    together: int = 1,
    addresses: tuple[str, str] | None = None,
) -> Arrivals:
    """Send so many datagrams, one every `interval` seconds on average, of so many bytes.

    So many `together` are handed to the kernel as one super-packet.
    """
    from_address, to_address = addresses or (source.address, sink.address)
    words = [source.name, from_address, sink.name, to_address, port, number, interval, size, together]
    sandbox = source.sandbox
    done = sandbox.run("/usr/bin/python3", "-I", program("flow_between"), *map(str, words))
    return Arrivals.read(number, done.text)


def is_delayed(
    source: Host, sink: Host, seconds: float, *, port: int = PORT, addresses: tuple[str, str] | None = None
) -> bool:
    """Whether all packets arrive in their order, none of them early, and in time.

    A packet that is early, or gone, is the impairment's fault. One that is late may be a busy machine's,
    which stops the process that delays for longer than a whole flow lasts: then another flow is sent.
    """
    for _ in range(FLOWS):
        came = flow(source, sink, 40, 0.01, port=port, addresses=addresses)
        assert came.is_whole()
        assert min(came.took) >= seconds
        if came.usual < seconds + LATE:
            return True
    return False


def within(count: int, sent: int, probability: float) -> bool:
    """Five standard deviations of the binomial distribution: one run in two million is outside."""
    return abs(count - sent * probability) <= 5 * math.sqrt(sent * probability * (1 - probability))


def needs_way(sandbox: Sandbox, way: str) -> None:
    """Skip the test where this kernel cannot impair packets in that way."""
    if way != "netem":
        return
    sandbox.ip("link add probe0 type veth peer name probe1")
    probe = sandbox.run("tc", "qdisc", "add", "dev", "probe0", "root", "netem", "delay", "1ms", check=False)
    sandbox.ip("link delete probe0")
    if probe.exit_code != 0:
        assert "qdisc kind is unknown" in probe.output, probe.output
        pytest.skip("this kernel has no sch_netem")
