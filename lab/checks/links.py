"""What the checks of network devices have in common. Pure."""

from collections.abc import Callable, Collection, Mapping

from lab.checks.finding import Comparison, Subject, compare, equal
from lab.checks.values import Items, Missing, Text, Value
from lab.observe import Link
from lab.spec.segment import Family

__all__ = ["NO_SUBNET", "addresses", "compare_address", "compare_link"]

NO_SUBNET = Missing("that of its lease, which it does not have")
"""What is expected where neither etcd nor the node says which subnet it has."""

NO_DEVICE = Missing("no such device")


def addresses(link: Link | None, families: Collection[Family] = (4,)) -> Value:
    """A device's addresses of these families."""
    if link is None:
        return NO_DEVICE
    return Items(tuple(item for family in families for item in link.of(family)), "no address", ", ")


def compare_address(
    subject: Subject, links: Mapping[str, Link], wanted: Mapping[Family, str | None]
) -> Comparison:
    """The subject's device has this address of each of these families, and no other of them.

    None is one that is not known, as without a lease.
    """
    link = links.get(subject.part)
    ok = link is not None and all(link.of(family) == (address,) for family, address in wanted.items())
    every = [address for address in wanted.values() if address is not None]
    expected = Text(", ".join(every)) if len(every) == len(wanted) else NO_SUBNET
    return compare(subject, ok, expected, addresses(link, wanted))


def compare_link(
    subject: Subject, links: Mapping[str, Link], expected: Value, read: Callable[[Link], Value]
) -> Comparison:
    """The subject's device has this property."""
    link = links.get(subject.part)
    return equal(subject, expected, read(link) if link is not None else NO_DEVICE)
