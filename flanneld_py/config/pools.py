"""The network of one address family, and the subnets that may be leased of it.

Where v0.5.5 and today's flannel disagree, the stricter rule holds, so that whatever is accepted here is
accepted by both: SubnetLen leaves room for four subnets, SubnetMin and SubnetMax are aligned. Where only
their default differs (SubnetLen in a /23 and smaller: v0.5.5 takes half the network or 24, today's a
quarter) it is today's, because etcd v3 is shared with today's flannel.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Generic

from flanneld_py.config.families import Family
from flanneld_py.config.model import N, Pool
from flanneld_py.config.reader import Section, show

__all__ = ["pool"]


@dataclass(frozen=True, slots=True)
class _Given(Generic[N]):
    """What is written: None for what is missing, and for what cannot be read, which is a problem already."""

    network: N | None
    length: int | None
    lowest: IPv4Address | IPv6Address | None
    highest: IPv4Address | IPv6Address | None


def pool(section: Section, family: Family[N], *, wanted: bool, instead: str) -> Pool[N] | None:
    """The family's pool if it is wanted; None where the section's problems say why there is none.

    `instead`: how to do without this family, where the overlay has the other one too.
    What cannot be read is a problem of a family that is not wanted too, as today's flannel has it.
    """
    before = len(section.problems.found)
    given = _Given(
        _network(section, family),
        _length(section, family),
        _address(section, family, "SubnetMin"),
        _address(section, family, "SubnetMax"),
    )
    if not wanted:
        return None
    network = _usable(section, family, given.network, instead)
    length = _prefix(section, family, network, given.length)
    limits = _limits(section, family, given, network, length)
    return None if limits is None or len(section.problems.found) > before else Pool(*limits)


# What is written


def _network(section: Section, family: Family[N]) -> N | None:
    """The network, its host bits cleared as flannel does."""
    value = section.fields.get(family.key.lower())
    if value is None or value == "":
        return None
    if isinstance(value, str) and family.text.fullmatch(value):
        try:
            return family.kind(value, strict=False)
        except ValueError:
            pass
    other = family.kind is IPv4Network and isinstance(value, str) and ":" in value
    hint = "; IPv6 is what IPv6Network is for" if other else ""
    section.problems.add(family.key, f"is {show(value)}", f"give {family.wanted}{hint}")
    return None


def _length(section: Section, family: Family[N]) -> int | None:
    """The subnets' prefix; 0 for the default."""
    key = f"{family.prefix}SubnetLen"
    value = section.fields.get(key.lower(), 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        section.problems.add(key, f"is {show(value)}", f"give a number such as {family.usual}")
        return None
    if value > family.longest:
        fix = f"{key} must be less than /{family.longest + 1}, so that a subnet holds a host"
        section.problems.add(key, f"is {show(value)}", fix)
        return None
    return value


def _address(section: Section, family: Family[N], name: str) -> IPv4Address | IPv6Address | None:
    key = f"{family.prefix}{name}"
    value = section.fields.get(key.lower())
    if value is None:
        return None
    if isinstance(value, str) and "%" not in value:
        try:
            address = family.address(value)
        except ValueError:
            pass
        else:
            return None if address.is_unspecified else address  # flannel's notion of "not given"
    section.problems.add(
        key, f"is {show(value)}", f'give a subnet\'s first address, such as "{family.first}"'
    )
    return None


# What follows from it


def _usable(section: Section, family: Family[N], network: N | None, instead: str) -> N | None:
    """The network, if an overlay can have it."""
    if network is None:
        if not section.problems.about(family.key):
            fix = f"please define a correct {family.key} parameter in the flannel config: {family.wanted}"
            section.problems.add(family.key, "is missing", f"{fix}; or {instead}" if instead else fix)
        return None
    for meaning, reserved in family.reserved.items():
        if network.overlaps(reserved):
            text = f"{network} contains {meaning} addresses"
            section.problems.add(family.key, text, f"give one outside {reserved}")
            return None
    smallest = family.longest - 2
    if network.prefixlen > smallest:
        fix = f"the minimum useful network prefix is /{smallest}, for four subnets of four addresses"
        section.problems.add(family.key, f"{network} is too small", fix)
        return None
    return network


def _prefix(section: Section, family: Family[N], network: N | None, given: int | None) -> int | None:
    """The subnets' prefix, if the network has room for them."""
    if network is None or given is None:
        return None
    least = network.prefixlen + 2
    if 0 < given < least:
        section.problems.add(
            f"{family.prefix}SubnetLen",
            f"is {given}",
            f"the network must be able to accommodate at least four subnets, so give {least} to "
            f"{family.longest} with the {family.key} {network}",
        )
        return None
    return given or max(family.usual, least)


def _limits(
    section: Section, family: Family[N], given: _Given[N], network: N | None, length: int | None
) -> tuple[N, N, N] | None:
    """The network and its first and last subnet."""
    if network is None:
        return None
    keys = f"{family.prefix}SubnetMin", f"{family.prefix}SubnetMax"
    for key, address in zip(keys, (given.lowest, given.highest), strict=True):
        if address is not None:
            _inside(section, family, key, address, network, length)
    if length is None:
        return None
    size = 2 ** (network.max_prefixlen - length)
    # The first subnet is left out: its first address, on the tunnel device, would be the network's own.
    lowest = int(network.network_address) + size if given.lowest is None else int(given.lowest)
    highest = int(network.broadcast_address) + 1 - size if given.highest is None else int(given.highest)
    if lowest > highest and not any(map(section.problems.about, keys)):
        first, last = family.address(lowest), family.address(highest)
        implied = " (where it is not given)" if given.lowest is None else ""
        text = f"{first}{implied} is above {keys[1]} {last}"
        section.problems.add(
            keys[0], text, "no subnet is left to lease, so give a lower one or a higher last"
        )
    return network, family.kind((lowest, length), strict=False), family.kind((highest, length), strict=False)


def _inside(
    section: Section,
    family: Family[N],
    key: str,
    address: IPv4Address | IPv6Address,
    network: N,
    length: int | None,
) -> None:
    """Tell what is wrong with the address of a first or last subnet."""
    if address not in network:
        text = f"{address} is not in the range of the {family.key} {network}"
        section.problems.add(key, text, "give one inside, or leave it out")
    elif length is not None:
        aligned = family.kind((int(address), length), strict=False).network_address
        if int(aligned) != int(address):
            section.problems.add(key, f"{address} is not on a SubnetLen boundary", f"give {aligned}")
