"""Faults of the kernel's settings, its firewall, its routes and neighbours."""

from typing import Any

from lab.errors import Unfit
from lab.faults.options import Option, choice, flag, network, text
from lab.faults.plan import Ask, Plan, Step, together
from lab.faults.registry import state
from lab.faults.targets import nodes

NAMED = "`lab check` names it"
REPAIRED = "The daemon puts it back within 10 s, and `lab fault status` says so"

TO = Option("to", network, "Only the route to this network.", "NETWORK")
DEVICE = Option("device", text, "Another device than flannel's own.", "NAME")


def device_of(ask: Ask) -> str:
    """The device that is named, else flannel's. Raises `Unfit` where the backend has none."""
    if ask.options["device"]:
        return str(ask.options["device"])
    spec = ask.setting.spec
    found = spec.backend.device_name(spec.backend_config)
    if not found:
        raise Unfit(f"the backend {spec.backend.name} has no device of its own; name one with --device")
    return found


def on_each(ask: Ask, does: str, **given: Any) -> Plan:
    """The same step on every machine that is named."""
    return together((node, Step(does, given)) for node in ask.nodes)


@state(
    "ip-forward-off",
    nodes(),
    does="The kernel forwards nothing (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`)",
    holds=NAMED,
)
def ip_forward_off(ask: Ask) -> Plan:
    """The kernel sets every device's own setting along with these, and whether it heeds redirects."""
    wanted = {"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0"}
    along = ["net/ipv4/conf/*/forwarding", "net/ipv4/conf/all/accept_redirects", "net/ipv6/conf/*/forwarding"]
    return on_each(ask, "sysctls", **{"set": wanted, "with": along})


@state(
    "rp-filter",
    nodes(),
    does="The kernel drops packets that come by another way than it would answer them by",
    holds="Pods reach each other all the same, or `lab check` names it",
    options=[
        Option("mode", choice("strict", "loose", "off"), "How much it drops.", "strict|loose|off", "strict")
    ],
)
def rp_filter(ask: Ask) -> Plan:
    """Of every device: the greatest of `all` and the device's own counts (ip-sysctl.rst)."""
    value = {"off": "0", "strict": "1", "loose": "2"}[ask.options["mode"]]
    return on_each(ask, "sysctls", set={"net/ipv4/conf/*/rp_filter": value})


ALL_DROPPED = """\
chain forward { type filter hook forward priority -1; policy drop; counter drop
}"""


@state(
    "forward-drop",
    nodes(),
    does="The FORWARD chain drops what no rule accepts; with `--everything`, also what one accepts",
    holds="flanneld's own rules let pods' packets through; with `--everything`, `lab check` names it",
    options=[Option("everything", flag, "Whatever rules say.", "", "false")],
)
def forward_drop(ask: Ask) -> Plan:
    """As Docker sets it since 1.13."""
    if ask.options["everything"]:
        return on_each(ask, "nft-table", chains=ALL_DROPPED)
    return on_each(ask, "iptables-policy", chain="FORWARD")


@state("iptables-flush", nodes(), does="Every rule of iptables is gone", holds=REPAIRED)
def iptables_flush(ask: Ask) -> Plan:
    """`iptables -F` in every table, IPv4 and IPv6; chains and policies stay."""
    return on_each(ask, "iptables-rules-gone", matching="", what="rule")


@state("nft-flush", nodes(), does="Every table of nftables is gone, with iptables' rules", holds=REPAIRED)
def nft_flush(ask: Ask) -> Plan:
    """`nft flush ruleset`, as a firewall's service does when it is reloaded."""
    return on_each(ask, "nft-flushed")


@state(
    "masquerade-missing",
    nodes(),
    does="The rules that masquerade are gone, flanneld's and Docker's",
    holds="flanneld's own come back within 10 s; what leaves the overlay has no answer meanwhile",
)
def masquerade_missing(ask: Ask) -> Plan:
    """Of IPv4 and IPv6."""
    return on_each(ask, "iptables-rules-gone", matching=r"-j MASQUERADE\b", what="masquerading rule")


TOO_BIG = "icmp type destination-unreachable icmp code frag-needed counter drop\n"
TOO_BIG += "icmpv6 type packet-too-big counter drop"


@state(
    "pmtu-blackhole",
    nodes(),
    does="The messages that a packet is too big (ICMP, ICMPv6) are dropped; see `mtu` for a smaller path",
    holds="A 10 MB row can be selected, or a check names it",
)
def pmtu_blackhole(ask: Ask) -> Plan:
    """Those that arrive, those that are forwarded, and its own."""
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority -200; policy accept;\n{TOO_BIG}\n}}"
        for hook in ("input", "forward", "output")
    ]
    return on_each(ask, "nft-table", chains="\n".join(chains))


@state(
    "conntrack-full",
    nodes(),
    does="The table of connections is full",
    holds="Connections that exist go on",
    refused="the table's limit, net.netfilter.nf_conntrack_max, is the host's, and a machine of the lab "
    "cannot write it",
    hint="Root on the host can, for all of its machines: sysctl net.netfilter.nf_conntrack_max=64",
)
def conntrack_full(ask: Ask) -> Plan:
    """Refused."""
    raise NotImplementedError(ask)


@state(
    "route-delete",
    nodes(),
    does="The routes to other nodes' subnets are gone, or the one that `--to` names",
    holds=REPAIRED,
    options=[TO],
)
def route_delete(ask: Ask) -> Plan:
    """Those into the overlay's network, whatever device they lead through."""
    overlay = str(ask.setting.overlay)
    return on_each(ask, "routes-deleted", to=ask.options["to"], overlay=overlay)


@state(
    "segment-route-delete",
    nodes(),
    does="The route to the machines' own network is gone, or to the segment that `--to` names",
    holds="Existing flows break, and go on when it is back; leases are renewed then",
    options=[TO],
)
def segment_route_delete(ask: Ask) -> Plan:
    """The kernel does not make it again by itself while the address stays."""
    to = ask.options["to"]
    return together(
        (node, Step("routes-deleted", {"to": to or str(ask.setting.network(node, "eth0")), "overlay": None}))
        for node in ask.nodes
    )


@state(
    "neighbour-delete",
    nodes(),
    does="The neighbours of flannel's device are gone",
    holds=REPAIRED,
    options=[DEVICE],
)
def neighbour_delete(ask: Ask) -> Plan:
    """With vxlan those that flanneld enters; of eth0, ARP finds them again."""
    return on_each(ask, "neighbours-deleted", device=device_of(ask))


@state(
    "fdb-delete",
    nodes(),
    does="The FDB entries of flannel's device are gone: which node a MAC address is behind",
    holds=REPAIRED,
    options=[DEVICE],
)
def fdb_delete(ask: Ask) -> Plan:
    """vxlan's."""
    return on_each(ask, "fdb-deleted", device=device_of(ask))
