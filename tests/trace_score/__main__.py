"""Score `lab trace` and `lab doctor`: start each case's fault, alone or two at once, in labs of each kind.

    make trace-score                     all labs
    python -m tests.trace_score udp ...  labs whose titles have all of these words, or faults of these names
    python -m tests.trace_score pairs    two at once alone; none: healthy labs alone

Labs of genuine flannels are made of those that FLANNELD_REFERENCE names (tests/cluster/reference.py).

Healthy labs are traced TRACES times (50), while as many processes as the machine has cores keep it busy:
nothing may be named. What is found goes into docs/trace-score.json, in the place of what was there of the
same fault and lab; `make docs` makes the tables of it.
"""

import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.registry import diagnose
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.faults import control
from lab.faults.registry import fault_named
from lab.naming import name_option
from lab.progress import on_terminal
from lab.pytest_plugin.labs import temporary_lab
from lab.trace.asked import Asked
from lab.trace.control import trace
from tests.cluster.judging import wait_until_right
from tests.cluster.reference import references
from tests.trace_score.cases import CASES, PAIRS, Case, Pair
from tests.trace_score.ways import PODS, WAYS, Way, of_genuine

TRACES = int(os.environ.get("TRACES", "50"))
RESULT = Path(__file__).parents[2] / "docs" / "trace-score.json"

REPAIRED = "repaired before anybody looked"

NOTHING_TO_BREAK = (
    "has no neighbours",
    "names no machine",
    "there is no masquerading rule",
    "Cannot find device",
    "does not exist",
)
"""What a fault says where the lab has nothing of the kind."""

HEALTHY, TWO_AT_ONCE = "none", "pairs"
"""Words of the command line besides names of faults: which of the looks."""

AGO = re.compile(r"(\d+) s ago")


@dataclass(frozen=True)
class Named:
    """One thing that is told."""

    by: str
    """trace or doctor."""
    name: str
    place: str
    what: str = field(default="", compare=False)
    """The doctor's words."""
    loses: bool = field(default=True, compare=False)
    """Whether packets were seen to suffer from it: a paused daemon's fast path carries them for a while."""

    def __str__(self) -> str:
        return f"{self.by}: {self.name} at {self.place}"

    def is_of(self, case: Case) -> bool:
        """Whether it is this case's right name."""
        return self.name in case.names and (
            not case.at or any(at in f"{self.name} at {self.place}" for at in case.at)
        )


