"""A run from beginning to end."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lab import images, wait
from lab.bench import reading
from lab.bench.figures import Failure, Integrity, Metric, Results, Sample
from lab.bench.inside import programs
from lab.bench.pair import Absent, Failed, Pair
from lab.bench.plan import Place, Sweep, Test, duration, order, sweeps
from lab.bench.topology import SWITCH
from lab.bench.ways import Genuine, Settings, Way, ways
from lab.deadlines import UNIT_STARTS
from lab.engine import Engine, FileContent
from lab.errors import CommandError, Unfit
from lab.events import Reporter
from lab.sandbox import Answer, Box, open_box
from lab.spec import Program, program_bytes
from lab.spec.program import read_program

__all__ = ["REFERENCE", "bench"]

REFERENCE = "FLANNELD_REFERENCE"
"""The variable that names genuine flannelds, separated by `:`."""

LITTLE, MUCH = 64 * 10**6, 10**9
"""Bytes that are carried in each direction and compared."""

FAILED = (Failed, Absent, wait.TimedOut, CommandError, reading.Unreadable)
"""What ends one measurement but not the run."""


def bench(engine: Engine, settings: Settings, progress: Reporter) -> Results:
    """Measure. Raises `LabError`. However it ends, everything that it made is removed."""
    references = _named(os.environ.get(REFERENCE, ""), engine.arch)
    image = images.ensure(engine, progress).node
    with open_box(engine, image, "bench", programs()) as box:
        load = box.read("/proc/loadavg").split()[0]
        genuine = [_put(box, number, data) for number, data in enumerate(references)]
        chosen = ways(genuine, settings.only)
        if not chosen:
            raise Unfit(
                f"none of these ways is available: {', '.join(settings.only)}",
                hint=f"Genuine ones need {REFERENCE}=PATH, a genuine flanneld.",
            )
        box.script(SWITCH)
        _start_etcd(box)
        pairs: dict[str, Pair] = {}
        absent: dict[str, str] = {}
        for way in chosen:
            with progress.step(f"set up {way.title}"):
                try:
                    pairs[way.name] = Pair.make(box, way)
                except Absent as error:
                    absent[way.name] = str(error)
            if way.name in absent:
                progress.note(f"{way.title}: not here: {absent[way.name]}")
        here = [way for way in chosen if way.name in pairs]
        minutes = duration(here, settings) / 60
        progress.note(f"{len(here)} ways, {settings.rounds} rounds: about {minutes:.0f} minutes")
        run = _Run(settings, progress, pairs)
        run.all(here)
        return Results(
            ways=chosen,
            absent=absent,
            samples=tuple(run.samples),
            failures=tuple(run.failures),
            integrity=tuple(run.integrity),
            checksum_errors={name: pair.checksum_errors() for name, pair in pairs.items()},
            machine=_machine(box, settings, load),
        )


def _named(value: str, arch: str) -> Sequence[bytes]:
    """The genuine flannelds themselves, for this architecture. Raises `Unfit`."""
    programs: list[Program] = []
    for name in filter(None, value.split(":")):
        try:
            programs.append(read_program(Path(name).expanduser()))
        except ValueError as error:
            raise Unfit(f"{REFERENCE}: {error}") from error
    return [program_bytes(program, arch) for program in programs]


def _put(box: Box, number: int, data: bytes) -> Genuine:
    path = f"/usr/local/lib/lab-bench/flanneld-{number}"
    box.put({path: FileContent(data, 0o755)})
    said = box.run(path, "-version").said.strip().splitlines()
    if not said:
        raise Unfit(f"{REFERENCE}: number {number + 1} prints nothing for -version, so it is not a flanneld")
    return Genuine(path, said[-1].removeprefix("v"))


def _start_etcd(box: Box) -> None:
    _, log = box.spawn(
        "env", "ETCD_ENABLE_V2=true", "etcd", "--data-dir=/run/etcd",
        "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
    )  # fmt: skip
    said = box.says(log, "ready to serve client requests", times=1, timeout=UNIT_STARTS.seconds)
    if said is not None:
        raise wait.TimedOut(f"waited {UNIT_STARTS.seconds:.0f} s for etcd; last seen: {said[-300:]}")


def _machine(box: Box, settings: Settings, load: str) -> Mapping[str, str]:
    """The machine that the figures were measured on."""
    congestion = settings.congestion or box.must("cat", "/proc/sys/net/ipv4/tcp_congestion_control").strip()
    return {
        **box.machine(),
        "congestion control": congestion,
        "iperf3": box.must("iperf3", "--version").split()[1],
        "load before": load,
    }


class _Run:
    """The measurements, and what they have found so far."""

    def __init__(self, settings: Settings, progress: Reporter, pairs: Mapping[str, Pair]) -> None:
        self._settings = settings
        self._progress = progress
        self._pairs = pairs
        self.samples: list[Sample] = []
        self.failures: list[Failure] = []
        self.integrity: list[Integrity] = []

    def all(self, here: Sequence[Way]) -> None:
        """Everything: each round's measurements, then what is checked only once."""
        udp = [way for way in here if way.is_udp]
        for sweep in sweeps(here, self._settings):
            name = (
                f"round {sweep.round + 1} of {self._settings.rounds}: {sweep.test.value}, {sweep.place.value}"
            )
            with self._progress.step(name):
                self._measure(sweep)
            if sweep == last_of(sweep):
                with self._progress.step(f"round {sweep.round + 1} of {self._settings.rounds}: kill -9"):
                    self._outages(sweep.round, order(udp, sweep.round))
        amount = MUCH if self._settings.verify else LITTLE
        for way in udp:
            with self._progress.step(f"{amount / 1e6:.0f} MB both ways: {way.title}"):
                self._exchange(way, amount)

    def _measure(self, sweep: Sweep) -> None:
        for way in sweep.ways:
            try:
                done = self._pairs[way.name].measure(sweep.test, sweep.place, self._settings)
                found = list(_values(sweep.test, done))
            except FAILED as error:
                self._fail(sweep.round, way, f"{sweep.test.value}, {sweep.place.value}", error)
                continue
            self.samples += [
                Sample(sweep.round, way.name, sweep.place, metric, value) for metric, value in found
            ]

    def _outages(self, number: int, udp: Iterable[Way]) -> None:
        for way in udp:
            try:
                seconds = self._pairs[way.name].outage()
            except FAILED as error:
                self._fail(number, way, Metric.OUTAGE.value, error)
            else:
                self.samples.append(Sample(number, way.name, Place.POD, Metric.OUTAGE, seconds))

    def _exchange(self, way: Way, amount: int) -> None:
        for place in Place:
            try:
                equal = self._pairs[way.name].exchange(place, amount)
            except FAILED as error:
                self._fail(0, way, f"{amount / 1e6:.0f} MB both ways, {place.value}", error)
                equal = False
            self.integrity.append(Integrity(way.name, place, amount, equal))

    def _fail(self, number: int, way: Way, what: str, error: Exception) -> None:
        reason = " ".join(str(error).split())
        self._progress.note(f"failed: {way.title}, {what}: {reason}")
        self.failures.append(Failure(number, way.name, what, reason))


