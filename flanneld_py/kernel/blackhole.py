"""Routes on which packets end (-ip-blackhole-route)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import rtnetlink, table
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.entries import BLACKHOLE, Remove, Route
from flanneld_py.subnet import Network

__all__ = ["keep", "remove_all"]

LAST: Final = 0xFFFFFFFF
"""The metric of the route that is taken when there is no other: a bridge's own route comes first."""


def keep(networks: Iterable[Network], spares: Callable[[Network], bool]) -> int:
    """Have a blackhole route for each of these networks, and none else of ours; how many changes that took.

    `spares`: whether one that is there is another's, whose mark is the same. Raises `Fatal`, `OSError`.
    """
    wanted, there = set(networks), _ours()
    stale = [route for route in there if route.destination not in wanted and not spares(route.destination)]
    missing = wanted - {route.destination for route in there}
    try:
        for _, refusal in table.perform([Remove(route) for route in stale]) if stale else ():
            raise refusal
        if missing:
            _add(missing)
    except OSError as error:
        raise Fatal(
            f"Making the blackhole route of {', '.join(map(str, wanted))}: {error.strerror or error}; leave "
            "-ip-blackhole-route out",
            code=Exit.KERNEL,
        ) from error
    return len(stale) + len(missing)


def remove_all() -> Iterator[str]:
    """Take away those of ours; what was there. Raises `OSError`."""
    for route in _ours():
        for _, refusal in table.perform([Remove(route)]):
            raise OSError(refusal.errno, f"Removing a blackhole route: {refusal.strerror}")
        yield f"blackhole route {route.destination}"


def _ours() -> list[Route]:
    return [item.entry for item in table.marked(BLACKHOLE) if isinstance(item.entry, Route)]


def _add(networks: Iterable[Network]) -> None:
    with Channel() as channel:
        for network in networks:
            channel.execute(rtnetlink.blackhole(network, LAST, BLACKHOLE))
