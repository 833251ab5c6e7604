"""At whatever moment `lab pod create` ends, each of its pods is whole, or gone, or is named."""

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Any, cast

import pytest

from lab import labels, naming, spec
from lab.cluster import Lab, perform
from lab.cluster.create_pods import create_pods
from lab.cluster.fleet import Fleet
from lab.engine import Container, Engine, ExecResult, Network
from lab.errors import LabError
from lab.events import Event, Noted, Reporter
from lab.node import Node, kubelet
from lab.spec.segment import ONLY
from tests.lab.one_by_one import OneByOne

SPEC = spec.tutorial().with_name("demo").model_copy(update={"pods": ()})
ONE, OTHER = spec.tutorial().pods
UNDERLAY = IPv4Network("192.168.200.0/24")


class Machines(OneByOne):
    """An engine whose machines remember which containers their Docker was asked for."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.calls: list[str] = []
        self.during: Callable[[str], None] = lambda _call: None

    def exec(self, container: str, argv: Sequence[str], **_: Any) -> ExecResult:
        words = list(argv)
        call = f"{container}: {shlex.join(words)}"
        self.calls.append(call)
        self.during(call)
        if words[:2] == ["docker", "run"]:
            self.there.add(words[words.index("--name") + 1])
        elif words[-1].startswith(f"{labels.POD}="):
            pod = words[-1].partition("=")[2]
            self.there = {name for name in self.there if pod not in name}
        return ExecResult(0, b"", b"")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setattr(kubelet, "list_pods", lambda _node: [])
    monkeypatch.setattr(kubelet, "_ready", lambda _node, _pod: lambda: True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Machines()
    signal.signal(signal.SIGINT, before)


def lab(machines: Machines) -> Lab:
    engine = cast(Engine, machines)
    carried = labels.of_lab("demo", SPEC.to_json(), ONLY, user="", host="", version=naming.our_version())
    nodes = {}
    for node in SPEC.nodes:
        own = labels.of_machine("demo", node.name, node.services)
        container = Container(node.name, node.name, own, "running", "Up")
        nodes[node.name] = Node(engine, container, UNDERLAY[node.host])
    network = Network("n", "lab-demo", carried, (str(UNDERLAY),))
    return Lab(engine, SPEC, network, {ONLY: UNDERLAY}, nodes, Fleet.of(engine, ()))


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


WHOLE = {"lab-pod-mysql01", "mysql01_mysql01"}


def test_pods_are_run_where_they_are_wanted(machines: Machines) -> None:
    placed = create_pods(lab(machines), [ONE, OTHER], Reporter())
    assert placed == {"mysql01": "centos-minion02", "mysql02": "centos-minion01"}
    assert machines.there == {*WHOLE, "lab-pod-mysql02", "mysql02_mysql02"}


CALLS = 2  # an infra container, and another one


@pytest.mark.parametrize("number", range(CALLS))
def test_whenever_ctrl_c_comes_a_pod_is_whole_or_gone(machines: Machines, number: int) -> None:
    def during(_call: str) -> None:
        if len(machines.calls) == number + 1:
            signal.raise_signal(signal.SIGINT)

    machines.during = during
    with pytest.raises(KeyboardInterrupt) as interrupted:
        create_pods(lab(machines), [ONE], Reporter())
    assert machines.there in (set(), WHOLE)
    assert ("What runs: mysql01" in notes(interrupted.value)) == (machines.there == WHOLE)


@pytest.mark.parametrize("number", range(CALLS))
def test_whichever_call_fails_the_pod_is_gone(machines: Machines, number: int) -> None:
    def during(_call: str) -> None:
        if len(machines.calls) == number + 1:
            raise LabError("its Docker is out of sorts")

    machines.during = during
    with pytest.raises(LabError, match="out of sorts"):
        create_pods(lab(machines), [ONE], Reporter())
    assert machines.there == set()


def interrupted_while(machines: Machines, words: str) -> threading.Event:
    """Have Ctrl-C come during that call, which a slow machine ends only when the event is set."""
    goes_on = threading.Event()

    def during(call: str) -> None:
        if words in call:
            signal.raise_signal(signal.SIGINT)
            assert goes_on.wait(60)

    machines.during = during
    return goes_on


def hearing(hear: Callable[[str], None]) -> Reporter:
    def listen(event: Event) -> None:
        if isinstance(event, Noted):
            hear(event.text)

    return Reporter(listen)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that were called off are given a moment to notice."""
    monkeypatch.setattr(perform, "GRACE", 0.2)


@pytest.mark.usefixtures("soon")
def test_what_a_slow_machine_is_making_is_waited_for_and_removed(machines: Machines) -> None:
    goes_on = interrupted_while(machines, "--name lab-pod-mysql01")
    with pytest.raises(KeyboardInterrupt) as interrupted:
        create_pods(lab(machines), [ONE], hearing(lambda _text: goes_on.set()))
    assert machines.there == set()
    assert notes(interrupted.value) == ""


@pytest.mark.usefixtures("soon")
def test_who_does_not_want_to_wait_is_told_what_may_be_left_and_how_to_remove_it(machines: Machines) -> None:
    goes_on = interrupted_while(machines, "--name lab-pod-mysql01")
    with pytest.raises(KeyboardInterrupt) as interrupted:
        create_pods(lab(machines), [ONE], hearing(lambda _text: signal.raise_signal(signal.SIGINT)))
    goes_on.set()
    last = notes(interrupted.value).splitlines()[-1]
    assert last.startswith("The pod mysql01 may be there in part.")
    assert last.endswith(": lab pod rm --name demo mysql01")


def test_a_pod_that_cannot_be_removed_is_told_with_the_command(machines: Machines) -> None:
    def during(call: str) -> None:
        if "--name mysql01_mysql01" in call or "docker rm" in call:
            raise LabError("no space left on device")

    machines.during = during
    with pytest.raises(LabError, match="no space left") as failed:
        create_pods(lab(machines), [ONE], Reporter())
    assert notes(failed.value).splitlines() == [
        "Not all of the pod mysql01 could be removed: no space left on device",
        "Remove what is left of it with: lab pod rm --name demo mysql01",
    ]