def last_of(sweep: Sweep) -> Sweep:
    """The last sweep of the same round."""
    return Sweep(sweep.round, list(Place)[-1], list(Test)[-1], sweep.ways)


def _values(test: Test, done: Answer) -> Iterator[tuple[Metric, float]]:
    """What a test's output says, in the metrics' units. Raises `Unreadable`."""
    if test is Test.TCP1:
        rate, amount = reading.tcp(done.out)
        cpu = reading.cpu_between(done["before"], done["after"])
        yield Metric.TCP1, rate / 1e9
        yield Metric.CPU_DAEMONS, cpu.daemons / (amount / 1e9)
        yield Metric.CPU_MACHINE, cpu.machine / (amount / 1e9)
    elif test is Test.TCP4:
        yield Metric.TCP4, reading.tcp(done.out)[0] / 1e9
    elif test is Test.ROUND_TRIP:
        found = reading.round_trips(done.out)
        yield Metric.ROUND_TRIP, reading.quantile(found, 0.5)
        yield Metric.ROUND_TRIP_99, reading.quantile(found, 0.99)
    else:
        _, received, lost = reading.datagrams(done.out)
        small = test is Test.SMALL
        yield Metric.SMALL if small else Metric.LARGE, received / 1000
        yield Metric.SMALL_LOSS if small else Metric.LARGE_LOSS, lost * 100
