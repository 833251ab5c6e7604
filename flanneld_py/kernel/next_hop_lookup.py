"""Next hops to other machines, looked up in the kernel, which knows all routes, rules and tables."""

from collections.abc import Sequence

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.next_hop_messages import get_route, next_hop_to_a_host
from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import NextHop

__all__ = ["next_hops_to"]


def next_hops_to(addresses: Sequence[Address], /) -> dict[Address, NextHop]:
    """Return the next hop to each address that can be reached. Raises `OSError`."""
    found = {}
    with Channel() as channel:
        answers = channel.ask_all([get_route(address) for address in addresses])
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, OSError):
            continue
        data, message = answer
        if (way := next_hop_to_a_host(data, message.start, message.end)) is not None:
            found[address] = way
    return found
