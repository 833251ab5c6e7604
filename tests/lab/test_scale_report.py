import json
from dataclasses import replace

import pytest

from lab.cli.common import as_text
from lab.scale import Settings, document, draw, text, wanted
from lab.scale.figures import Measured, Moment, Phase, judge, phase
from lab.spec.engine import EngineSpec
from tests.lab.scale_results import measured, scale_results, usage
from tests.schemas import problems


def test_a_phase_has_what_was_taken_meanwhile_a_node_and_by_all_of_etcd():
    before = {"n1": usage(cpu=1.0), "n2": usage(cpu=2.0), "m1": usage(cpu=5.0, sent=100, requests=10)}
    after = {"n1": usage(cpu=1.25), "n2": usage(cpu=2.75), "m1": usage(cpu=6.0, sent=400, requests=14)}
    found = phase(Moment.IDLE, 10.0, before, after, etcd=["m1"])
    assert (found.cpu, found.etcd_cpu, found.sent, found.requests) == (0.5, 1.0, 300, 4)


def test_a_node_that_is_new_had_taken_nothing_and_one_that_is_gone_does_not_count():
    before = {"n1": usage(cpu=1.0), "m1": usage()}
    after = {"n2": usage(cpu=0.25), "m1": usage()}
    assert phase(Moment.JOIN, 1.0, before, after, etcd=["m1"]).cpu == 0.25


def test_a_process_that_was_started_anew_counts_from_its_start():
    before = {"m1": usage(cpu=9.0, sent=1000, requests=50)}
    after = {"m1": usage(cpu=0.5, sent=200, requests=8)}
    found = phase(Moment.RESTART, 1.0, before, after, etcd=["m1"])
    assert (found.etcd_cpu, found.sent, found.requests) == (0.5, 200, 8)


def test_targets_are_for_two_hundred_forked_nodes_and_one_member_of_etcd():
    assert not judge(scale_results(measured(100)))
    assert [item.met for item in judge(scale_results(measured(200)))] == [True, True, True]
    slow = measured(200, seconds=25.1, cpu=0.16, pss=12.1e6)
    assert [item.met for item in judge(scale_results(slow))] == [False, False, False]
    assert not judge(scale_results(slow, forks=False))
    assert not judge(scale_results(slow, settings=Settings((200,), members=3)))


def test_the_report_has_every_number_of_nodes_and_what_was_seen():
    printed = text(scale_results(measured(10, seconds=1.5), measured(200, seconds=22.5)), None)
    (start,) = [line for line in printed.splitlines() if line.startswith("200 ") and "22.50" in line]
    assert start.count("22.50") == len(Moment) - 1
    assert "10 " in printed
    assert "at most 25 s" in printed


def test_a_run_that_was_not_measured_to_its_end_says_why_and_is_not_sound():
    found = scale_results()
    assert not found.sound
    printed = text(found, None)
    assert "FAILED with 4 nodes: n2 lacks a lease" in printed
    assert "table of neighbours was full 7 times" in printed
    (failed,) = [run for run in document(found)["runs"] if run["failure"]]  # type: ignore[attr-defined]
    assert failed["nodes"] == 4
    assert failed["node"]["pss"]["median"] == 11e6


UNDER, AFTER = wanted("loss etcd"), wanted("etcd-wipe")
FAULTS = Settings((200,), faults=(UNDER, AFTER))
WITH_FAULTS = replace(
    measured(200, seconds=30.0),
    phases=(
        *measured(200, seconds=30.0).phases[:2],
        Phase(Moment.FAULT, 2.5, 0.1, 2.0, 5e6, 700.0, fault=AFTER.text),
    ),
)


def test_what_was_measured_under_faults_and_after_them_is_told_with_the_faults():
    found = scale_results(WITH_FAULTS, settings=FAULTS)
    printed = text(found, None)
    assert "all of it under the fault: loss etcd" in printed
    assert "etcd-wipe: until all know after it (s)" in printed
    read = json.loads(as_text(document(found)))
    assert problems("scale", read) == []
    assert read["faults"] == [
        {"fault": UNDER.text, "when": "throughout", "seconds": None},
        {"fault": AFTER.text, "when": "once", "seconds": None},
    ]
    (run,) = read["runs"]
    assert run["phases"][0]["faults"] == [UNDER.text]
    assert run["phases"][-1]["faults"] == [UNDER.text, AFTER.text]
    assert (run["phases"][-1]["phase"], run["phases"][-1]["seconds"]) == ("fault", 2.5)


def test_there_are_no_targets_for_what_was_measured_under_a_fault():
    assert not judge(scale_results(measured(200), settings=FAULTS))
    assert judge(scale_results(measured(200), settings=Settings((200,), faults=(AFTER,))))


def test_there_are_no_targets_for_what_several_engines_do():
    spread = Settings((200,), engines=(EngineSpec(name="home"), EngineSpec(name="far", host="ssh://far")))
    assert not judge(scale_results(measured(200), settings=spread))


@pytest.mark.slow
def test_a_picture_says_which_fault_was_in_force_and_has_a_curve_for_another_one(tmp_path):
    draw(scale_results(WITH_FAULTS, settings=FAULTS), tmp_path / "run")
    drawn = (tmp_path / "run.svg").read_text()
    assert "under loss etcd" in drawn
    assert "<!-- etcd-wipe -->" in drawn


def test_a_document_of_a_run_without_any_phase_follows_the_schema():
    nothing = Measured(5, (), usage=(), etcd=(), failure="etcd has ended")
    assert problems("scale", json.loads(as_text(document(scale_results(nothing))))) == []


FAILED = Measured(5, (), usage=(usage(),) * 5, etcd=(usage(),), failure="n2 lacks a lease")


@pytest.mark.slow
@pytest.mark.parametrize("found", [(measured(10), measured(200)), (FAILED,)], ids=["all", "none"])
def test_a_run_has_a_picture_whatever_of_it_failed(tmp_path, found):
    draw(scale_results(*found), tmp_path / "run")
    assert b"Memory of one node" in (tmp_path / "run.svg").read_bytes()
    assert (tmp_path / "run.png").stat().st_size > 0
