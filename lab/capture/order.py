"""What machines tell, on its way into the output: in the order of time. Pure."""

from collections.abc import Iterable, Sequence

from lab.capture.happenings import Faults, Leases
from lab.capture.merge import Item, Progress, commented, due, settled
from lab.capture.model import Counts, Happening, Output, Place, Said

__all__ = ["Order"]


class Order:
    """What was told, and how far each machine is."""

    def __init__(self, nodes: Iterable[str], output: Output, leases: Leases, most: int | None) -> None:
        """`most` packets are wanted."""
        self._output = output
        self._leases = leases
        self._most = most
        self._under_way = set(nodes)
        self.not_ready = set(self._under_way)
        """Machines that have not begun yet."""
        self._progress: dict[str, Progress] = {}
        self._waiting: list[Item] = []
        self._latest = 0
        self._faults = Faults()
        self._have_told: set[str] = set()
        self.pending: Sequence[str] = ()
        """What happened, and no packet has followed yet."""
        self.complaints: list[str] = []
        self.packets = 0
        self.counts: dict[Place, Counts] = {}
        """By every place that there is or was."""

    @property
    def over(self) -> bool:
        """Whether no machine is left."""
        return not self._under_way

    @property
    def enough(self) -> bool:
        """Whether there are as many packets as are wanted."""
        return self._most is not None and self.packets >= self._most

    def take(self, said: Said, now: float) -> None:
        """Take what a machine has told; `now` is our own clock, in seconds."""
        node, what = said.node, said.what
        match said.kind:
            case "packets":
                self._waiting += what
            case "until":
                self._progress[node] = Progress(said.at, now)
                self._latest = max(self._latest, said.at)
            case "place":
                self.counts.setdefault(what, Counts())
                self._output.place(what)
            case "counts":
                for place, found in what.items():
                    self.counts[place] += found
            case "fault":
                self._happened(said.at, self._faults.shown(node, what, first=node not in self._have_told))
                self._have_told.add(node)
            case "etcd":
                self._happened(said.at, self._leases.heard(what))
            case "containers":
                self._happened(self._latest, self._faults.containers(what))
            case "ready":
                self.not_ready.discard(node)
            case "down" | "over":
                self._progress.pop(node, None)
                if said.kind == "over":
                    self._ended(node, what)

    def _happened(self, at: int, texts: Iterable[str]) -> None:
        self._waiting += [Happening(at, text) for text in texts]

    def _ended(self, node: str, why: str) -> None:
        self.not_ready.discard(node)
        self._under_way.discard(node)
        if why:
            self.complaints.append(f"{node} is not captured any more: {why}")

    def write(self, now: float | None) -> None:
        """Write what nothing can come before any more; everything, where no time is given."""
        ready, self._waiting = due(self._waiting, None if now is None else settled(self._progress, now))
        found, self.pending = commented(ready, self.pending)
        if self._most is not None:
            found = found[: self._most - self.packets]
        self.packets += len(found)
        self._output.packets(found)
        if self.pending and self._output.happened(self.pending):
            self.pending = ()
