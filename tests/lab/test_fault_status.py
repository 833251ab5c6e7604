"""What is in force, as machines and the engine show it, in which order it is ended, and how it is shown."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.cli.common import as_text
from lab.errors import LabError
from lab.faults.registry import every_fault, fault_named
from lab.faults.status import InForce, Part, Status, about, node_fault, selected, status_of
from lab.render import faults as render
from tests.schemas import problems

ONE, TWO = "centos-minion01", "centos-minion02"


def answer(*faults: tuple[str, str, int, bool | None], nodes: Sequence[str] = (ONE,)) -> dict[str, Any]:
    """What a machine says: identifier, name, second of its start, whether it is in force; who has a part."""
    return {
        "faults": [
            {
                "id": identifier,
                "about": about(
                    name,
                    [ONE],
                    nodes,
                    {"to": 1300, "device": None},
                    datetime(2026, 11, 29, 9, 0, second, tzinfo=UTC),
                ),
                "steps": [{"on": on, "words": "seen"}],
            }
            for identifier, name, second, on in faults
        ]
    }


def test_the_latest_comes_first_when_they_are_ended_whatever_machine_has_them() -> None:
    found = status_of(
        {
            ONE: answer(("aaaa", "mtu", 5, True), ("bbbb", "mtu", 1, True)),
            TWO: answer(("cccc", "mtu", 3, True)),
        },
        [],
        {},
    )
    assert [fault.id for fault in found.faults] == ["bbbb", "cccc", "aaaa"]
    assert [fault.id for fault in found.latest_first] == ["aaaa", "cccc", "bbbb"]


def test_a_machine_that_stands_still_is_ended_before_all_else_as_nothing_there_can_be() -> None:
    paused = node_fault(TWO, "paused", "Up 3 minutes (Paused)")
    assert paused is not None
    found = status_of({ONE: answer(("aaaa", "mtu", 5, True))}, [paused], {TWO: "its container is paused"})
    assert [fault.name for fault in found.latest_first] == ["node-pause", "mtu"]


@pytest.mark.parametrize(
    ("state", "words", "name"),
    [
        ("paused", "Up 3 minutes (Paused)", "node-pause"),
        ("exited", "Exited (0) 3 seconds ago", "node-stop"),
        ("exited", "Exited (130) 3 seconds ago", "node-stop"),
        ("exited", "Exited (137) 3 seconds ago", "node-kill"),
    ],
)
def test_the_engine_shows_what_became_of_a_machine(state: str, words: str, name: str) -> None:
    found = node_fault(ONE, state, words)
    assert found is not None
    assert (found.name, found.targets, found.state) == (name, (ONE,), "on")


def test_a_machine_that_runs_has_no_fault() -> None:
    assert node_fault(ONE, "running", "Up 3 minutes") is None


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ([True, True], "on"),
        ([False, False], "ended"),
        ([True, False], "partly"),
        ([True, None], "unknown"),
        ([False, None], "unknown"),
    ],
)
def test_a_fault_of_several_machines_is_what_all_of_them_show(shown: list[bool | None], state: str) -> None:
    nodes = [ONE, TWO]
    answers = {
        node: answer(("aaaa", "mtu", 1, on), nodes=nodes) for node, on in zip(nodes, shown, strict=True)
    }
    (fault,) = status_of(answers, [], {}).faults
    assert fault.state == state
    assert fault.nodes == (ONE, TWO)


def test_a_fault_of_which_a_machine_does_not_tell_is_not_known_to_be_on() -> None:
    (fault,) = status_of(
        {ONE: answer(("aaaa", "mtu", 1, True), nodes=[ONE, TWO])}, [], {TWO: "paused"}
    ).faults
    assert (fault.state, fault.silent) == ("unknown", (TWO,))


STATUS = status_of(
    {ONE: answer(("aaaa", "mtu", 1, True), ("bbbb", "mtu", 2, True), ("cccc", "rp-filter", 3, False))}, [], {}
)


def test_a_name_means_every_fault_of_that_name_and_an_identifier_one() -> None:
    assert [fault.id for fault in selected(STATUS, "demo", "mtu", [])] == ["bbbb", "aaaa"]
    assert [fault.id for fault in selected(STATUS, "demo", "aaaa", [])] == ["aaaa"]
    assert [fault.id for fault in selected(STATUS, "demo", "mtu", [ONE])] == ["bbbb", "aaaa"]


@pytest.mark.parametrize(("what", "targets"), [("mtu", [TWO]), ("dddd", []), ("oom", [])])
def test_what_is_not_in_force_is_told_with_what_is(what: str, targets: list[str]) -> None:
    with pytest.raises(LabError, match="in force: aaaa mtu, bbbb mtu, cccc rp-filter") as error:
        selected(STATUS, "demo", what, targets)
    assert error.value.exit_code == 1


def test_what_ended_by_itself_is_told_so() -> None:
    (fault,) = selected(STATUS, "demo", "cccc", [])
    assert render.ended([fault]) == f"ended cccc rp-filter {ONE}; it had ended by itself: seen"
    assert render.ended([]) == "No fault was in force."
    assert (
        "cccc   rp-filter   centos-minion01   09:00:03 UTC   ended   centos-minion01: seen"
        in render.in_force(STATUS)
    )


def test_options_that_were_not_given_stand_on_no_record() -> None:
    assert STATUS.faults[0].options == {"to": 1300}


PAUSED = InForce("", "node-pause", None, (ONE,), (ONE,), {}, (Part(ONE, True, "its container is paused"),))
DOCUMENTS = {
    "faults": render.document_of_faults(every_fault()),
    "fault-started": render.document_of_started(
        fault_named("node-pause"), "", [ONE], {}, [Part(ONE, True, "paused")]
    ),
    "fault-status": render.document_of_status("demo", Status((*STATUS.faults, PAUSED), {TWO: "no answer"})),
    "faults-ended": render.document_of_ended([*STATUS.faults, PAUSED]),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_follows_its_schema(name: str) -> None:
    assert problems(name, json.loads(as_text(DOCUMENTS[name]))) == []
