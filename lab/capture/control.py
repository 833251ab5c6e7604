"""A capture from beginning to end: machines begin, what they see is put in order, machines end."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lab import clocks, labels, threads, wait
from lab.capture.happenings import Leases, watching
from lab.capture.machine import Inbox, Machine
from lab.capture.model import ETHERNET, RAW, Asked, Counts, Output, Place, Said, Wanted
from lab.capture.order import Order
from lab.capture.times import Corrections, corrections
from lab.clocks.compare import Sample
from lab.cluster import Lab
from lab.deadlines import QUESTION, RECORDING_ENDS
from lab.errors import LabError, Unfit
from lab.observe import Topic, observe

__all__ = ["Result", "capture", "compiled"]

QUEUE = 256
"""Pieces that may wait for us before machines have to wait, and then their kernels drop packets."""

LOOK = 1.0
"""Seconds between two looks at how the machines' containers are."""

WAKE = 0.1
"""Seconds, at most, until it is seen what time it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What it came to."""

    packets: int
    counts: Mapping[Place, Counts]
    seconds: float
    complaints: Sequence[str] = ()
    """Of machines that could not be captured, or not to the end."""

    def describe(self) -> str:
        """In a line."""
        dropped = sum(counts.dropped for counts in self.counts.values())
        what = f"{_count(self.packets, 'packet')} at {_count(len(self.counts), 'place')}"
        return f"{what} in {self.seconds:.1f} s; {dropped or 'none'} dropped by the kernel"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def compiled(lab: Lab, node: str, expression: str, snaplen: int) -> Mapping[int, Sequence[Sequence[int]]]:
    """A filter's instructions by link type, as tcpdump on a machine makes them. Raises `Unfit`."""
    found = {}
    for link_type, name in ((ETHERNET, "EN10MB"), (RAW, "RAW")):
        argv = ["tcpdump", "-y", name, "-s", str(snaplen), "-ddd", "--", expression]
        done = lab.node(node).run(argv, check=False, within=QUESTION.seconds)
        if done.exit_code == 0:
            rows = done.text.splitlines()[1:]
            found[link_type] = [[int(word) for word in row.split()] for row in rows]
        elif link_type == ETHERNET:  # others have no Ethernet header, which a filter may be about
            words = done.output.strip().splitlines() or [f"exit status {done.exit_code}"]
            raise Unfit(f"-f {expression!r}: {words[-1]}", hint="What a filter may say: man 7 pcap-filter")
    return found


def capture(
    lab: Lab,
    wanted: Mapping[str, Wanted],
    asked: Asked,
    output: Output,
    *,
    heed: Callable[[], None] = lambda: None,
    ready: Callable[[int, Sequence[str]], None] = lambda *_: None,
) -> Result:
    """Capture what is asked for, or until `heed`, called again and again, raises `KeyboardInterrupt`.

    `ready` is called once all machines capture, with the number of places and with what is to be told of
    clocks. Raises what `output` raises, and `LabError` if no machine can be captured.
    """
    began = time.monotonic()
    inbox = Inbox(QUEUE)
    etcd = watching(lab.spec)
    times = _times(lab, wanted)
    machines = [
        Machine(lab, name, it, asked, etcd.get(name), times.of(lab.engine_of(name)), inbox)
        for name, it in wanted.items()
    ]
    order = Order(wanted, output, Leases(_leases(lab)), asked.count)
    with _running(lab, machines, inbox):
        with suppress(KeyboardInterrupt):
            latest = began + QUESTION.seconds
            while order.not_ready and time.monotonic() < latest:
                heed()
                _receive(inbox, order)
            began = time.monotonic()
            ready(len(order.counts), times.told)
            until = None if asked.seconds is None else began + asked.seconds
            while not (order.over or order.enough) and (until is None or time.monotonic() < until):
                heed()
                _receive(inbox, order)
                order.write(time.monotonic())
        seconds = time.monotonic() - began
        for machine in machines:
            machine.end()
        latest = time.monotonic() + RECORDING_ENDS.seconds
        while not order.over and time.monotonic() < latest:
            _receive(inbox, order)
        order.write(None)
    if not order.counts and order.complaints:
        raise LabError("\n".join(order.complaints))
    output.end(order.counts, order.pending)
    return Result(order.packets, order.counts, seconds, order.complaints)


def _times(lab: Lab, names: Iterable[str]) -> Corrections:
    """What the times of these machines need; nothing where they are on one engine."""
    asked = clocks.one_of_each(lab, names)
    if len(asked) < 2:
        return Corrections({})

    def of(name: str) -> Sample | str:
        try:
            return clocks.ask(lab.node(name))
        except LabError as error:  # packets are worth more than their order
            return str(error)

    return corrections(dict(zip(asked, threads.each(of, [*asked.values()]), strict=True)))


def _receive(inbox: Inbox, order: Order) -> None:
    """Take what has come, and else wait a little."""
    with suppress(queue.Empty):
        order.take(inbox.get(timeout=WAKE), time.monotonic())
        for _ in range(QUEUE):
            order.take(inbox.get_nowait(), time.monotonic())


@contextmanager
def _running(lab: Lab, machines: Sequence[Machine], inbox: Inbox) -> Iterator[None]:
    """Each machine in a thread of its own, and a look at all of them; in the end nothing of that goes on.

    One that stands still is not waited for for long: it ends with this connection.
    """
    over = threading.Event()
    tasks = [threads.start(lambda: _look(lab, inbox, over), name="containers")]
    tasks += [threads.start(machine.keep, name="capture") for machine in machines]
    try:
        yield
    finally:
        over.set()
        for machine in machines:
            machine.stop()
        latest = time.monotonic() + RECORDING_ENDS.seconds
        while not all(task.ended for task in tasks) and time.monotonic() < latest:
            with suppress(queue.Empty):  # who waits for room there comes to its end
                inbox.get(timeout=WAKE)
    for task in tasks:
        if task.ended:
            task.result()  # raises what nobody has heard of yet


def _look(lab: Lab, inbox: Inbox, over: threading.Event) -> None:
    """How the containers are, of which machines that stand still cannot tell."""
    with suppress(wait.Cancelled):
        while True:
            with suppress(LabError):  # an engine that is busy
                found = [item for _, item in lab.fleet.containers({labels.NAME: lab.name})]
                states = [
                    (item.labels[labels.NODE], item.state, item.status)
                    for item in found
                    if labels.NODE in item.labels
                ]
                inbox.put(Said("", "containers", what=states))
            wait.passing(LOOK, over)


def _leases(lab: Lab) -> Mapping[str, str]:
    """The values of the leases that there are, by key; nothing where etcd does not say."""
    if not lab.spec.running("etcd"):
        return {}
    return {lease.key: lease.value for lease in observe(lab, {Topic.LEASES}).leases or ()}
