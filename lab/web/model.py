"""What the page shows, as values: what machines have counted and probed, and links between places. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from lab.errors import LabError
from lab.faults.status import Status
from lab.observe.model import Observation
from lab.pods import RunningPod

__all__ = ["Answer", "Kind", "Link", "LinkState", "Rate", "Seen", "Watched", "rates", "watched_of"]

Kind = Literal["overlay", "segment", "pod"]
LinkState = Literal["ok", "broken", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the last echo request to a place."""

    ms: float | None
    """None where it was not answered."""
    age: float
    """Seconds since it was sent, when that was told."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the program on a machine has told at one moment (lab/web/inside/watch.py)."""

    clock: float
    """The machine's own, in seconds."""
    devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes received and sent since a device was made."""
    pods: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    peers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes that its pods have received from those of each other machine, and sent to them."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """By the key of the request: see `lab.web.links`."""
    faults: tuple[str, ...] = ()
    """The faults that were started on it."""
    marks: tuple[str, ...] = ()
    """Others when its containers, or what its etcd holds, may have changed."""
    ready: tuple[int, str] | None = None
    """The HTTP status and text of flanneld's /readyz; None without -healthz-port."""


def watched_of(said: Mapping[str, Any]) -> Watched:
    """Read an answer. Raises `LabError`."""
    try:
        ready = said.get("ready")
        return Watched(
            clock=float(said["clock"]),
            devices={name: (int(got), int(sent)) for name, (got, sent) in said["devices"].items()},
            pods={name: (int(got), int(sent)) for name, (got, sent) in said["pods"].items()},
            peers={name: (int(got), int(sent)) for name, (got, sent) in said["peers"].items()},
            answers={key: Answer(it["ms"], it["age"], it["error"]) for key, it in said["answers"].items()},
            faults=tuple(said["faults"]),
            marks=tuple(said["marks"]),
            ready=(int(ready["status"]), str(ready["text"])) if ready else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabError(f"the program that counts bytes answered with {error!r}: {str(said)[:200]}") from error


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second."""

    received: float
    sent: float

    @property
    def both(self) -> float:
        """In either direction."""
        return self.received + self.sent

    @property
    def seen_from_there(self) -> "Rate":
        """The same of the other end."""
        return Rate(self.sent, self.received)


def rates(
    before: Mapping[str, tuple[int, int]], now: Mapping[str, tuple[int, int]], seconds: float
) -> Mapping[str, Rate]:
    """Of each device that was there before; one that was made anew meanwhile counts from nothing."""
    if seconds <= 0:
        return {}
    found = {}
    for name, (got, sent) in now.items():
        if name in before:
            old_got, old_sent = before[name]
            again = got < old_got or sent < old_sent
            found[name] = Rate(
                (got - (0 if again else old_got)) / seconds, (sent - (0 if again else old_sent)) / seconds
            )
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the picture."""

    kind: Kind
    one: str
    """A node, or for a `pod` link the pod's node."""
    other: str
    """A node, a segment, or a pod."""
    state: LinkState
    words: str
    """What the probes have shown, for a person."""
    ms: float | None = None
    """There and back, of the slower direction."""
    age: float | None = None
    """Seconds since the older of the probes was sent."""
    rate: Rate | None = None
    """Of the device that it is; of the overlay, what pods of both ends exchange. None where nobody knows."""

    @property
    def id(self) -> str:
        """Of this link alone."""
        return f"{self.kind} {self.one} {self.other}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that is known of a lab at one moment."""

    at: datetime
    lab: str
    observation: Observation | None = None
    """None while nothing has been seen yet."""
    complete: bool = True
    """Whether `lab up` had finished it."""
    watched: Mapping[str, Watched] = field(default_factory=dict)
    """By node; without those that do not tell."""
    before: Mapping[str, Watched] = field(default_factory=dict)
    """The answers before, to tell rates by."""
    faults: Status | None = None
    faults_at: datetime | None = None
    leases_at: datetime | None = None
    """When leases and pods were asked for."""
    pods: Sequence[RunningPod] = ()
    """Those seen last, also of machines that do not tell any more."""
    problem: str = ""
    """Why nothing newer is known, where that is so: the lab is gone, or the engine does not answer."""

    def between(self) -> Mapping[tuple[str, str], Rate]:
        """By two machines: what the first one's pods exchange with the second one's."""
        return {
            (name, peer): rate
            for name, now in self.watched.items()
            if (old := self.before.get(name)) is not None
            for peer, rate in rates(old.peers, now.peers, now.clock - old.clock).items()
        }

    def rates(self) -> Iterator[tuple[str, Mapping[str, Rate], Mapping[str, Rate]]]:
        """By node: of its devices, and of its pods."""
        for name, now in self.watched.items():
            old = self.before.get(name)
            if old is None:
                yield name, {}, {}
                continue
            seconds = now.clock - old.clock
            yield name, rates(old.devices, now.devices, seconds), rates(old.pods, now.pods, seconds)
