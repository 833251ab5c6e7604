"""Asks a lab for what the page shows. Each look asks for what is cheap; the rest when it may have changed."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from lab import status, threads
from lab.cluster import Lab
from lab.deadlines import LOOK
from lab.errors import LabError
from lab.faults import control
from lab.observe import NodeObservation, Observation, Topic, known, observe
from lab.pods import RunningPod
from lab.web.document import state
from lab.web.model import Seen, Watched
from lab.web.watching import Watching

__all__ = ["Looker", "document", "first"]

EACH = frozenset({Topic.SERVICES, Topic.SUBNET_ENV})
"""What every look asks for."""

NOW_AND_THEN = frozenset({Topic.PODS, Topic.LEASES})
"""What etcd's and Docker's programs tell, which take ten times as long."""

REST = 5.0
"""Seconds between two looks that ask for those although nothing shows that they are others, and at least one
for each machine: Docker's program takes a tenth of a second of a processor."""

AT_ONCE = 5
"""Machines of a lab that may be asked for those in every look, while they change; of so many more, as many
times more rarely."""

FAULTS_REST = 5.0, 15.0
"""Seconds after which machines are asked for their faults though nobody has begun or ended one: while there
are some, whose words change, and while there are none."""

PROBES_REST = 2.0
"""Seconds between two echo requests to the same place."""

WINDOW = 2
"""Looks that a rate spans: as many as lie between two echo requests, which it would show by turns."""

SLOW = frozenset({"pods", "leases"})


def first(lab: Lab) -> Seen:
    """What is known of a lab before any machine was asked."""
    nodes = {
        node.name: NodeObservation(
            node.name,
            lab.segments[node.segment].address(node.host, router=node.router).ip,
            lab.state(node.name),
            datetime.now(UTC),
        )
        for node in lab.spec.nodes
    }
    return Seen(datetime.now(UTC), lab.name, Observation(lab.spec, lab.segments, nodes), complete=True)


def document(seen: Seen) -> Mapping[str, object]:
    """The document of `/api/state`."""
    return state(seen, status.nodes(seen.observation) if seen.observation is not None else ())


class Looker:
    """Remembers what is asked for now and then. One look at a time."""

    def __init__(
        self, name: str, find: Callable[[], Lab], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._clock = clock
        self._last = Seen(datetime.now(UTC), name)
        self._watching = Watching()
        self._asked = self._faults_asked = self._probed = float("-inf")
        self._told: deque[Mapping[str, Watched]] = deque(maxlen=WINDOW)
        self._is_expired = threading.Event()
        self._marks: object = None
        """What faults depend on, when they were asked for."""
        self._shown: Mapping[str, tuple[str, ...]] = {}
        """The marks of each machine before pods and leases were asked for."""

    def expire(self) -> None:
        """Have the next look ask for everything, also if one is just under way. In any thread."""
        self._is_expired.set()

    def look(self) -> Seen:
        """How the lab is now. It never fails: what cannot be known is told as such."""
        try:
            lab = self._find()
            self._last = self._look(lab)
        except (LabError, OSError) as error:
            self._fail(error.message if isinstance(error, LabError) else str(error))
        except (ValueError, LookupError) as error:
            self._fail(f"what a machine has told cannot be read: {type(error).__name__}: {error}")
        return self._last

    def _fail(self, problem: str) -> None:
        """What was seen last stays, with why nothing newer is known."""
        self._last = replace(self._last, at=datetime.now(UTC), problem=problem)
        self.expire()

    def rest(self) -> None:
        """End what runs on the machines, as nobody looks any more."""
        self._watching.end()

    def _look(self, lab: Lab) -> Seen:
        now, last = self._clock(), self._last
        if self._is_expired.is_set():
            self._is_expired.clear()
            self._asked = self._faults_asked = float("-inf")
        is_full = now - self._asked >= max(REST, len(lab.spec.nodes))
        is_probe = now - self._probed >= PROBES_REST
        topics = EACH | NOW_AND_THEN if is_full else EACH
        asked_at = datetime.now(UTC)

        def watch(seen: Observation, pods: Sequence[RunningPod]) -> Mapping[str, Watched]:
            return self._watching.ask(lab, seen, pods, probe=is_probe)

        if last.observation is None:  # where to send probes has to be asked first
            fresh = observe(lab, topics, within=LOOK.seconds)
            told = watch(fresh, fresh.pods)
        else:
            old = last.observation
            watching = threads.start(lambda: watch(old, last.pods))
            fresh = observe(lab, topics, within=LOOK.seconds)
            told = watching.result()
        before = self._told[0] if self._told else {}
        shown = {**self._shown, **{name: it.marks for name, it in told.items()}}
        if is_full:  # what came meanwhile may not be in it: then marks differ at the next look
            self._shown = {**shown, **{name: it.marks for name, it in self._latest().items()}}
        elif shown != self._shown and now - self._asked >= len(lab.spec.nodes) / AT_ONCE - 0.5:
            is_full, asked_at, self._shown = True, datetime.now(UTC), shown
            fresh = observe(lab, topics | NOW_AND_THEN, within=LOOK.seconds)
        self._told.append(told)
        self._asked = now if is_full else self._asked
        self._probed = now if is_probe else self._probed
        observation = fresh if is_full else _with_old(fresh, last.observation)
        marks = (
            {name: it.faults for name, it in told.items()},
            {name: lab.state(name) for name in lab.nodes},
        )
        faults, faults_at = last.faults, last.faults_at
        rest = FAULTS_REST[0 if faults is not None and faults.faults else 1]
        if marks != self._marks or now - self._faults_asked >= rest:
            faults, faults_at = control.status(lab, within=LOOK.seconds), datetime.now(UTC)
            self._marks, self._faults_asked = marks, now
        return Seen(
            at=datetime.now(UTC),
            lab=lab.name,
            observation=observation,
            complete=lab.complete,
            watched=told,
            before=before,
            faults=faults,
            faults_at=faults_at,
            leases_at=asked_at if is_full else last.leases_at,
            pods=_pods(fresh, last.pods) if is_full else last.pods,
        )

    def _latest(self) -> Mapping[str, Watched]:
        """What machines have told in the look before."""
        return self._told[-1] if self._told else {}


def _with_old(fresh: Observation, old: Observation | None) -> Observation:
    """What is asked for now and then stays as it was told last."""
    if old is None:
        return fresh
    nodes = {
        name: replace(node, **{key: getattr(old.nodes[name], key) for key in SLOW})
        if name in old.nodes
        else node
        for name, node in fresh.nodes.items()
    }
    return replace(fresh, nodes=nodes)


def _pods(fresh: Observation, old: Sequence[RunningPod]) -> tuple[RunningPod, ...]:
    """Those that machines tell of, and of machines that do not tell those that they last told of."""
    silent = {name for name, node in fresh.nodes.items() if known(node.pods) is None}
    kept = [replace(pod, status="unknown") for pod in old if pod.node in silent]
    return tuple(sorted((*fresh.pods, *kept), key=lambda pod: pod.name))
