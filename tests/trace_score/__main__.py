"""Score `lab trace` and `lab doctor`: start each case's fault, alone, in labs of each backend.

    make trace-score                     all labs
    python -m tests.trace_score udp ...  labs whose titles have all of these words, or faults of these names

Healthy labs are traced TRACES times (50), while as many processes as the machine has cores keep it busy:
nothing may be named. The result of each lab goes into docs/trace-score.json, from which `make docs`
makes the table.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import spec
from lab.cluster import Lab
from lab.doctor.gather import gather
from lab.doctor.registry import diagnose
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.faults import control
from lab.naming import name_option
from lab.progress import on_terminal
from lab.pytest_plugin.labs import temporary_lab
from lab.trace.asked import Asked
from lab.trace.control import trace
from tests.cluster.judging import wait_until_right
from tests.trace_score.cases import CASES, ETCD, ONE, TWO, Case

TRACES = int(os.environ.get("TRACES", "50"))
RESULT = Path(__file__).parents[2] / "docs" / "trace-score.json"
PODS = ("mysql02", "mysql01")
"""The first is on the first minion."""

REPAIRED = "repaired before anybody looked"

NOTHING_TO_BREAK = ("has no neighbours", "names no machine")
"""What a fault says where the backend has nothing of the kind."""

WAYS: Mapping[str, tuple[Mapping[str, Any], str, int]] = {
    "udp": ({}, "auto", 4),
    "udp, no fast path": ({}, "off", 4),
    "vxlan": ({"Backend": {"Type": "vxlan"}}, "", 4),
    "host-gw": ({"Backend": {"Type": "host-gw"}}, "", 4),
    "vxlan, IPv6": ({"Backend": {"Type": "vxlan"}}, "", 6),
    "host-gw, IPv6": ({"Backend": {"Type": "host-gw"}}, "", 6),
}
"""Flannel's configuration, `-udp-fast-path`, and the version of IP that is traced."""


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


def lab_of(way: str) -> spec.LabSpec:
    config, fast_path, family = WAYS[way]
    options = ["-iface=eth0", "-healthz-port=8290", *([f"-udp-fast-path={fast_path}"] if fast_path else [])]
    network: dict[str, Any] = {"Network": "10.2.0.0/16", **config}
    if family == 6:
        network |= {"EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56"}
    nodes = [{"name": ETCD, "role": "master", "host": 51}]
    nodes += [{"name": name, "role": "minion", "host": 52 + number} for number, name in enumerate((ONE, TWO))]
    flannel = {"config": network, "options": options}
    described = {"name": "score", "underlay": {"ipv6": family == 6}, "nodes": nodes, "flannel": flannel}
    return spec.load(json.dumps(described), "score.yaml")


def current(lab: Lab) -> Lab:
    return Lab.get(lab.engine, lab.name)


def by_trace(lab: Lab, family: int) -> Iterator[tuple[str, str]]:
    """What a trace names, in its order."""
    ask = Asked(*PODS, family=6 if family == 6 else 4)
    try:
        found = trace(current(lab), ask)[2]
    except LabError:
        return  # a pod or a machine is not there: the doctor's
    yield from ((str(item.fault.reason), item.place) for item in found.diagnoses)


def by_doctor(lab: Lab) -> Iterator[tuple[str, str]]:
    """What the doctor names, in its order."""
    yield from ((item.id, item.subject) for item in diagnose(gather(current(lab), name_option(lab.name))))


def judge(lab: Lab, case: Case, way: str, family: int) -> Score:
    """Start a fault, see what is named first, and end it."""

    def is_right(name: str, place: str) -> bool:
        return name in case.names and (not case.at or any(at in place for at in case.at))

    known = set(
        by_doctor(lab)
    )  # notes that stay after another fault, such as that a device has lost its carrier
    with lab.fault(case.fault, *case.targets, **case.options):
        for _ in range(case.looks):
            began = time.monotonic()
            found = list(by_trace(lab, family))
            named = [f"trace: {name} at {place}" for name, place in found[:1]]
            right = bool(found) and is_right(*found[0])
            told = [it for it in by_doctor(lab) if it not in known] if not right else []
            if not right:
                named += [f"doctor: {name} at {place}" for name, place in told[:1]]
                right = bool(told) and is_right(*told[0])
            took = time.monotonic() - began
            if right:
                break
        if not found and not told and case.repaired:
            named, right = [REPAIRED], True
    return Score(case.title, way, named[-1] if named else "nothing", right, took)


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


def healthy(lab: Lab, way: str, family: int) -> Score:
    """Trace a lab that is right, again and again."""
    wrong = [f"doctor: {name} at {place}" for name, place in by_doctor(lab)]
    began = time.monotonic()
    with busy():
        for _ in range(TRACES):
            wrong += [f"trace: {name} at {place}" for name, place in by_trace(lab, family)]
    took = (time.monotonic() - began) / max(1, TRACES)
    named = f"nothing in {TRACES} traces" if not wrong else f"{len(wrong)} false alarms, such as {wrong[0]}"
    return Score("none", way, named, not wrong, took)


def scores(lab: Lab, way: str, words: Sequence[str], note: Any) -> Iterator[Score]:
    family = WAYS[way][2]
    chosen = [case for case in CASES if not words or case.fault in words]
    if not words:
        yield healthy(lab, way, family)
    for case in chosen:
        try:
            yield judge(lab, case, way, family)
        except Unfit as error:
            note(f"{way}: {case.title}: {error.message}")  # this backend has nothing that it could break
        except LabError as error:
            note(f"{way}: {case.title}: {error.message}")
            if "is not in force" in error.message and case.repaired:
                yield Score(case.title, way, REPAIRED, right=True, seconds=0)
            elif not any(words in error.message for words in NOTHING_TO_BREAK):
                raise
        control.clear(current(lab))
        wait_until_right(lab)


def keep(way: str, scores: Sequence[Score]) -> None:
    """Put the scores of a way in the place of those that there were."""
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else []
    others = [item for item in known if item["way"] != way]
    every = sorted(
        [*others, *(score.document for score in scores)], key=lambda item: list(WAYS).index(item["way"])
    )
    RESULT.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def main(words: Sequence[str]) -> int:
    faults = {case.fault for case in CASES} & set(words)
    titles = [word for word in words if word not in faults]
    found: list[Score] = []
    with closing(Engine.connect()) as engine, on_terminal() as progress:
        for way in WAYS:
            if not all(word in way for word in titles):
                continue
            with temporary_lab(engine, lab_of(way)) as outcome:
                of_way = []
                for score in scores(outcome.lab, way, sorted(faults), progress.note):
                    progress.note(f"{way}: {score.fault}: {score.named} ({score.seconds:.1f} s)"
                                  + ("" if score.right else "  WRONG"))  # fmt: skip
                    of_way.append(score)
            found += of_way
            if not faults:
                keep(way, of_way)
    wrong = [score for score in found if not score.right]
    for score in wrong:
        sys.stdout.write(f"{score.way}: {score.fault}: named {score.named}\n")
    sys.stdout.write(f"{len(found) - len(wrong)} of {len(found)} named right\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