@dataclass(frozen=True)
class Score:
    """How a fault was named, and whether that is right."""

    fault: str
    way: str
    named: str
    right: bool
    seconds: float

    @property
    def document(self) -> Mapping[str, Any]:
        """For the table."""
        return {
            "fault": self.fault, "way": self.way, "named": self.named, "right": self.right,
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def current(lab: Lab) -> Lab:
    return Lab.get(lab.engine, lab.name)


def by_trace(lab: Lab, way: Way) -> Sequence[Named]:
    """What a trace names, in its order."""
    try:
        found = trace(current(lab), Asked(*PODS, family=way.family))[2]
    except LabError:
        return []  # a pod or a machine is not there: the doctor's
    return [Named("trace", str(item.fault.reason), item.place, loses=item.seen) for item in found.diagnoses]


def by_doctor(lab: Lab, known: Sequence[Named] = ()) -> Sequence[Named]:
    """What the doctor names, in its order, but for what he has already said before.

    That is notes that stay after another fault, such as that a device has lost its carrier.
    """
    found = diagnose(gather(current(lab), name_option(lab.name)))
    told = [Named("doctor", item.id, item.subject, item.what) for item in found]
    return [item for item in told if item not in known or _is_again(item, known)]


def _is_again(item: Named, known: Sequence[Named]) -> bool:
    """Whether it tells of what has happened since: of the same unit's start, less long ago."""
    ago = AGO.search(item.what)
    unit = item.what.split()[0]
    same = [it.what for it in known if it == item and it.what.split()[0] == unit]
    before = [found for what in same if (found := AGO.search(what))]
    return ago is not None and all(int(ago[1]) < int(it[1]) for it in before)


def in_force(lab: Lab) -> bool:
    """Whether a fault still does its harm: an event does none, nor does what a daemon has repaired."""
    return any(fault.state not in ("ended", "unknown") for fault in control.status(current(lab)).faults)


def judge(lab: Lab, case: Case, way: Way) -> Score:
    """Start a fault, see what is named first, and end it."""
    known = by_doctor(lab)
    with lab.fault(case.fault, *case.targets, **case.options):
        for _ in range(case.looks):
            began = time.monotonic()
            named = by_trace(lab, way)[:1]
            right = any(item.is_of(case) for item in named)
            if not right:
                named = [*named, *by_doctor(lab, known)[:1]]
                right = any(item.is_of(case) for item in named)
            took = time.monotonic() - began
            if right:
                break
        if not named and case.repaired and (case.learned or not in_force(lab)):
            return Score(case.title, way.title, REPAIRED, right=True, seconds=took)
    return Score(case.title, way.title, str(named[-1]) if named else "nothing", right, took)


def judge_both(lab: Lab, pair: Pair, way: Way) -> Score:
    """Start two faults: both are named, and those that the trace names in the order of the way.

    But what loses packets comes before what they were seen to pass.
    """
    known = by_doctor(lab)
    cases = (pair.first, pair.second)
    # A daemon stands still before the other one comes, which it would repair.
    in_turn = sorted(cases, key=lambda it: it.fault != "daemon-pause")
    with ExitStack() as stack:
        for case in in_turn:
            stack.enter_context(lab.fault(case.fault, *case.targets, **case.options))
        for _ in range(max(case.looks for case in cases)):
            began = time.monotonic()
            told = by_trace(lab, way)
            if not all(any(item.is_of(case) for item in told) for case in cases):
                told = [*told, *by_doctor(lab, known)]
            took = time.monotonic() - began
            found = [next((item for item in told if item.is_of(case)), None) for case in cases]
            if all(found):
                break
    first, second = found
    in_order = (
        first is not None
        and second is not None
        and (
            "doctor" in (first.by, second.by)
            or told.index(first) <= told.index(second)
            or (second.loses and not first.loses)
        )
    )
    words = " + ".join(str(item) if item is not None else "nothing" for item in found)
    if not in_order:
        words += f", of: {', '.join(map(str, told)) or 'nothing'}"
    return Score(pair.title, way.title, words, in_order, took)


def burn() -> None:
    while True:
        pass


@contextmanager
def busy() -> Iterator[None]:
    """While every core has something else to do."""
    load = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in load:
        process.start()
    try:
        yield
    finally:
        for process in load:
            process.terminate()
            process.join()


def healthy(lab: Lab, way: Way) -> Score:
    """Trace a lab that is right, again and again."""
    wrong = [*by_doctor(lab)]
    began = time.monotonic()
    with busy():
        for _ in range(TRACES):
            wrong += by_trace(lab, way)
    took = (time.monotonic() - began) / max(1, TRACES)
    named = f"nothing in {TRACES} traces" if not wrong else f"{len(wrong)} false alarms, such as {wrong[0]}"
    return Score(HEALTHY, way.title, named, not wrong, took)


def begin_again(lab: Lab, case: Case | Pair) -> None:
    """A genuine flanneld does not claim a lease again, nor make again what others have taken away."""
    cases = (case.first, case.second) if isinstance(case, Pair) else (case,)
    if {fault_named(it.fault).subject for it in cases} & {"leases", "etcd", "device"}:
        for node in lab.minions:
            node.run(["systemctl", "restart", "flanneld"])


def is_for(case: Case, way: Way) -> bool:
    """Whether a case is for this kind of lab; one with members of etcd is made for its own cases alone."""
    if not way.flannel and any(target.endswith("/flanneld") for target in case.targets):
        return False
    return all(word in way.title for word in case.ways) and (bool(case.ways) or not way.members)


def scores(lab: Lab, way: Way, words: Sequence[str], note: Any) -> Iterator[Score]:
    everything = not words
    if HEALTHY in words or (everything and not way.members):
        yield healthy(lab, way)
    chosen: list[Case | Pair] = [
        case for case in CASES if is_for(case, way) and (everything or case.fault in words)
    ]
    if TWO_AT_ONCE in words or (everything and not way.members):
        chosen += PAIRS
    for case in chosen:
        try:
            yield judge_both(lab, case, way) if isinstance(case, Pair) else judge(lab, case, way)
        except Unfit as error:
            note(f"{way.title}: {case.title}: {error.message}")  # this lab has nothing that it could break
        except LabError as error:
            note(f"{way.title}: {case.title}: {error.message}")
            if "is not in force" in error.message and isinstance(case, Case) and case.repaired:
                yield Score(case.title, way.title, REPAIRED, right=True, seconds=0)
            elif not any(words in error.message for words in NOTHING_TO_BREAK):
                raise
        control.clear(current(lab))
        if way.binary is not None:
            begin_again(lab, case)
        wait_until_right(lab)


def keep(way: Way, scores: Sequence[Score], ways: Sequence[Way]) -> None:
    """Put the scores of a way in the place of those that there were of the same faults."""
    rows = {title: row for row, title in enumerate([HEALTHY, *(it.title for it in (*CASES, *PAIRS))])}
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else []
    # Labs of genuine flannels that this run has not got stay as they were.
    titles = dict.fromkeys([*(it.title for it in ways), *(item["way"] for item in known)])
    places = {title: place for place, title in enumerate(titles)}
    new = {(score.fault, way.title) for score in scores}
    others = [item for item in known if (item["fault"], item["way"]) not in new and item["fault"] in rows]
    every = sorted(
        [*others, *(score.document for score in scores)],
        key=lambda item: (places[item["way"]], rows[item["fault"]]),
    )
    RESULT.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def main(words: Sequence[str]) -> int:
    looks = {case.fault for case in CASES} | {HEALTHY, TWO_AT_ONCE}
    chosen = [word for word in words if word in looks]
    titles = [word for word in words if word not in looks]
    ways = [*WAYS, *(way for reference in references() for way in of_genuine(reference))]
    found: list[Score] = []
    with closing(Engine.connect()) as engine, on_terminal() as progress:
        for way in ways:
            if not all(word in way.title for word in titles):
                continue
            with temporary_lab(engine, way.lab) as outcome:
                of_way: list[Score] = []
                try:
                    for score in scores(outcome.lab, way, chosen, progress.note):
                        progress.note(f"{way.title}: {score.fault}: {score.named} ({score.seconds:.1f} s)"
                                      + ("" if score.right else "  WRONG"))  # fmt: skip
                        of_way.append(score)
                finally:
                    keep(way, of_way, ways)
            found += of_way
    wrong = [score for score in found if not score.right]
    for score in wrong:
        sys.stdout.write(f"{score.way}: {score.fault}: named {score.named}\n")
    sys.stdout.write(f"{len(found) - len(wrong)} of {len(found)} named right\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
