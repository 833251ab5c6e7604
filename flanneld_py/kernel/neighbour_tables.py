"""Notices when the kernel's tables of neighbours are full: then packets are dropped without any error."""

import logging
from typing import Final

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.neighbour_messages import (
    RTM_NEWNEIGHTBL,
    NeighbourTable,
    dump_tables,
    filled,
    seen_table,
)

__all__ = ["NeighbourTables"]

logger = logging.getLogger(__name__)

NOTHING: Final[dict[str, NeighbourTable]] = {}


class NeighbourTables:
    """Compares the tables with what they were at the last look. For a single thread."""

    def __init__(self) -> None:
        self._before = _read()

    def filled(self) -> str:
        """Say which table was full since the last look, and what to do; "" if none was, or nobody knows."""
        before, self._before = self._before, _read()
        texts = (filled(before[name], table) for name, table in self._before.items() if name in before)
        return "; ".join(filter(None, texts))


def _read() -> dict[str, NeighbourTable]:
    """The tables, by name; none where the kernel does not tell: this explains, and nothing depends on it."""
    try:
        with Channel() as channel:
            listed = channel.dump(dump_tables(), RTM_NEWNEIGHTBL)
        tables = [seen_table(data, message.start, message.end) for data, message in listed]
    except (OSError, ValueError) as error:
        logger.debug("Cannot read the kernel's tables of neighbours: %s", error)
        return NOTHING
    return {table.name: table for table in tables if table is not None}
