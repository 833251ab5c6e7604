"""The cost model: what a simulated cluster counts, and what each of it takes. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

__all__ = ["BYTES", "DAEMON", "ETCD", "HARNESS", "UNITS", "Costs", "Ledger", "unit"]


def unit(text: str, what: str) -> float:
    """A constant in this unit, that is the price of one of `what`."""
    return field(metadata={"unit": text, "what": what})  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Costs:
    """Constants of one machine, all from runs on it. Where the name is a thing that is counted, of each."""

    start: float = unit("s", "a daemon's processor time for a start without peers")
    entry: float = unit("s", "of a daemon for each lease of a list")
    wake: float = unit("s", "of a daemon for changes that are put into force together")
    event: float = unit("s", "of a daemon for each of these changes")
    tend: float = unit("s", "of a daemon for a probe and a look at its own devices, every two seconds")
    check: float = unit(
        "s", "of a daemon for each peer that is compared with the kernel's, every ten seconds"
    )
    attempt: float = unit("s", "of a daemon for a connection to etcd that is made or fails, and for a list")
    request: float = unit("s", "etcd's processor time for a request")
    listed: float = unit("s", "of etcd for each lease of a list")
    message: float = unit("s", "of etcd for a message to one watcher")
    delivered: float = unit("s", "of etcd for each change in such a message")
    boot: float = unit("s", "of etcd for its start")
    second: float = unit("s", "of etcd for each second that it runs")
    answer: float = unit("bytes", "that etcd sends for a request")
    listed_bytes: float = unit("bytes", "for each lease of a list")
    written_bytes: float = unit("bytes", "for one lease that was written, to one watcher")
    ended_bytes: float = unit("bytes", "for one that has ended, to one watcher")
    fork: float = unit("s", "of the machine for forking a daemon, one after another")
    aside: float = unit("s", "of the machine for a daemon's start, besides the daemon's own")
    waits: float = unit("s", "that a daemon's start waits for the kernel, without taking a processor")
    program: float = unit("s", "of the machine for starting the program that looks at nodes")
    look: float = unit("s", "of that program for one route of one node")
    serves: float = unit("s", "until etcd serves after it was killed, if nothing else runs")
    etcd_memory: float = unit("bytes", "of etcd (PSS) without watchers")
    watcher_memory: float = unit("bytes", "of etcd for each watcher")


UNITS: Final[Mapping[str, tuple[str, str]]] = {
    item.name: (item.metadata["unit"], item.metadata["what"]) for item in fields(Costs)
}
DAEMON: Final = ("start", "entry", "wake", "event", "tend", "check", "attempt")
ETCD: Final = ("request", "listed", "message", "delivered", "boot", "second")
BYTES: Final = {
    "request": "answer", "listed": "listed_bytes", "written": "written_bytes", "ended": "ended_bytes",
}  # fmt: skip
"""What is counted, and the constant of the bytes that it takes."""
HARNESS: Final = ("fork", "aside", "waits", "program", "look", "serves")


class Ledger:
    """What has been done so far, by whom it is paid for: counted once, priced by `Costs`."""

    __slots__ = ("_costs", "counts")

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self.counts: Counter[str] = Counter()

    def work(self, **counts: float) -> float:
        """Seconds that so many of these take; they count as done."""
        for what, count in counts.items():
            self.counts[what] += count  # type: ignore[assignment]
        return sum(float(getattr(self._costs, what)) * count for what, count in counts.items())

    def size(self, **counts: int) -> float:
        """Bytes that etcd sends for so many of these."""
        return sum(float(getattr(self._costs, BYTES[what])) * count for what, count in counts.items())

    def tell(self, changes: Iterable[tuple[int, bool]], watchers: int) -> float:
        """The same for these changes to so many watchers, which are counted by their kinds."""
        kinds = Counter("written" if made else "ended" for _, made in changes)
        told = {kind: count * watchers for kind, count in kinds.items()}
        self.counts.update(told)
        return self.size(**told)


def seconds(costs: Costs, counts: Mapping[str, float], kinds: Iterable[str]) -> float:
    """Processor time of what was counted, of these kinds."""
    return sum(float(getattr(costs, kind)) * counts.get(kind, 0) for kind in kinds)


def sent(costs: Costs, counts: Mapping[str, float]) -> float:
    """Bytes that etcd has sent for what was counted."""
    return sum(float(getattr(costs, price)) * counts.get(kind, 0) for kind, price in BYTES.items())
