"""A run from beginning to end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from lab import images, wait
from lab.cluster.fleet import Fleet
from lab.engine import Engine, FileContent
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.faults.plan import Plan
from lab.flannel import etcd_api_of, parse_version
from lab.sandbox import Box
from lab.scale.boxes import Boxes, open_boxes
from lab.scale.cluster import Cluster, Unsettled
from lab.scale.faults import Manner, Wanted
from lab.scale.figures import TIMES, Measured, Moment, Phase, Results, Usage, phase
from lab.scale.harm import Harm
from lab.scale.harm import programs as programs_of_faults
from lab.scale.inside import programs
from lab.scale.plan import DYING, JOINS, Node, Program, Settings, nodes
from lab.scale.setting import setting, spread
from lab.spec import program_bytes
from lab.spec.program import read_program

__all__ = ["run"]

GIVEN = "/usr/local/lib/lab-scale/flanneld"
"""Where a flanneld that was named is in the container."""


def run(
    engine: Engine,
    settings: Settings,
    binary: Path | None,
    progress: Reporter,
    found: Callable[[Results], None] = lambda _: None,
) -> Results:
    """Measure a cluster of each number of nodes, each in a container, or in one on each of several engines.

    `found` is told of all that is known whenever one has been measured. Raises `LabError`; `Unfit`, before
    anything is made, where a fault cannot be. However it ends, everything that it made is removed.
    """
    plans = {number: _plans(settings, number) for number in settings.numbers}
    files = {**programs(), **(programs_of_faults() if settings.faults else {})}
    if binary is not None:
        files[GIVEN] = FileContent(_read(binary, engine.arch), 0o755)
    fleet = Fleet.of(engine, settings.engines)
    fleet.require_whole()
    image = images.ensure(engine, progress)
    program, machine, measured = Program(), dict[str, str](), list[Measured]()
    results = Results(settings, program, ())
    for number in settings.numbers:
        with (
            progress.step(f"{number} nodes") as inner,
            open_boxes(fleet, spread(settings.backend, settings.engines), image, files, inner) as boxes,
        ):
            if not machine:
                machine |= _machine(boxes.first, settings)
                program = Program() if binary is None else _given(boxes.first)
            measured.append(_Run(boxes, settings, program, number, plans[number], inner).measured())
            results = Results(settings, program, tuple(measured), machine)
            found(results)  # before the containers are removed, which an engine may refuse
    return results


def _plans(settings: Settings, number: int) -> Sequence[tuple[Wanted, Plan]]:
    """What each fault takes in a cluster of so many nodes. Raises `Unfit`."""
    lab = setting(settings.backend, number, settings.members)
    return [(item, item.plan(lab)) for item in settings.faults]


def _read(path: Path, arch: str) -> bytes:
    try:
        return program_bytes(read_program(path.expanduser()), arch)
    except ValueError as error:
        raise Unfit(f"--binary: {error}") from error


def _given(box: Box) -> Program:
    said = box.run(GIVEN, "-version").said.strip().splitlines()
    version = parse_version(said[-1]) if said else None
    if version is None:
        raise Unfit("--binary: it prints no version for -version, so it is not a flanneld")
    if etcd_api_of(version) != "v3":
        raise Unfit(f"--binary: flannel {said[-1]} keeps leases in etcd's v2 store; 0.18 and later use v3")
    return Program(GIVEN, f"flannel {said[-1].removeprefix('v')}", forks=False)


def _machine(box: Box, settings: Settings) -> Mapping[str, str]:
    """The machine that the figures were measured on; of several that of the first engine."""
    engines = {"engines": ", ".join(item.name for item in settings.engines)} if settings.engines else {}
    return {
        **engines,
        **box.machine(),
        "etcd": box.must("etcd", "--version").splitlines()[0].rpartition(" ")[2],
        "load before": box.read("/proc/loadavg").split()[0],
    }


class _Run:
    """One cluster's life."""

    def __init__(
        self,
        boxes: Boxes,
        settings: Settings,
        program: Program,
        number: int,
        plans: Sequence[tuple[Wanted, Plan]],
        progress: Reporter,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._number = number
        self._cluster = Cluster(boxes, program, settings.backend, settings.members)
        self._faults = [
            (wanted, Harm(self._cluster, plan, place)) for place, (wanted, plan) in enumerate(plans)
        ]
        self._before: Mapping[str, Usage] = {}
        self._refused = 0

    def measured(self) -> Measured:
        """All of it, as far as the nodes come to know what they should."""
        *first, last = nodes(self._number + 1)
        with self._progress.step("make the machines and etcd"):
            self._cluster.begin([*first, last])
        for wanted, harm in self._throughout:
            with self._progress.step(wanted.text):
                harm.begin()
        self._before, refused = self._cluster.usage()
        self._refused = refused
        phases: list[Phase] = []
        usage: Mapping[str, Usage] = {}
        failure = ""
        try:
            phases.append(self._start(first))
            usage = self._before
            phases.extend(self._others(last))
            self._still_in_force()
        except Unsettled as error:
            failure = error.message
            self._progress.note(f"failed: {failure}")
            last_seen, self._refused = self._cluster.usage()
            usage = usage or last_seen
        etcd = self._cluster.member_names
        return Measured(
            self._number,
            tuple(phases),
            usage=tuple(item for name, item in usage.items() if name not in etcd),
            etcd=tuple(usage[name] for name in etcd),
            failure=failure,
            refused=self._refused - refused,
        )

    @property
    def _throughout(self) -> Sequence[tuple[Wanted, Harm]]:
        return [item for item in self._faults if item[0].manner is Manner.THROUGHOUT]

    def _still_in_force(self) -> None:
        """Raises `Unsettled` where nobody knows what was measured under a fault."""
        for wanted, harm in self._throughout:
            with self._progress.step(f"see whether it is still in force: {wanted.text}"):
                missing = harm.missing()
            if missing:
                raise Unsettled(f"{wanted.text}: at the end it was not in force any more: {missing[0]}")

    def _start(self, first: Sequence[Node]) -> Phase:
        with self._progress.step(Moment.START.value):
            self._cluster.start(first)
            seen = self._cluster.settled(Moment.START.value)
        return self._phase(Moment.START, seen["at"] - seen["began"])

    def _others(self, last: Node) -> Iterator[Phase]:
        """What comes after the start, one thing after the other."""
        cluster = self._cluster
        if self._settings.idle:
            with self._progress.step(f"{Moment.IDLE.value} for {self._settings.idle:g} s"):
                wait.passing(self._settings.idle)
            yield self._phase(Moment.IDLE, self._settings.idle)
        yield self._join(last)
        with self._progress.step(Moment.RESTART.value):
            began = cluster.now()
            cluster.restart_etcd()
            serves = cluster.announce()
            seen = cluster.settled(Moment.RESTART.value)
        parts = {"seconds until etcd served": serves - began}
        yield self._phase(Moment.RESTART, seen["at"] - began, parts)
        for wanted, harm in self._faults:
            if wanted.manner is not Manner.THROUGHOUT:
                yield self._fault(wanted, harm)
        dying = list(cluster.running)[: max(1, self._number // DYING)]
        with self._progress.step(Moment.DEATH.value):
            cluster.kill(dying)
            began = cluster.expire(dying)
            seen = cluster.settled(Moment.DEATH.value)
        yield self._phase(Moment.DEATH, seen["at"] - began, {"nodes that died": len(dying)})
        if self._settings.churn:
            yield self._churn()

    def _join(self, last: Node) -> Phase:
        """One more, several times: whom it meets at work on something else is a matter of chance."""
        cluster = self._cluster
        took: list[float] = []
        with self._progress.step(f"{Moment.JOIN.value}: {JOINS} times"):
            for turn in range(JOINS):
                if turn:
                    cluster.kill([last])
                    cluster.expire([last])
                    cluster.settled("a node less until all know it")
                began = cluster.now()
                cluster.start([last])
                took.append(cluster.settled(Moment.JOIN.value)["at"] - began)
        parts = {TIMES: JOINS, "seconds of the shortest": min(took), "seconds of the longest": max(took)}
        return self._phase(Moment.JOIN, median(took), parts)

    def _fault(self, wanted: Wanted, harm: Harm) -> Phase:
        """It is in force for a time, or done; then another lease is written, of which all have to hear."""
        cluster = self._cluster
        parts: dict[str, float] = {}
        with self._progress.step(wanted.text):
            since = cluster.now()
            try:
                harm.begin()
                if wanted.seconds is not None:
                    wait.passing(wanted.seconds)
                    harm.end()
                    began, since = since, cluster.now()
                    parts["seconds of the fault"] = since - began
                cluster.serves()
            except LabError as error:  # what was measured before is to be told
                raise Unsettled(f"{wanted.text}: {error.message}", hint=error.hint) from error
            parts["seconds until another lease was written"] = cluster.announce() - since
            seen = cluster.settled(wanted.text)
        return self._phase(Moment.FAULT, seen["at"] - since, parts, wanted.text)

    def _churn(self) -> Phase:
        """One node after another dies, its lease ends, and it starts anew, with another subnet."""
        settings, cluster = self._settings, self._cluster
        count = max(1, round(settings.churn * settings.lasting))
        with self._progress.step(f"{Moment.CHURN.value}: {count} nodes, {settings.churn:g} a second"):
            began = time.monotonic()
            for number in range(count):
                node = next(iter(cluster.running))  # the one that has run for the longest time
                cluster.kill([node])
                cluster.expire([node])
                cluster.start([node])
                wait.passing(max(0.0, began + (number + 1) / settings.churn - time.monotonic()))
            lasted, ended = time.monotonic() - began, cluster.now()
            seen = cluster.settled(Moment.CHURN.value)
        parts = {"nodes replaced": count, "seconds of churn": lasted}
        return self._phase(Moment.CHURN, max(0.0, seen["at"] - ended), parts)

    def _phase(
        self, moment: Moment, seconds: float, parts: Mapping[str, float] | None = None, fault: str = ""
    ) -> Phase:
        before = self._before
        self._before, self._refused = self._cluster.usage()
        etcd = self._cluster.member_names
        done = phase(moment, seconds, before, self._before, etcd=etcd, parts=parts, fault=fault)
        self._progress.note(
            f"{done.title}: {seconds:.2f} s, {done.cpu:.3f} s of processor time a node, "
            f"{done.etcd_cpu:.2f} s etcd"
        )
        return done
