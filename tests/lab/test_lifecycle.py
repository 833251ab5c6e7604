"""At whatever moment `lab up` ends, what is left is the whole lab, or nothing, or is named."""

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import checks, lock, spec, status
from lab.cluster import Lab, lifecycle, perform
from lab.engine import Container, EngineUnavailable
from lab.errors import LabError
from lab.events import Event, Noted, Reporter
from lab.labels import COMPLETE, NAME
from tests.lab.pretended import PretendedEngine, pretended_world

LAB = spec.tutorial().with_name("demo")
WHOLE = [
    "lab-demo",
    "lab-demo-centos-master",
    "lab-demo-centos-minion01",
    "lab-demo-centos-minion02",
    "lab-demo-complete",
]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedEngine]:
    # Whoever started the tests may have had them ignore Ctrl-C, as a shell has its background jobs.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield pretended_world(monkeypatch)
    signal.signal(signal.SIGINT, before)


def up(fake: PretendedEngine, hear: Callable[[str], None] = lambda _: None, **options: Any) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, Noted):
            hear(event.text)

    lifecycle.up(fake.engine, LAB, Reporter(listen), **options)


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


def calls_of_an_up() -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        engine = pretended_world(patch)
        up(engine)
        return engine.calls


def test_a_lab_that_is_up_is_whole_and_marked(fake: PretendedEngine) -> None:
    up(fake)
    assert fake.left == WHOLE
    assert fake.volumes_["lab-demo-complete"].labels[COMPLETE] == "yes"
    assert fake.calls[-1] == "create volume lab-demo-complete"


@pytest.mark.parametrize("number", range(len(calls_of_an_up())))
def test_whenever_ctrl_c_comes_the_lab_is_whole_or_gone(fake: PretendedEngine, number: int) -> None:
    def during(_call: str) -> None:
        if len(fake.calls) == number + 1:
            signal.raise_signal(signal.SIGINT)

    fake.during = during
    with pytest.raises(KeyboardInterrupt) as interrupted:
        up(fake)
    assert fake.left in ([], WHOLE)
    assert notes(interrupted.value) == ""


@pytest.mark.parametrize("number", range(len(calls_of_an_up())))
def test_whichever_call_fails_the_lab_is_whole_or_gone(fake: PretendedEngine, number: int) -> None:
    def during(_call: str) -> None:
        if len(fake.calls) == number + 1:
            raise LabError("the engine is out of sorts")

    fake.during = during
    with pytest.raises(LabError, match="out of sorts"):
        up(fake)
    assert fake.left == []


def test_an_interrupt_after_the_last_check_leaves_nothing(fake: PretendedEngine) -> None:
    def check(_lab: object) -> list[object]:
        signal.raise_signal(signal.SIGINT)
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "run_all", check)
        with pytest.raises(KeyboardInterrupt):
            up(fake)
    assert fake.left == []


