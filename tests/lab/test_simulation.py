"""Simulated clusters: engine, etcd's model, policies in force, and runs that are foretold."""

import json
from dataclasses import replace
from typing import Final

import pytest

from lab.cli.group import run as cli_run
from lab.scale.figures import Moment
from lab.scale.plan import JOINS
from lab.scale.simulation.control import chances
from lab.scale.simulation.engine import Processor, Timeline
from lab.scale.simulation.fit import LARGEST, fit, observed
from lab.scale.simulation.policies import FIRST_DELAY, LONGEST_DELAY, PROBE, TIMEOUT
from lab.scale.simulation.results import REQUESTS, Simulated, Simulation, foretold, text
from lab.scale.simulation.world import LATE, World, simulate
from tests.lab.simulated import COSTS, QUICK, SHARED, simulation, world
from tests.schemas import problems
from tests.sources import ROOT

RUN: Final = ROOT / "docs/scale/scale.json"

pytestmark = pytest.mark.slow  # a tenth of a second each, and they are many


# Processors


def ends(cores, *work):
    """When each of these is done, all having begun at once."""
    timeline, found = Timeline(), {}

    def one(name, seconds, processor):
        yield processor.work(seconds)
        found[name] = round(timeline.now, 6)

    def all_of_them():
        processor = Processor(timeline, cores)
        for name, seconds in enumerate(work):
            steps = one(name, seconds, processor)
            next(steps)(lambda _=None, steps=steps: next(steps, None))
        yield timeline.rest(1000)

    timeline.run(all_of_them())
    return [found[name] for name in range(len(work))]


def test_who_has_work_shares_the_cores_in_equal_parts():
    assert ends(1, 1.0, 1.0) == [2.0, 2.0]
    assert ends(1, 1.0, 2.0) == [2.0, 3.0]
    assert ends(2, 1.0, 1.0, 1.0, 1.0) == [2.0] * 4


def test_nobody_has_more_than_one_core():
    assert ends(8, 1.0, 2.0) == [1.0, 2.0]


def test_what_is_cancelled_leaves_its_part_to_the_others():
    timeline, found = Timeline(), []
    processor = Processor(timeline, 1.0)

    def steps():
        given_up = processor.take(5.0, lambda: found.append(("given up", timeline.now)))
        processor.take(2.0, lambda: found.append(("done", timeline.now)))
        yield timeline.rest(2.0)
        processor.cancel(given_up)
        yield timeline.rest(100.0)

    timeline.run(steps())
    assert found == [("done", 3.0)]


def test_who_comes_first_has_a_core_of_its_own():
    timeline, found = Timeline(), []
    processor = Processor(timeline, 2.0)

    def steps():
        for _ in range(2):
            processor.take(1.0, lambda: found.append(timeline.now))
        yield processor.work_first(1.0)
        found.append(timeline.now)
        yield timeline.rest(10.0)

    timeline.run(steps())
    assert found == [1.0, 1.5, 1.5]


# Clusters


@pytest.mark.parametrize("place", [QUICK, SHARED], ids=["own machines", "one machine"])
def test_the_same_seed_makes_the_same_history(place):
    one, other, another = (list(simulate(world(12, place, seed))) for seed in (1, 1, 2))
    assert one == other
    assert one != another


@pytest.mark.parametrize("place", [QUICK, SHARED], ids=["own machines", "one machine"])
@pytest.mark.parametrize("seed", range(3))
def test_every_daemon_ends_with_a_subnet_of_its_own_and_routes_to_all_others(place, seed):
    cluster = world(24, place, seed)
    more = [lambda: cluster.churn(2.0, 5.0), lambda: cluster.partition(0.5, 20.0)]
    for event in simulate(cluster, more=more):
        assert not event.lacking
        there = {subnet for subnet, made in dict(cluster.etcd.log).items() if made}  # by the last of each
        assert set(cluster.etcd.held) == there
        subnets = [each.subnet for each in cluster.running]
        assert len(set(subnets)) == len(subnets)
        assert set(subnets) <= there
        assert all(each.knows(cluster.etcd.revision) for each in cluster.running)


