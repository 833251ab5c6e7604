"""What the machines' packet filters should have: what masquerades pods' packets, and Docker's own rules."""

from collections.abc import Iterator

from lab.checks.expected import masquerades
from lab.doctor.case import Case
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis
from lab.packet_filter import Facts, Ruleset, evaluate


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
        packet = Facts(family=4, state="new", source=pods[2])
        outcome = evaluate(look.rules, "postrouting", packet)
        if outcome.passes and not outcome.may_be_masqueraded:
            whose = "flannel's (-ip-masq)" if flannels else "Docker's"
            evidence = (f"no rule of nat POSTROUTING masquerades packets from {pods}",)
            fix = (case.on(node.name, "systemctl", "restart", "flanneld" if flannels else "docker"),)
            what = f"{whose} masquerading is gone: what its pods send out of the overlay has no answer"
            yield Found(node.name, what, evidence, fix)


@diagnosis(
    "firewall.docker",
    Layer.FIREWALL,
    severity=Severity.NOTE,
    finds="No rule leads what is forwarded to Docker's own chains: what it publishes is not reached, and its "
    "networks are not kept apart",
)
def docker(case: Case) -> Iterator[Found]:
    """Docker makes its rules when it starts, and not again. Of IPv4, of which every Docker has them."""
    for node, look, unit in case.units():
        if unit.name != "docker" or unit.active != "active" or look.rules is None or look.legacy:
            continue
        if any("iptables" in it or "firewall-backend" in it for it in node.docker.options):
            continue
        if not _leads_to_docker(look.rules):
            evidence = ("no rule of iptables' FORWARD jumps to a chain DOCKER",)
            fix = (case.on(node.name, "systemctl", "restart", "docker"),)
            yield Found(node.name, "Docker's own rules are gone", evidence, fix)


def _leads_to_docker(rules: Ruleset) -> bool:
    """Whether a rule of iptables' FORWARD jumps to one of Docker's chains, whatever its version calls it."""
    targets = (
        str(item["jump"].get("target", ""))
        for chain in rules.chains
        if (chain.family, chain.table, chain.name) == ("ip", "filter", "FORWARD")
        for each in chain.rules
        for item in each.expressions
        if "jump" in item
    )
    return any(target.startswith("DOCKER") for target in targets)
