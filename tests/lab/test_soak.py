"""The search for bugs: schedules, what excuses what, the shortest reproduction, the workload's counting."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import checks, spec
from lab.cli import group
from lab.cli import soak as cli
from lab.cluster import Lab
from lab.errors import LabError, Unfit
from lab.events import Reporter
from lab.faults.registry import fault_named
from lab.faults.targets import Setting
from lab.render import soak as render
from lab.soak import generate, schedule, search
from lab.soak.evidence import Applied, Evidence, Gap
from lab.soak.outcome import Outcome
from lab.soak.recipes import RECIPES, Recipe
from lab.soak.schedule import Entry, Round, Schedule
from lab.soak.shrink import shrink
from lab.spec import LabSpec
from lab.spec.segment import Subnets
from tests.effort import examples
from tests.lab.examples import SPEC, with_no_routes
from tests.schemas import problems

ONE, TWO, MASTER = "centos-minion01", "centos-minion02", "centos-master"
NODES = ", ".join(
    f"{{name: n{number}, host: 1{number}, services: [etcd, flanneld, docker]}}" for number in range(3)
)
MEMBERS = spec.load(f"name: three\nnodes: [{NODES}]\npods: []\n", "lab.yaml")
VXLAN, HOST_GW = (
    SPEC.model_copy(
        update={"flannel_config": f'{{"Network": "10.2.0.0/16", "Backend": {{"Type": "{backend}"}}}}'}
    )
    for backend in ("vxlan", "host-gw")
)

entries = st.builds(
    Entry,
    at=st.floats(0, 10).map(lambda value: round(value, 1)),
    fault=st.sampled_from(["etcd-stop", "node-reboot"]),
    targets=st.sampled_from([(), (ONE,), (ONE, TWO)]),
    options=st.sampled_from([{}, {"hard": "true"}]),
    lasts=st.none() | st.sampled_from([1.5, 4.0]),
)
schedules = st.builds(
    Schedule,
    seed=st.none() | st.integers(0, 9),
    rounds=st.lists(
        st.builds(Round, faults=st.lists(entries, min_size=1, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
)


@examples(10)
@given(schedules)
def test_a_schedule_that_is_written_is_read_back_the_same(tmp_path_factory, planned: Schedule) -> None:
    path = tmp_path_factory.mktemp("soak") / "schedule.yaml"
    path.write_text(schedule.written(planned))
    assert schedule.read(path) == planned


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "rounds: [{faults: [{at: -1, fault: x}]}]",
            "rounds[0].faults[0].at: expected greater than or equal",
        ),
        ("rounds: [{fault: []}]", "rounds[0].fault: not supported by the lab; did you mean faults?"),
        ("- 1\n--- 2\n", "one document expected; it has 2"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused_with_the_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(Unfit, match=r"s\.yaml: .*") as told:
        schedule.read(tmp_path / "s.yaml")
    assert complaint in told.value.message


def test_the_same_seed_draws_the_same_and_each_round_whatever_the_others() -> None:
    whole = generate.draw(7, SPEC, 4)
    assert whole == generate.draw(7, SPEC, 4)
    assert whole != generate.draw(8, SPEC, 4)
    assert generate.draw_round(7, 2, SPEC) == whole.rounds[2]


@pytest.mark.parametrize(
    "lab", [SPEC, VXLAN, HOST_GW, MEMBERS], ids=["udp", "vxlan", "host-gw", "three members"]
)
def test_what_is_drawn_can_be_asked_for(lab: LabSpec) -> None:
    setting = Setting(lab, {"underlay": Subnets(IPv4Network("192.168.199.0/24"))})
    drawn = [entry for one in generate.draw(1, lab, 300).rounds for entry in one.faults]
    for entry in drawn:
        fault = fault_named(entry.fault)
        fault.ask(setting, entry.targets, entry.options)
        assert (entry.lasts is None) == (fault.kind == "event"), entry.fault
    impossible = {"etcd-member-loss"} if len(lab.running("etcd")) == 1 else set()
    impossible |= set() if lab.backend.name == "udp" else {"port-busy"}
    impossible |= set() if lab.backend.name == "vxlan" else {"neighbour-delete", "fdb-delete"}
    impossible |= {"device-delete"} if lab.backend.name == "host-gw" else set()
    assert {entry.fault for entry in drawn} == set(RECIPES) - impossible


def test_only_the_faults_that_are_named_are_drawn_and_a_wrong_name_is_told() -> None:
    only = generate.draw(1, SPEC, 20, generate.weights("loss, delay"))
    assert {entry.fault for one in only.rounds for entry in one.faults} == {"loss", "delay"}
    with pytest.raises(Unfit, match="etcd-stpo is no fault that a search draws; did you mean etcd-stop"):
        generate.weights("etcd-stpo")
    with pytest.raises(Unfit, match="cannot have any of these faults: etcd-member-loss"):
        generate.draw(1, SPEC, 1, generate.weights("etcd-member-loss"))


def test_a_fault_with_more_weight_comes_more_often() -> None:
    drawn = generate.draw(1, SPEC, 100, generate.weights("loss=9,delay"))
    every = [entry.fault for one in drawn.rounds for entry in one.faults]
    assert every.count("loss") > 1.2 * every.count("delay")  # not nine times: a node has each fault once


@pytest.mark.parametrize("text", ["loss=", "loss=0", "loss=-1", "loss=much", "loss=inf"])
def test_a_weight_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Unfit, match=r"the weight of loss is '.*'; expected a number above 0"):
        generate.weights(text)


@pytest.mark.parametrize(
    ("rounds", "complaint"),
    [
        ("[]", "rounds: expected at least one"),
        ("[{faults: []}]", "rounds[0].faults: expected at least one"),
        (
            "[{faults: [{at: 0, fault: etcd-stpo}]}]",
            "rounds[0].faults[0]: there is no fault etcd-stpo; did you",
        ),
        (
            "[{faults: [{at: 0, fault: loss, targets: [nobody], lasts: 1}]}]",
            "loss: the lab tutorial has no",
        ),
        ("[{faults: [{at: 0, fault: etcd-stop}]}]", "etcd-stop lasts until it is ended: lasts: SECONDS is"),
        (
            "[{faults: [{at: 0, fault: etcd-compact, lasts: 1}]}]",
            "etcd-compact is an event, which does not last",
        ),
        (
            "[{faults: [{at: 0, fault: clock-skew, targets: [all], lasts: 1}]}]",
            "rounds[0].faults[0]: clock-skew",
        ),
    ],
)
def test_a_schedule_that_this_lab_cannot_have_is_refused_before_anything_is_done(
    tmp_path: Path, rounds: str, complaint: str
) -> None:
    (tmp_path / "s.yaml").write_text(f"rounds: {rounds}\n")
    setting = Setting(SPEC, {"underlay": Subnets(IPv4Network("192.168.199.0/24"))})
    with pytest.raises(Unfit, match=r"^s\.yaml: rounds") as told:
        schedule.require_fit(schedule.read(tmp_path / "s.yaml"), setting, "s.yaml")
    assert complaint in told.value.message


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--replay", "s.yaml", "--seed", "3"], "--replay and --seed"),
        (["--replay", "s.yaml", "--faults", "loss"], "--replay and --faults"),
        (["--for", "10m", "--rounds", "5"], "--for and --rounds"),
        (["--for", "10m", "--dry-run"], "--for and --dry-run"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    argv: Sequence[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert group.run(["soak", *argv]) == 2
    assert capsys.readouterr().err == f"lab: {words} cannot be given together\n"


def applied(fault: str, *targets: str, began: float = 2.0, ended: float = 6.0, done: bool = True) -> Applied:
    return Applied(Entry(at=0, fault=fault, targets=targets), began, ended, done)


LOST = Gap("datagrams", ONE, TWO, 3.0, 3.2, "4 lost")


def test_a_round_that_held_says_which_of_its_faults_were_not_done() -> None:
    planned = Round(faults=(Entry(at=0, fault="etcd-wipe"), Entry(at=1, fault="node-pause")))
    evidence = Evidence((applied("etcd-wipe"), applied("node-pause", ONE, done=False)))
    told = render.line(Outcome(1, planned, evidence, ()))
    assert told == "round 1 held: etcd-wipe, node-pause (not done: node-pause)"


ALL = tuple(Entry(at=float(number), fault=f"f{number}", lasts=8.0) for number in range(8))


@given(st.sets(st.integers(0, 7), min_size=1, max_size=3))
def test_the_shortest_reproduction_has_the_faults_that_it_takes_and_no_other(needed: set[int]) -> None:
    def violates(planned: Round) -> bool:
        return {f"f{number}" for number in needed} <= {entry.fault for entry in planned.faults}

    found = shrink(Round(faults=ALL), violates, tries=200)
    assert {entry.fault for entry in found.faults} == {f"f{number}" for number in needed}
    assert all(entry.at == 0.0 for entry in found.faults)
    assert all(entry.lasts == 4.0 for entry in found.faults)


def test_looking_for_it_ends_after_so_many_tries_with_what_is_known_by_then() -> None:
    asked: list[int] = []

    def violates(planned: Round) -> bool:
        asked.append(len(planned.faults))
        return any(entry.fault == "f7" for entry in planned.faults)

    found = shrink(Round(faults=ALL), violates, tries=2)
    assert len(asked) == 2
    assert [entry.fault for entry in found.faults] == ["f4", "f5", "f6", "f7"]
    assert shrink(Round(faults=ALL), lambda _: False, tries=50) == Round(faults=ALL)


def searched(
    monkeypatch: pytest.MonkeyPatch, judge: Callable[[Round], Evidence], tries: int
) -> list[Outcome]:
    class Pretended:
        spec = SPEC

    monkeypatch.setattr(search, "restore", lambda _lab, **_: None)
    rounds = [Round(faults=ALL[:2]), Round(faults=ALL[:4])]
    lab = cast(Lab, Pretended())
    return list(
        search.search(lab, rounds, Reporter(), tries=tries, judge=lambda _lab, planned, _: judge(planned))
    )


def test_a_search_tells_which_round_did_not_hold_and_the_fewest_faults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge(planned: Round) -> Evidence:
        bad = any(entry.fault == "f3" for entry in planned.faults)
        return Evidence(
            tuple(Applied(entry, entry.at, entry.ends) for entry in planned.faults),
            gaps=(LOST,) if bad else (),
        )

    recipes = cast(dict[str, Recipe], RECIPES)
    monkeypatch.setitem(recipes, "f3", RECIPES["etcd-stop"])
    for number in range(3):
        monkeypatch.setitem(recipes, f"f{number}", RECIPES["etcd-stop"])
    first, second = searched(monkeypatch, judge, 20)
    assert (first.violations, first.shortest) == ((), None)
    assert [item.kind for item in second.violations] == ["flow"]
    assert second.shortest is not None
    assert [entry.fault for entry in second.shortest.faults] == ["f3"]
    told = render.report([first, second])
    assert "1 of its 4 faults are enough" in told
    assert f"{ONE} -> {TWO}: expected every datagram to arrive" in told
    assert told.endswith("1 of 2 rounds held.")
    assert problems("soak", render.document([first, second], 7)) == []
    (unshrunk,) = [item for item in searched(monkeypatch, judge, 0) if item.violations]
    assert unshrunk.shortest is None


def test_a_lab_that_cannot_be_made_right_again_ends_the_search_with_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restored: list[bool] = []

    def restore(_lab: Lab, *, wrong: bool = False) -> None:
        restored.append(wrong)
        if wrong:
            raise LabError("the lab x cannot be made right again")

    def judge(_lab: Lab, planned: Round, _progress: Reporter) -> Evidence:
        wrong = tuple(checks.failed(checks.judge(with_no_routes())))
        return Evidence(tuple(Applied(entry, entry.at, entry.ends) for entry in planned.faults), wrong=wrong)

    monkeypatch.setattr(search, "restore", restore)

    class Pretended:
        spec = SPEC

    outcomes: list[Outcome] = []
    rounds = iter([Round(faults=ALL[:3]), Round(faults=ALL[3:6])])
    lab = cast(Lab, Pretended())
    found_by = search.search(lab, rounds, Reporter(), tries=5, judge=judge)
    error = cli._follow(found_by, Reporter(), outcomes, keep_going=True)
    assert error is not None
    assert error.message == "the lab x cannot be made right again"
    (found,) = outcomes
    assert found.shortest == found.planned  # nothing shorter was tried
    assert restored == [False, True, True]
