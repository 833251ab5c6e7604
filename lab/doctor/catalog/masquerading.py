"""What the machines' packet filters should rewrite and do not."""

from collections.abc import Iterator
from ipaddress import ip_network

from lab.checks.expected import masquerades
from lab.doctor.case import Case
from lab.doctor.model import Found, Layer
from lab.doctor.nftables import Chain, Rule
from lab.doctor.registry import diagnosis
from lab.doctor.seen import Look


@diagnosis(
    "firewall.masquerade",
    Layer.FIREWALL,
    finds="No rule masquerades what a machine's pods send out of the overlay: flannel's where it has "
    "`-ip-masq`, else Docker's",
)
def masquerade(case: Case) -> Iterator[Found]:
    """Of IPv4."""
    for node in case.seen.overlay:
        look, spec = case.look(node.name), case.seen.node_spec(node.name)
        pods = case.pods_of(node, 4)
        if look is None or look.rules is None or look.legacy or pods is None:
            continue
        if any("ip-masq" in it or "iptables" in it for it in spec.docker.options):
            continue  # somebody has chosen not to, or how
        unit = look.units.get("docker")
        if unit is None or unit.active != "active":
            continue
        flannels = masquerades(case.seen, node.name)
        if not any(
            _masquerades(look, chain, str(pods)) for chain in look.rules.at("postrouting", "ip", "nat")
        ):
            whose = "flannel's (-ip-masq)" if flannels else "Docker's"
            evidence = (f"no rule of nat POSTROUTING masquerades packets from {pods}",)
            fix = (case.on(node.name, "systemctl", "restart", "flanneld" if flannels else "docker"),)
            what = f"{whose} masquerading is gone: what its pods send out of the overlay has no answer"
            yield Found(node.name, what, evidence, fix)


def _masquerades(look: Look, chain: Chain, pods: str, depth: int = 4) -> bool:
    """Whether a chain, or one that it jumps to, masquerades what comes from these addresses."""
    rules = look.rules
    for rule in rules.of(chain) if rules is not None else ():
        masquerading = any(
            "masquerade" in it or it.get("xt", {}).get("name") == "MASQUERADE" for it in rule.expressions
        )
        if masquerading and _from(rule, pods):
            return True
        for item in rule.expressions:
            name = (item.get("jump") or item.get("goto") or {}).get("target") if depth else None
            other = rules.chain(chain, name) if rules is not None and name else None
            if other is not None and _masquerades(look, other, pods, depth - 1):
                return True
    return False


def _from(rule: Rule, pods: str) -> bool:
    """Whether a rule may match what comes from these addresses."""
    for item in rule.expressions:
        match = item.get("match", {})
        left = match.get("left")
        if (
            isinstance(left, dict)
            and left.get("payload", {}).get("field") == "saddr"
            and match.get("op") == "=="
        ):
            prefix = match["right"].get("prefix") if isinstance(match["right"], dict) else None
            text = f"{prefix['addr']}/{prefix['len']}" if prefix else match["right"]
            if not isinstance(text, str) or text.startswith("@"):
                continue
            if not ip_network(pods).overlaps(ip_network(text)):
                return False
    return True
