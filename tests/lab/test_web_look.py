"""What each look of `lab serve` asks a lab for, what it asks for now and then, and what it remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from lab.cluster import Lab
from lab.errors import LabError
from lab.faults import control
from lab.faults.status import InForce, Part, Status
from lab.observe import Observation, Topic
from lab.pods import RunningPod
from lab.web import look
from lab.web.look import EACH, NOW_AND_THEN, Looker
from lab.web.model import Seen, Watched
from tests.lab.examples import AT, SPEC, changed, observation, silent
from tests.lab.served import MASTER, ONE, TWO, watched

FAULT = InForce("ab12", "mtu", AT, (ONE,), (ONE,), {}, (Part(ONE, True, "eth0 has 1300"),))
MANY = SPEC.model_copy(update={"nodes": SPEC.nodes * 3})


@dataclass
class World:
    """A lab whose machines answer with these, and what they are asked for, in that order."""

    spec: Any = SPEC
    seen: Observation = field(default_factory=observation)
    faults: Status = field(default_factory=lambda: Status((), {}))
    told: Mapping[str, Watched] = field(default_factory=lambda: watched(clock=0.0))
    states: dict[str, str] = field(default_factory=lambda: dict.fromkeys([MASTER, ONE, TWO], "running"))
    asked: list[str] = field(default_factory=list)
    gone: bool = False
    now: float = 1000.0
    probed_for: Sequence[RunningPod] = ()

    name = "tutorial"
    complete = True
    segments: Any = None

    @property
    def nodes(self) -> Sequence[str]:
        return list(self.states)

    def state(self, name: str) -> str:
        return self.states[name]

    def find(self) -> Lab:
        if self.gone:
            raise LabError("there is no lab tutorial")
        return cast(Lab, self)

    def observe(self, _lab: object, topics: frozenset[Topic], *, within: float) -> Observation:
        assert within > 0
        self.asked.append("everything" if topics == EACH | NOW_AND_THEN else "each")
        assert topics >= EACH
        if topics == EACH:  # what was not asked for is not there
            nodes = {name: replace(node, pods=(), leases=()) for name, node in self.seen.nodes.items()}
            return replace(self.seen, nodes=nodes)
        return self.seen

    def watch(
        self, _lab: object, _seen: Observation, pods: Sequence[RunningPod], *, probe: bool
    ) -> Mapping[str, Watched]:
        self.asked.append("probes" if probe else "bytes")
        self.probed_for = pods
        return {name: replace(it, clock=self.now) for name, it in self.told.items()}

    def status(self, _lab: object, *, within: float) -> Status:
        assert within > 0
        self.asked.append("faults")
        return self.faults


@dataclass
class Page:
    """Somebody who looks at such a lab."""

    world: World
    looker: Looker

    def look(self, *, after: float = 1.0) -> tuple[Seen, set[str]]:
        """What is seen that many seconds later, and what was asked for."""
        self.world.now += after
        self.world.asked.clear()
        return self.looker.look(), set(self.world.asked)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    world = World()
    looker = Looker("tutorial", world.find, clock=lambda: world.now)
    monkeypatch.setattr(look, "observe", world.observe)
    monkeypatch.setattr(control, "status", world.status)
    monkeypatch.setattr(looker, "_watching", _Watching(world))
    return Page(world, looker)


@dataclass
class _Watching:
    world: World
    ended: int = 0

    def ask(self, *given: Any, **named: Any) -> Mapping[str, Watched]:
        return self.world.watch(*given, **named)

    def end(self) -> None:
        self.ended += 1


def test_the_first_look_asks_for_everything_and_for_places_before_it_probes_them(page):
    seen, _ = page.look()
    assert page.world.asked == ["everything", "probes", "faults"]
    assert [pod.name for pod in page.world.probed_for] == ["mysql01", "mysql02"]
    assert (seen.lab, seen.problem, seen.complete, seen.watched.keys()) == (
        "tutorial",
        "",
        True,
        {MASTER, ONE, TWO},
    )


def test_the_next_asks_for_what_is_cheap_and_keeps_the_rest_as_old_as_it_is(page):
    first, _ = page.look()
    second, asked = page.look()
    assert asked == {"each", "bytes"}
    assert second.observation.leases == first.observation.leases != ()
    assert (second.pods, second.leases_at) == (first.pods, first.leases_at)
    assert second.at > first.at


def test_after_five_seconds_everything_is_asked_for_again(page):
    first, _ = page.look()
    assert "everything" not in page.look(after=4.9)[1]
    page.world.seen = changed(observation(), MASTER, leases=())
    again, asked = page.look(after=0.1)
    assert "everything" in asked
    assert again.observation.leases == ()
    assert again.leases_at > first.leases_at


def marked(page: Page, node: str, *marks: str) -> None:
    page.world.told = {**page.world.told, node: replace(page.world.told[node], marks=marks)}


def test_what_shows_that_pods_or_leases_are_others_has_them_asked_for_in_the_same_look(page):
    first, _ = page.look()
    marked(page, MASTER, "the log of etcd has grown")
    page.world.seen = changed(observation(), MASTER, leases=())
    seen, asked = page.look()
    assert asked == {"each", "bytes", "everything"}
    assert seen.observation.leases == ()
    assert seen.leases_at > first.leases_at
    assert page.look()[1] == {"each", "probes"}


def test_what_changes_while_everything_is_asked_for_has_it_asked_for_once_more(page):
    page.look()
    marked(page, ONE, "a container has come")
    assert "everything" in page.look(after=5.0)[1]
    assert "everything" in page.look()[1]
    assert "everything" not in page.look()[1]


def test_a_machine_that_does_not_tell_shows_nothing(page):
    marked(page, ONE, "a container")
    page.look()
    page.world.told = {name: it for name, it in page.world.told.items() if name != ONE}
    assert "everything" not in page.look()[1]


def test_a_larger_lab_is_asked_more_rarely_also_while_it_changes(page):
    page.world.spec = SPEC.model_copy(update={"nodes": SPEC.nodes * 5})
    page.look()
    for number, expected in enumerate((False, False, True, False, False, True)):
        marked(page, ONE, f"container {number}")
        assert ("everything" in page.look()[1]) == expected, number


def test_of_a_larger_lab_as_many_seconds_later_as_it_has_machines(page):
    page.world.spec = MANY
    page.look()
    assert "everything" not in page.look(after=8.9)[1]
    assert "everything" in page.look(after=0.1)[1]


def test_echo_requests_are_sent_every_two_seconds(page):
    assert [("probes" in page.look()[1]) for _ in range(5)] == [True, False, True, False, True]


def test_a_rate_spans_two_looks(page):
    clocks = [{it.clock for it in page.look()[0].before.values()} for _ in range(4)]
    assert clocks == [set(), {1001.0}, {1001.0}, {1002.0}]


def test_faults_are_asked_for_when_a_machine_has_another_one_or_another_state(page):
    page.look()
    assert "faults" not in page.look()[1]
    page.world.told = {**page.world.told, ONE: replace(page.world.told[ONE], faults=("ab12",))}
    page.world.faults = Status((FAULT,), {})
    seen, asked = page.look()
    assert "faults" in asked
    assert seen.faults == Status((FAULT,), {})
    page.world.states[TWO] = "paused"
    assert "faults" in page.look()[1]
    assert "faults" not in page.look()[1]


@pytest.mark.parametrize(("faults", "seconds"), [((), 15.0), ((FAULT,), 5.0)], ids=["none", "some"])
def test_else_rarely_and_more_often_while_there_are_some(page, faults, seconds):
    page.world.faults = Status(faults, {})
    first, _ = page.look()
    assert "faults" not in page.look(after=seconds - 0.1)[1]
    again, asked = page.look(after=0.1)
    assert "faults" in asked
    assert again.faults_at > first.faults_at


def test_what_was_just_changed_has_everything_asked_for_at_once(page):
    page.look()
    page.looker.expire()
    assert page.look()[1] >= {"everything", "faults"}
    assert page.look()[1] == {"each", "probes"}


def test_a_lab_that_is_gone_stays_as_it_was_and_is_asked_for_everything_when_it_is_back(page):
    whole, _ = page.look()
    page.world.gone = True
    gone, asked = page.look()
    assert asked == set()
    assert (gone.problem, gone.observation) == ("there is no lab tutorial", whole.observation)
    page.world.gone = False
    back, asked = page.look()
    assert asked >= {"everything", "faults"}
    assert back.problem == ""


def test_pods_of_a_machine_that_does_not_tell_stay_and_their_state_is_unknown(page):
    page.look()
    hangs = silent(observation().nodes[ONE], "no answer")
    page.world.seen = replace(observation(), nodes={**observation().nodes, ONE: hangs})
    seen, _ = page.look(after=5.0)
    assert {pod.node: pod.status for pod in seen.pods} == {ONE: "unknown", TWO: "Running"}


def test_a_machine_that_does_not_answer_the_question_about_bytes_is_left_out(page):
    page.world.told = {name: it for name, it in page.world.told.items() if name != TWO}
    assert page.look()[0].watched.keys() == {MASTER, ONE}


def test_what_runs_on_the_machines_is_ended_when_nobody_looks(page):
    page.look()
    page.looker.rest()
    assert page.looker._watching.ended == 1