def interrupted_at(fake: PretendedEngine, call: str) -> threading.Event:
    """Have Ctrl-C come during that call, which the engine ends only when the event is set."""
    goes_on = threading.Event()

    def during(asked: str) -> None:
        if asked == call:
            signal.raise_signal(signal.SIGINT)
            assert goes_on.wait(60)

    fake.during = during
    return goes_on


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that were called off are given a moment to notice."""
    monkeypatch.setattr(perform, "GRACE", 0.2)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("call", ["create network lab-demo", "create lab-demo-centos-minion01"])
def test_what_a_slow_engine_is_making_is_waited_for_and_removed(fake: PretendedEngine, call: str) -> None:
    goes_on = interrupted_at(fake, call)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        up(fake, lambda text: goes_on.set() if "waiting for the engine" in text else None)
    assert goes_on.is_set()
    assert fake.left == []
    assert notes(interrupted.value) == ""


@pytest.mark.usefixtures("soon")
def test_who_does_not_want_to_wait_is_told_what_may_come_and_how_to_remove_it(fake: PretendedEngine) -> None:
    goes_on = interrupted_at(fake, "create lab-demo-centos-minion01")

    def insist(text: str) -> None:
        if "waiting for the engine" in text:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as interrupted:
        up(fake, insist)
    goes_on.set()
    last = notes(interrupted.value).splitlines()[-1]
    assert "node centos-minion01" in last
    assert last.endswith(": lab gc")


def test_what_an_engine_that_stopped_answering_may_still_make_is_told(fake: PretendedEngine) -> None:
    def during(asked: str) -> None:
        if asked == "create lab-demo-centos-minion02":
            raise EngineUnavailable("creating a container: the Docker engine does not answer: timed out")

    fake.during = during
    with pytest.raises(EngineUnavailable) as failed:
        up(fake)
    assert fake.left == []
    assert "node centos-minion02" in notes(failed.value)
    assert notes(failed.value).endswith(": lab gc")


@pytest.mark.parametrize("call", ["list volumes", "remove lab-demo-centos-master", "remove network lab-demo"])
def test_what_cannot_be_removed_is_told_with_the_command(fake: PretendedEngine, call: str) -> None:
    failing = threading.Event()

    def during(asked: str) -> None:
        if asked.startswith("run on"):
            failing.set()
            raise LabError("a machine is out of sorts")
        if failing.is_set() and asked == call:
            raise LabError("device or resource busy")

    fake.during = during
    with pytest.raises(LabError, match="a machine is out of sorts") as failed:
        up(fake)
    assert fake.left != []
    assert notes(failed.value).splitlines() == [
        "Not all of it could be removed: device or resource busy",
        "Remove what is left of the lab demo with: lab down --name demo",
    ]


def broken(fake: PretendedEngine) -> None:
    """Have the last of the machines be out of sorts."""

    def during(asked: str) -> None:
        if asked == "start lab-demo-centos-minion02":
            raise LabError("out of sorts")

    fake.during = during


def test_a_witness_sees_what_has_failed_before_it_is_removed(fake: PretendedEngine) -> None:
    seen: list[object] = []
    broken(fake)
    with pytest.raises(LabError) as failed:
        up(fake, witness=lambda error, _: seen.extend([error, *fake.left]))
    assert seen[0] is failed.value
    assert "lab-demo-centos-minion02" in seen
    assert fake.left == []


@pytest.mark.parametrize("wrong", [LabError("the disk is full"), ZeroDivisionError("the disk is full")])
def test_a_witness_that_fails_is_told_and_the_lab_is_removed_all_the_same(
    fake: PretendedEngine, wrong: Exception
) -> None:
    def witness(_error: Exception, _progress: Reporter) -> None:
        raise wrong

    broken(fake)
    with pytest.raises(LabError, match="out of sorts") as failed:
        up(fake, witness=witness)
    assert fake.left == []
    assert "There is no bundle" in notes(failed.value)
    assert "the disk is full" in notes(failed.value)


def test_ctrl_c_ends_a_witness_that_takes_its_time(fake: PretendedEngine) -> None:
    goes_on = threading.Event()

    def witness(_error: Exception, _progress: Reporter) -> None:
        signal.raise_signal(signal.SIGINT)
        assert goes_on.wait(60)

    broken(fake)
    with pytest.raises(LabError, match="out of sorts") as failed:
        up(fake, witness=witness)
    goes_on.set()
    assert fake.left == []
    assert "interrupted" in notes(failed.value)


def test_who_presses_ctrl_c_is_not_kept_by_a_witness(fake: PretendedEngine) -> None:
    called = threading.Event()
    fake.during = lambda call: signal.raise_signal(signal.SIGINT) if call.startswith("start") else None
    with pytest.raises(KeyboardInterrupt):
        up(fake, witness=lambda *_: called.set())
    assert not called.is_set()


def test_a_failed_down_says_how_to_go_on(fake: PretendedEngine) -> None:
    up(fake)

    def during(asked: str) -> None:
        if asked == "remove lab-demo-centos-master":
            raise LabError("device or resource busy")

    fake.during = during
    with pytest.raises(LabError, match="busy") as failed:
        lifecycle.down(fake.engine, "demo")
    assert notes(failed.value).endswith("lab down --name demo")
    fake.during = lambda _: None
    lifecycle.down(fake.engine, "demo")
    assert fake.left == []


@pytest.mark.parametrize("number", range(7))
def test_a_down_that_is_interrupted_is_done_all_the_same(fake: PretendedEngine, number: int) -> None:
    up(fake)
    fake.calls.clear()

    def during(_call: str) -> None:
        if len(fake.calls) == number + 1:
            signal.raise_signal(signal.SIGINT)

    fake.during = during
    with pytest.raises(KeyboardInterrupt):
        lifecycle.down(fake.engine, "demo")
    assert fake.left == []


def test_what_is_no_lab_is_listed_as_in_use_while_its_maker_holds_it_and_then_as_left_over(fake):
    made = Container("lab-bench-1", "lab-bench-1", {NAME: "bench-1"}, "running", "Up")
    fake.containers_[made.name] = made
    with lock.held(fake.id, "bench-1"):
        assert [(it.name, it.state) for it in status.labs(fake.engine)] == [
            ("bench-1", "in use by a running process")
        ]
    assert [(it.name, it.state) for it in status.labs(fake.engine)] == [("bench-1", "left over")]


def test_of_a_lab_that_lacks_a_network_everything_can_be_listed(fake: PretendedEngine) -> None:
    racks = spec.load(
        "{name: racks, segments: {one: {}, two: {}}, pods: [], nodes: [{name: a, host: 2, services: []}, "
        "{name: r, host: 3, services: [], alsoOn: [{segment: two, host: 3}], router: true}]}",
        "lab.yaml",
    )

    def during(call: str) -> None:
        if call == "create network lab-racks.two":
            raise LabError("no more bridges")

    fake.during = during
    with pytest.raises(LabError, match="no more bridges"):
        lifecycle.build(fake.engine, racks, Reporter(), retain=True)
    there = Lab.get(fake.engine, "racks")
    assert str(there.segments["two"].ipv4) == "0.0.0.0/24"
    assert there.missing == ("a (absent)", "r (absent)")
    assert [node.name for node in status.nodes(status.look(there))] == ["a", "r"]
