"""The search for bugs on a real lab: what holds holds, and what does not is seen."""

import json
import os
import signal

import pytest

from lab import spec, threads, wait
from lab.cluster import Lab
from lab.events import Reporter
from lab.faults import control
from lab.pytest_plugin.labs import temporary_lab
from lab.soak.invariants import violations
from lab.soak.play import play, settle
from lab.soak.schedule import Entry, Round

pytestmark = pytest.mark.cluster

LAB = {
    "name": "soak",
    "nodes": [
        {"name": "m", "role": "master", "host": 10},
        {"name": "a", "role": "minion", "host": 11},
        {"name": "b", "role": "minion", "host": 12},
    ],
    "flannel": {"config": {"Network": "10.8.0.0/16", "Backend": {"Type": "vxlan"}}},
    "pods": [],
}
FIXED = Round(
    faults=(
        Entry(at=0.2, fault="etcd-stop", targets=("m",), lasts=2),
        Entry(at=0.8, fault="daemon-kill-9", targets=("a",)),
        Entry(at=1.0, fault="node-pause", targets=("b",), lasts=1),
    )
)


@pytest.fixture(scope="module")
def small(engine):
    with temporary_lab(engine, spec.load(json.dumps(LAB), "soak.yaml")) as outcome:
        yield outcome.lab


def test_in_a_fixed_round_everything_holds_and_every_fault_is_on_the_time_line(small):
    evidence = play(small, FIXED, Reporter())
    assert [item.describe() for item in violations(small.spec, evidence)] == []
    assert [item.entry.fault for item in evidence.applied] == ["etcd-stop", "daemon-kill-9", "node-pause"]
    assert all(item.began >= item.entry.at for item in evidence.applied)
    assert all(subnet for subnet in (evidence.subnets_before or {}).values())


def test_what_is_lost_by_a_fault_that_the_schedule_does_not_know_is_a_violation(small):
    quiet = Round(faults=(Entry(at=3, fault="etcd-compact"),))
    control.start(small, "loss", ["a"], {"share": "40%"})  # which the end of the round ends
    evidence = play(small, quiet, Reporter())
    assert control.status(small).faults == ()
    found = {(item.kind, item.subject) for item in violations(small.spec, evidence)}
    assert ("flow", "a -> b") in found


@pytest.fixture
def interruptible():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_round_that_is_called_off_ends_what_is_in_force_and_begins_no_other_fault(small, interruptible):
    planned = Round(
        faults=(
            Entry(at=0, fault="delay", targets=("a",), options={"time": "1ms"}, lasts=600),
            Entry(at=0, fault="node-pause", targets=("b",), lasts=600),
            Entry(at=600, fault="etcd-wipe"),
        )
    )

    def under_way() -> bool | wait.NotYet:
        found = {fault.name for fault in control.status(Lab.get(small.engine, small.name)).faults}
        return found == {"delay", "node-pause"} or wait.NotYet(found)

    def interrupt() -> None:
        try:
            wait.until(under_way, what="two faults to be in force", timeout=120)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    interrupting = threads.start(interrupt)
    with pytest.raises(KeyboardInterrupt):
        play(small, planned, Reporter())
    interrupting.result()
    now = Lab.get(small.engine, small.name)
    assert control.status(now).faults == ()
    assert now.missing == ()
    assert [item.id for item in settle(now, 60)] == []
