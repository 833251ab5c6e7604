"""What the machines' packet filters should rewrite and do not."""

from collections.abc import Iterator

from lab.checks.expected import masquerades
from lab.doctor.case import Case
from lab.doctor.model import Found, Layer
from lab.doctor.registry import diagnosis
from lab.packet_filter import Facts, evaluate


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
