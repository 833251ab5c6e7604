"""`lab restart`: which machines, how, and what is waited for."""

from dataclasses import replace
from typing import Any

import pytest

from lab import spec
from lab.cluster import Lab, lifecycle
from lab.cluster.restart import restart
from lab.errors import LabError
from lab.events import Event, Reporter, StepBegan
from lab.node import kubelet
from tests.lab.examples import pod
from tests.lab.pretended import PretendedEngine, pretended_world

ONE, TWO = "centos-minion01", "centos-minion02"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> PretendedEngine:
    engine = pretended_world(monkeypatch)
    engine.unpause = engine.start  # type: ignore[attr-defined]
    lifecycle.up(engine.engine, spec.tutorial().with_name("demo"), Reporter())
    pods = {ONE: [pod("mysql02")], TWO: [replace(pod("mysql01"), status="Error")]}
    monkeypatch.setattr(kubelet, "list_pods", lambda node: pods.get(node.name, []))
    monkeypatch.setattr(kubelet, "await_pod", lambda *_, **__: None)
    engine.calls.clear()
    return engine


def restarted(fake: PretendedEngine, *words: str, **options: Any) -> tuple[list[str], list[str]]:
    """The engine's restarts and starts, and the steps."""
    steps: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, StepBegan):
            steps.append(event.name)

    restart(Lab.get(fake.engine, "demo"), words, Reporter(hear), **options)
    return [call for call in fake.calls if call.startswith(("restart", "start"))], steps


def test_a_machine_is_restarted_and_its_services_pods_and_every_check_are_waited_for(
    fake: PretendedEngine,
) -> None:
    calls, steps = restarted(fake, ONE)
    assert calls == [f"restart lab-demo-{ONE} within 10 s"]
    services = [f"{unit} on {ONE}" for unit in ("flanneld", "docker")]
    assert steps == [f"restart {ONE}", *services, f"pod mysql02 on {ONE}", "run every check"]


def test_hard_gives_no_time_and_words_are_those_of_a_faults_targets(fake: PretendedEngine) -> None:
    calls, steps = restarted(fake, "minions", hard=True)
    assert sorted(calls) == [f"restart lab-demo-{name} within 0 s" for name in (ONE, TWO)]
    assert steps[0] == f"reset {ONE}, {TWO}"
    assert f"pod mysql01 on {TWO}" not in steps  # it did not run before


def test_a_machine_that_is_down_is_started_and_one_that_stands_still_goes_on_first(
    fake: PretendedEngine,
) -> None:
    for name, state in ((ONE, "exited"), (TWO, "paused")):
        container = f"lab-demo-{name}"
        fake.containers_[container] = replace(fake.containers_[container], state=state)
    calls, _ = restarted(fake, ONE, TWO)
    assert calls == [
        *(f"start lab-demo-{name}" for name in (ONE, TWO)),
        f"restart lab-demo-{TWO} within 10 s",
    ]


def test_a_machine_that_is_not_there_is_told(fake: PretendedEngine) -> None:
    del fake.containers_[f"lab-demo-{ONE}"]
    with pytest.raises(LabError, match=f"the machine {ONE} is not there"):
        restarted(fake, ONE)
    with pytest.raises(LabError, match=r"has no node minion01; did you mean centos-minion01\?"):
        restarted(fake, "minion01")
