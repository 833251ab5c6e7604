"""NAT on a router: the rules of nftables by which it hides segments. Pure."""

from collections.abc import Iterator, Mapping

from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import Subnets, interfaces

__all__ = ["nat_rules"]

TABLE = """\
table ip lab-nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
{forwards}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
{hides}
  }}
}}
"""


def nat_rules(spec: LabSpec, node: NodeSpec, networks: Mapping[str, Subnets]) -> str:
    """What a router loads with `nft -f`, where the lab's segments have these subnets."""
    indent = " " * 4
    return TABLE.format(
        forwards="\n".join(f"{indent}{rule}" for rule in _forwards(spec, node, networks)),
        hides="\n".join(f"{indent}{rule}" for rule in _hides(node, networks)),
    )


def _forwards(spec: LabSpec, node: NodeSpec, networks: Mapping[str, Subnets]) -> Iterator[str]:
    """What comes to its own address from elsewhere goes on to the node behind it."""
    inside = [f'"eth{index}"' for index, place in enumerate(node.attachments) if place not in node.outside]
    for forward in node.forwards:
        target = next(item for item in spec.nodes if item.name == forward.to)
        places = zip(target.attachments, interfaces(target, networks), strict=True)
        address = next(each.of(4) for place, each in places if place.segment in node.masquerade)
        yield (
            f"iifname != {{ {', '.join(inside)} }} fib daddr type local "
            f"{forward.protocol} dport {forward.port} dnat to {address}"
        )


def _hides(node: NodeSpec, networks: Mapping[str, Subnets]) -> Iterator[str]:
    """What leaves one of its segments has its own address."""
    for index, place in enumerate(node.attachments):
        if place.segment in node.masquerade:
            yield f'ip saddr {networks[place.segment].ipv4} oifname != "eth{index}" masquerade'
