"""What the checks of network devices have in common. Pure."""

from collections.abc import Callable, Mapping

from lab.checks.finding import Comparison, Subject, compare, equal
from lab.checks.values import Items, Missing, Text, Value
from lab.observe import Link

__all__ = ["NO_SUBNET", "addresses", "compare_address", "compare_link"]

NO_SUBNET = Missing("that of its lease, which it does not have")
"""What is expected where neither etcd nor the node says which subnet it has."""

NO_DEVICE = Missing("no such device")


def addresses(link: Link | None) -> Value:
    """A device's IPv4 addresses."""
    return NO_DEVICE if link is None else Items(link.addresses, none="no address", apart=", ")


def compare_address(subject: Subject, links: Mapping[str, Link], address: str | None) -> Comparison:
    """The subject's device has this address, and no other."""
    link = links.get(subject.part)
    ok = address is not None and link is not None and link.addresses == (address,)
    return compare(subject, ok, Text(address) if address is not None else NO_SUBNET, addresses(link))


def compare_link(
    subject: Subject, links: Mapping[str, Link], expected: Value, read: Callable[[Link], Value]
) -> Comparison:
    """The subject's device has this property."""
    link = links.get(subject.part)
    return equal(subject, expected, read(link) if link is not None else NO_DEVICE)
