"""Which way packets to other machines go: asked of the kernel, which knows routes, rules and tables."""

from collections.abc import Sequence

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.next_hop import get_route, way_to_another
from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import Way

__all__ = ["ways_to"]


def ways_to(addresses: Sequence[Address], /) -> dict[Address, Way]:
    """The way to each of these addresses; none to one that cannot be reached. Raises `OSError`."""
    found = {}
    with Channel() as channel:
        answers = channel.ask_all([get_route(address) for address in addresses])
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, OSError):
            continue
        data, message = answer
        if (way := way_to_another(data, message.start, message.end)) is not None:
            found[address] = way
    return found