def test_a_daemon_learns_of_every_lease_once_by_its_list_or_by_a_change():
    nodes = 40
    counts = world(nodes).start().counts
    assert (
        counts["request"] == 5 * nodes
    )  # configuration, list, etcd lease, key, watch: nobody was in the way
    assert counts["entry"] + counts["event"] == nodes**2


def test_a_change_is_told_to_all_who_watch():
    nodes = 40
    _, idle, join, restart, death = simulate(world(nodes))
    # The new one watches from before its own lease on; when it goes again, the others hear of it.
    assert join.counts["delivered"] == JOINS * (nodes + 1) + (JOINS - 1) * nodes
    assert restart.counts["entry"] == (nodes + 1) ** 2
    dying = nodes // 10
    assert death.counts["delivered"] == dying * (nodes + 1 - dying)
    assert idle.counts["delivered"] == 0


def test_where_nothing_happens_each_daemon_asks_every_two_seconds():
    cluster = world(40)
    cluster.start()
    assert cluster.idle(20.0).phase.requests == pytest.approx(40 * 20 / PROBE, rel=0.1)


def test_the_sizes_of_what_is_sent_are_those_of_the_cost_model():
    cluster = world(30)
    cluster.start()
    event = cluster.join(times=1)
    told = 31 * COSTS.written_bytes + 30 * COSTS.listed_bytes
    assert event.phase.sent == pytest.approx(told + event.counts["request"] * COSTS.answer)


def test_backoff_does_not_multiply():
    cluster = world(40)
    cluster.start()
    lasting = 60.0
    attempts = [each.lists for each in cluster.running]
    event = cluster.partition(0.5, lasting)
    each = [after.lists - before for after, before in zip(cluster.running, attempts, strict=True)]
    # Two seconds for an answer, and at least half of the longest delay, after a few that are shorter.
    most = lasting / (TIMEOUT + LONGEST_DELAY / 2) + LONGEST_DELAY / FIRST_DELAY / 8
    assert max(each) <= most
    assert each[20:] == [0] * 20  # who keeps etcd lists nothing
    # Not one of those attempts came through, and then each lists once.
    assert event.counts["entry"] == 20 * len(cluster.etcd.held)
    assert event.phase.seconds <= TIMEOUT + LONGEST_DELAY + 1


def test_lists_that_the_link_cannot_carry_in_time_are_told_of_as_lacking():
    thin = replace(QUICK, bandwidth=500.0)
    events = list(simulate(world(20, thin)))
    assert events[-1].lacking
    assert events[-1].phase.seconds >= LATE
    assert len(events) < 5


def test_one_busy_machine_takes_more_than_twice_as_long_for_twice_as_many():
    short, long = (world(nodes, SHARED).start().phase.seconds for nodes in (60, 120))
    assert long > 2 * short


# Foretelling


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("path", "close"),
    [
        ("docs/scale/scale.json", {Moment.RESTART.value, Moment.DEATH.value}),
        ("tests/lab/scale_busy.json", {Moment.DEATH.value}),
    ],
    ids=["the run that docs/scale.md shows", "another one, while others kept the machine busy"],
)
def test_runs_of_up_to_a_hundred_nodes_foretell_the_one_of_two_hundred(path, close):
    runs = observed(json.loads((ROOT / path).read_text(encoding="utf-8")))
    costs = fit(runs, lambda: chances(1))
    simulated = [Simulated(200, [list(simulate(World(200, costs, chance))) for chance in chances(3)])]
    found = {item.what: item for item in foretold(Simulation(costs, SHARED, 1, simulated, runs))}
    for what in {Moment.START.value, REQUESTS, *close}:
        assert found[what].close, found[what]


