"""Faults of the network between machines: partitions, delay, loss, rate and their like, links that flap.

They catch what leaves and enters a machine's device, whatever the backend; what carries them is
`lab.faults.impairment`.
"""

from collections.abc import Sequence

from lab.errors import Unfit
from lab.faults.catalog.device import ETH0, FOLLOWED
from lab.faults.impairment.model import PROTOCOLS, Direction, Impairment, Rule, parse_impairment, parse_match
from lab.faults.options import Option, choice, duration, flag, port, text
from lab.faults.plan import Ask, Plan, Step, together
from lab.faults.registry import state
from lab.faults.targets import GROUPS, nodes

PORT = Option("port", port, "Only this port, of either end.", "PORT")
PROTOCOL = Option("protocol", choice(*PROTOCOLS), f"Only this protocol: {', '.join(PROTOCOLS)}.", "NAME")
PEERS = Option("peer", text, "Only packets that they exchange with these machines.", "NODE[,NODE...]")
DIRECTION = Option(
    "direction", choice(*Direction), "Packets that go out, come in, or both.", "out|in|both", "out"
)
SELECTION = (PEERS, DIRECTION, PORT, PROTOCOL, ETH0)

READY = "Right readiness on both sides; flows within a side lose nothing; right again within 15 s of its end"
BOUND = "Logins succeed within a bound"


def _rule(ask: Ask, impairment: Impairment, peers: Sequence[str], direction: str) -> Step:
    """One rule, as the program on a machine takes it."""
    options = ask.options
    addresses = [str(address) for peer in peers for address in ask.addresses(peer)]
    match = parse_match(addresses, options["protocol"] or "", options["port"] or "", direction)
    rule = Rule("new", impairment, match, options["device"])
    # Where pods' packets have their own addresses, the machine adds its peers' subnets.
    return Step("impaired", {"rule": rule.as_document(), "bare": ask.setting.spec.bare})


CUT = Impairment(cut=True)


@state(
    "partition",
    GROUPS,
    does="Packets between groups of machines are dropped; with `--one-way` only those from the first group",
    holds=READY,
    options=[
        Option("one-way", flag, "Only from the first group to the others.", "", "false"),
        PORT,
        PROTOCOL,
        ETH0,
    ],
)
def partition(ask: Ask) -> Plan:
    """Each machine drops what it would send to another group, and what comes from one."""
    steps = []
    for target in ask.targets:
        others = [other.node for other in ask.targets if other.group != target.group]
        if ask.options["one-way"]:
            if target.group == 0:
                steps.append((target.node, _rule(ask, CUT, others, Direction.OUT)))
            continue
        steps.append((target.node, _rule(ask, CUT, others, Direction.BOTH)))
    return together(steps)


@state(
    "partition-etcd",
    nodes(),
    does="A machine and those with etcd do not reach each other",
    holds="Its flows go on; `/readyz` says degraded; its lease is renewed in time, or given up when it ends",
    options=[PORT, PROTOCOL, ETH0],
)
def partition_etcd(ask: Ask) -> Plan:
    """With `--port 2379` only etcd's clients."""
    every = ask.setting.etcd
    return together((node, _rule(ask, CUT, _but(every, node), Direction.BOTH)) for node in ask.nodes)


def _but(peers: Sequence[str], node: str) -> Sequence[str]:
    """These without the machine itself. Raises `Unfit` where there is no other."""
    others = [peer for peer in peers if peer != node]
    if not others:
        raise Unfit(f"{node} sends itself nothing over the network: name another machine")
    return others


def _impaired(ask: Ask, **parts: str | None) -> Plan:
    """The impairment of these parts, on every machine that is named."""
    impairment = parse_impairment(" ".join(f"{name} {value}" for name, value in parts.items() if value))
    named = ask.setting.named(ask.options["peer"].split(",")) if ask.options["peer"] else ()
    direction = ask.options["direction"]
    return together(
        (node, _rule(ask, impairment, _but(named, node) if named else (), direction)) for node in ask.nodes
    )


TIME = Option("time", text, "By how much.", "TIME", "100ms")
JITTER = Option("jitter", text, "How much that varies, either way.", "TIME")


@state("delay", nodes(), does="Packets take longer", holds=BOUND, options=[TIME, JITTER, *SELECTION])
def delay(ask: Ask) -> Plan:
    """With `--jitter` they overtake each other."""
    return _impaired(ask, delay=ask.options["time"], jitter=ask.options["jitter"])


SHARE = "SHARE"


@state(
    "loss",
    nodes(),
    does="Packets are lost",
    holds=BOUND,
    options=[Option("share", text, "How many.", SHARE, "5%"), *SELECTION],
)
def loss(ask: Ask) -> Plan:
    """Each by itself."""
    return _impaired(ask, loss=ask.options["share"])


@state(
    "rate",
    nodes(),
    does="No more than so much passes",
    holds=BOUND,
    options=[Option("limit", text, "How much.", "RATE", "20mbit"), *SELECTION],
)
def rate(ask: Ask) -> Plan:
    """Of frames, with their Ethernet headers."""
    return _impaired(ask, rate=ask.options["limit"])


@state(
    "duplicate",
    nodes(),
    does="Packets arrive twice",
    holds=BOUND,
    options=[Option("share", text, "How many.", SHARE, "5%"), *SELECTION],
)
def duplicate(ask: Ask) -> Plan:
    """Each by itself."""
    return _impaired(ask, duplicate=ask.options["share"])


@state(
    "reorder",
    nodes(),
    does="Packets overtake others, which are late",
    holds=BOUND,
    options=[Option("share", text, "How many overtake.", SHARE, "5%"), TIME, *SELECTION],
)
def reorder(ask: Ask) -> Plan:
    """Those that do not overtake are delayed."""
    return _impaired(ask, delay=ask.options["time"], reorder=ask.options["share"])


@state(
    "corrupt",
    nodes(),
    does="A bit of a packet is another one",
    holds=BOUND,
    options=[Option("share", text, "Of how many.", SHARE, "1%"), *SELECTION],
)
def corrupt(ask: Ask) -> Plan:
    """Anywhere behind the Ethernet header."""
    return _impaired(ask, corrupt=ask.options["share"])


@state(
    "flap",
    nodes(),
    does="A device goes down and up again and again",
    holds=FOLLOWED,
    options=[Option("every", duration, "The time between two changes.", "TIME", "1s"), ETH0],
)
def flap(ask: Ask) -> Plan:
    """Each time it comes up with the addresses and routes that it had."""
    given = {"device": ask.options["device"], "every": ask.options["every"]}
    return together((node, Step("link-flapping", given)) for node in ask.nodes)
