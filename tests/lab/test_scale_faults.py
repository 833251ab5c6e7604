"""Faults of the catalogue in `lab scale`: which there are, how they are written, and what is made of them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lab.errors import LabError, Unfit
from lab.faults.impairment import Impairment, Rule, Standing, Status
from lab.faults.inside import main
from lab.faults.inside.kinds import EVENTS
from lab.faults.plan import OnNode, Plan
from lab.faults.registry import every_fault, fault_named
from lab.sandbox import Answer
from lab.scale.faults import FOR_A_TIME, FOR_GOOD, ONCE, Manner, wanted
from lab.scale.harm import Harm
from lab.scale.plan import Settings, members, nodes
from lab.scale.setting import setting

assert main.MODULES  # what a machine knows is registered when these are imported

OFFERED = [*FOR_GOOD, *FOR_A_TIME, *ONCE]
OTHERS = [item.name for item in every_fault() if item.name not in OFFERED and not item.refused]
TARGETS = {
    "": "",
    "NODE...": "m1",
    "[NODE...]": "m1",
    "NODE[,NODE...] NODE[,NODE...]...": "n1 n2",
}
LOSS = Impairment(loss=0.05)
OF_PROCESSES = {"unit-paused", "unit-stopped", "unit-kill", "unit-restart"}


def text_of(name: str) -> str:
    """The fault as somebody could write it."""
    targets = TARGETS[fault_named(name).targets.usage]
    if name.startswith(("daemon", "thundering", "lease")):
        targets = "n1"
    return f"{name} {targets}{' --for 5s' if name in FOR_A_TIME else ''}"


def steps(plan: Plan) -> list[tuple[str, str, Any]]:
    """(machine, what it does, what it is given), in order."""
    return [
        (action.node, step.does, step.given)
        for stage in plan
        for action in stage
        if isinstance(action, OnNode)
        for step in action.steps
    ]


@pytest.mark.parametrize("name", OFFERED)
def test_each_takes_only_steps_that_the_machines_of_a_run_can_take(name):
    plan = wanted(text_of(name)).plan(setting("vxlan", 3, 3))
    taken = [does for _, does, _ in steps(plan)]
    assert taken
    assert len(taken) == sum(len(getattr(action, "steps", (None,))) for stage in plan for action in stage)
    assert set(taken) <= OF_PROCESSES | {"impaired"} | EVENTS.keys()


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_one_is_refused_with_the_reason_and_those_that_there_are(name):
    with pytest.raises(Unfit, match=f"{name} is refused in lab scale: .{{20}}") as refused:
        wanted(name)
    assert "partition-etcd" in refused.value.hint


def test_what_no_machine_can_do_is_refused_with_the_reason_that_any_lab_gives():
    with pytest.raises(Unfit, match="dm-delay"):
        wanted("etcd-slow-disk m1").plan(setting("vxlan", 3, 1))


def test_a_fault_is_in_force_throughout_for_a_time_or_done_once():
    assert wanted("delay etcd --time 50ms").manner is Manner.THROUGHOUT
    late = wanted("delay etcd --for 5s --time=50ms")
    assert (late.manner, late.seconds, late.options) == (Manner.FOR_A_TIME, 5.0, {"time": "50ms"})
    assert wanted("etcd-wipe").manner is Manner.ONCE
    settings = Settings((3,), faults=(wanted("etcd-wipe"), wanted("loss n1"), late))
    assert settings.in_force == ("loss n1",)


@pytest.mark.parametrize("name", FOR_A_TIME)
def test_where_not_all_can_know_all_it_has_to_have_an_end(name):
    text = text_of(name).removesuffix(" --for 5s")
    with pytest.raises(Unfit, match=f"{name} needs --for") as refused:
        wanted(text)
    assert wanted(refused.value.hint.partition("'")[2].rpartition("'")[0]).seconds == 10.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no fault"),
        ("delay 'etcd", "is no fault"),
        ("dealy etcd", "did you mean delay"),
        ("delay etcd --tiem 5ms", "did you mean --time"),
        ("delay etcd --for soon", "expected a duration"),
        ("etcd-wipe --for 5s", "etcd-wipe is an event"),
    ],
)
def test_what_is_wrong_in_a_text_is_told(text, said):
    with pytest.raises(Unfit, match=said):
        wanted(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delay n5", "no node n5"),
        ("etcd-pause n1 --for 5s", "n1 does not run etcd"),
        ("etcd-leader-change", "etcd has one member"),
        ("delay n1 --time never", "never"),
    ],
)
def test_what_cannot_be_in_a_cluster_of_so_many_nodes_is_told(text, said):
    with pytest.raises(Unfit, match=said):
        wanted(text).plan(setting("vxlan", 3, 1))


@pytest.mark.parametrize("count", [3, 600])
def test_the_catalogue_knows_the_machines_of_a_run_by_their_names_and_addresses(count):
    known = setting("host-gw", count, 5)
    for machine in (*members(5), *nodes(count + 1)):
        assert [str(each) for each in known.addresses(machine.name)] == [machine.address]
    assert known.etcd == ("m1", "m2", "m3", "m4", "m5")
    assert known.named(["minions"]) == tuple(node.name for node in nodes(count + 1))


def test_a_node_is_cut_off_from_every_member_of_etcd():
    (step,) = steps(wanted("partition-etcd n2 --for 5s").plan(setting("vxlan", 3, 3)))
    assert step[0] == "n2"
    assert step[2]["rule"]["peers"] == [member.address for member in members(3)]


class Processes:
    """Those of a cluster, which do what they are told."""

    def __init__(self, stubborn: str = "") -> None:
        self.stubborn = stubborn
        self.told: list[tuple[Any, ...]] = []

    def signal(self, names: Sequence[str], signal: str) -> None:
        self.told.append(("signal", signal, list(names)))

    def end(self, names: Sequence[str], signal: str) -> Sequence[str]:
        self.told.append(("end", signal, list(names)))
        return [name for name in names if name != self.stubborn]

    def start_again(self, names: Sequence[str]) -> None:
        self.told.append(("start", list(names)))


def harm(text: str, processes: Processes) -> Harm:
    plan = wanted(text).plan(setting("vxlan", 3, 3))
    return Harm(cluster=processes, plan=plan, number=1)  # type: ignore[arg-type]


def test_daemons_that_are_paused_go_on_in_the_end():
    processes = Processes()
    fault = harm("daemon-pause n1 n2 --for 5s", processes)
    fault.begin()
    assert processes.told == [("signal", "STOP", ["n1", "n2"])]
    fault.end()
    assert ("signal", "CONT", ["n1", "n2"]) in processes.told


def test_a_member_of_etcd_that_is_stopped_is_started_in_the_end():
    processes = Processes()
    fault = harm("etcd-member-loss m2 --for 5s", processes)
    fault.begin()
    assert processes.told == [("end", "TERM", ["m2"])]
    fault.end()
    assert ("start", ["m2"]) in processes.told


def test_all_daemons_that_are_restarted_have_ended_before_the_first_one_starts():
    processes = Processes()
    harm("thundering-start n1 n2", processes).begin()
    assert processes.told == [("end", "TERM", ["n1", "n2"]), ("start", ["n1", "n2"])]


def test_a_daemon_that_a_signal_has_not_ended_is_not_started_again():
    processes = Processes(stubborn="n1")
    harm("daemon-kill-9 n1 n2 --signal HUP", processes).begin()
    assert processes.told == [("end", "HUP", ["n1", "n2"]), ("start", ["n2"])]


def test_one_that_does_not_end_is_named():
    with pytest.raises(LabError, match="on n2 the process did not end of SIGTERM"):
        harm("daemon-restart n1 n2", Processes(stubborn="n2")).begin()


class Kernel:
    """Of a namespace, in which the program that impairs packets says what is there."""

    def __init__(self, *rules: Standing) -> None:
        self.rules = rules

    def run(self, *argv: str, **_: object) -> Answer:
        assert argv[-1] == "status"
        return Answer(exit=0, out=json.dumps(Status(self.rules, ()).as_document()), err="")


class InBox:
    """A cluster in one container."""

    def __init__(self, box: Kernel) -> None:
        self._box = box

    def box(self, _name: str) -> Kernel:
        return self._box


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([Standing(Rule("fault-1", LOSS), "line")], []),
        ([Standing(Rule("fault-1", LOSS), "line", ("imp0 has ended",))], ["m1: imp0 has ended"]),
        ([Standing(Rule("fault-2", LOSS), "line")], ["m1: its rule is gone"]),
    ],
)  # fmt: skip
def test_whether_an_impairment_is_still_in_force_is_asked_of_the_kernel(rules, missing):
    plan = wanted("loss m1").plan(setting("vxlan", 3, 1))
    assert Harm(InBox(Kernel(*rules)), plan, number=1).missing() == missing  # type: ignore[arg-type]