@pytest.mark.thorough
def test_larger_runs_have_no_influence_on_the_constants(monkeypatch):
    monkeypatch.setattr("lab.scale.simulation.fit.STEPS", (1.25,))
    ten, fifty, _, larger = observed(json.loads(RUN.read_text(encoding="utf-8")))
    assert larger.nodes > LARGEST
    assert fit([ten, fifty, larger], lambda: chances(1)) == fit([ten, fifty], lambda: chances(1))


def test_constants_need_two_numbers_of_nodes():
    (smallest, *_) = observed(json.loads(RUN.read_text(encoding="utf-8")))
    with pytest.raises(ValueError, match="two or more"):
        fit([smallest], lambda: chances(1))


def test_what_was_simulated_is_compared_with_what_was_seen_where_both_are_of_one_machine():
    seen = {item.what: item.seen for item in foretold(simulation(seconds=3.0))}
    assert seen[Moment.START.value] == 3.0
    assert seen[REQUESTS] == 50
    assert not foretold(simulation(QUICK))


def test_the_text_has_the_phases_the_comparison_and_the_constants():
    printed = text(simulation(), None)
    assert "One machine of 2 processors" in printed
    assert f"10      {Moment.JOIN.value}" in printed
    assert "constants are from it" in printed
    assert "of etcd for each watcher" in printed
    assert "16 processors" in text(simulation(replace(QUICK, cores=16, bandwidth=1.25e9)), None)


# The verb


def test_more_nodes_than_a_bridge_has_ports_are_only_simulated(capsys):
    assert cli_run(["scale", "5000"]) == 2
    assert "--simulate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"runs": []}, "two or more numbers of nodes"),
        ({"forked": False, "program": "flannel 0.20.2"}, "not of our own flanneld"),
        ({"members": 3}, "one member of etcd"),
        ({"faults": [{"fault": "loss etcd", "when": "throughout", "seconds": None}]}, "with faults"),
        ({"machine": {"engines": "home, far"}}, "on several engines"),
    ],
)
def test_a_file_that_constants_cannot_come_from_is_refused(members, said, tmp_path, capsys):
    file = tmp_path / "scale.json"
    file.write_text(json.dumps(json.loads(RUN.read_text(encoding="utf-8")) | members), encoding="utf-8")
    assert cli_run(["scale", "20", "--simulate", str(file), "--output", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "scale.json cannot be read: No such file or directory"),
        ("engines:", "scale.json is no JSON: "),
        ("{}", "scale.json is no scale.json: it has no 'program'"),
        ("[]", "scale.json is no scale.json: "),
    ],
)
def test_a_file_that_is_none_of_a_run_is_refused_with_what_it_is(text, said, tmp_path, capsys):
    file = tmp_path / "scale.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert cli_run(["scale", "20", "--simulate", str(file), "--output", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "lab scale 10 50 100" in told


def test_a_genuine_flannel_is_not_simulated(capsys):
    assert cli_run(["scale", "20", "--simulate", str(RUN), "--binary", "flanneld"]) == 2
    assert "leave --binary out" in capsys.readouterr().err


def test_a_fault_of_the_catalogue_is_not_simulated(capsys):
    assert cli_run(["scale", "20", "--simulate", str(RUN), "--fault", "loss etcd"]) == 2
    assert "--fault and --file are of real runs" in capsys.readouterr().err


def test_a_simulation_needs_no_engine_and_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lab.scale.simulation.fit.STEPS", ())
    output = tmp_path / "out"
    for more, name in (
        ([], "foretold.json"),
        (["--processors", "4", "--partition", "0.5"], "simulated-1.json"),
    ):
        argv = [
            "scale",
            "10",
            "--simulate",
            str(RUN),
            "--for",
            "5s",
            "--output",
            str(output),
            "--json",
            *more,
        ]
        assert cli_run(argv) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads((output / name).read_text(encoding="utf-8"))
        assert problems("scale-simulated", printed) == []
