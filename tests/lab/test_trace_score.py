"""By which faults `lab trace` and `lab doctor` are scored: by all, and by names that the two really have."""

import json
from pathlib import Path

import lab
from lab.doctor.registry import every_rule
from lab.faults.registry import every_fault, fault_named
from lab.trace.model import Reason
from tests.docs import trace_score
from tests.trace_score.cases import CASES, LEFT_OUT, PAIRS
from tests.trace_score.ways import WAYS


def test_every_fault_has_a_case_or_a_reason_why_not() -> None:
    tried = {case.fault for case in CASES}
    assert tried | LEFT_OUT.keys() == {fault.name for fault in every_fault()}
    assert not tried & LEFT_OUT.keys()
    refused = {fault.name for fault in every_fault() if fault.refused}
    assert {name for name, why in LEFT_OUT.items() if why == "refused"} == refused


def test_a_case_names_what_a_trace_or_the_doctor_can_say_and_options_that_there_are() -> None:
    known = {str(reason) for reason in Reason} | {rule.id for rule in every_rule()}
    for case in (*CASES, *(case for pair in PAIRS for case in (pair.first, pair.second))):
        assert case.names <= known, case.title
        assert case.names or case.repaired, case.title
        known_options = {option.name.replace("-", "_") for option in fault_named(case.fault).options}
        assert case.options.keys() <= known_options, case.title


def test_neither_knows_whether_the_lab_itself_has_done_the_harm() -> None:
    """No import of the faults, and none of the names that they leave on a machine."""
    marks = ("lab.faults", "lab-fault", "overlay-lab/faults", "overlay-lab/impair", "clock.so")
    root = Path(lab.__file__).parent
    sources = [path for name in ("trace", "doctor") for path in (root / name).rglob("*.py")]
    assert len(sources) > 40
    told = [(path.name, mark) for path in sources for mark in marks if mark in path.read_text()]
    assert told == []


def test_the_labs_differ() -> None:
    assert len({way.title for way in WAYS}) == len(WAYS)
    assert {way.lab.backend.name for way in WAYS if way.flannel} == {"udp", "vxlan", "host-gw"}


def test_the_tables_have_faults_alone_by_daemon_and_two_at_once(tmp_path, monkeypatch) -> None:
    def scored(fault: str, way: str, named: str, *, right: bool = True) -> dict[str, object]:
        return {"fault": fault, "way": way, "named": named, "right": right, "seconds": 2.04}

    scores = [
        scored("none", "udp", "nothing in 5 traces"),
        scored("mtu a", "udp", "trace: MTU at a"),
        scored("mtu a", "flannel 0.5.5, udp", "doctor: device.mtu at a"),
        scored("mtu a + delay b", "udp", "trace: MTU at a + nothing", right=False),
        scored("route-delete a", "udp", "repaired before anybody looked"),
    ]
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(scores))
    monkeypatch.setattr(trace_score, "SCORES", path)
    lines = trace_score.table().splitlines()
    assert "| `mtu a` | `MTU` 2.0 s |" in lines
    assert "| `mtu a` | `device.mtu` 2.0 s |" in lines
    assert "| `mtu a` + `delay b` | **wrong**: `MTU` + nothing 2.0 s |" in lines
    assert "| `route-delete a` | repaired |" in lines
    assert lines[-1] == "4 of 5 are named right."
