"""What the verbs print with --json: every document follows its schema in docs/schemas/."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from lab import checks, host, images, status
from lab.bench import document as bench_document
from lab.bench.figures import Failure, Integrity, Metric, Results, Sample
from lab.bench.plan import Place
from lab.bench.ways import Genuine, Settings, ways
from lab.bundle.contents import bundle_of
from lab.cli.common import as_text
from lab.cli.group import cli, run
from lab.cluster import plan
from lab.doctor.registry import diagnose
from lab.engine import Engine
from lab.images import Listed
from lab.observe import Observation
from lab.render import documents
from lab.render.doctor import document as doctor_document
from lab.render.soak import document as soak_document
from lab.render.trace import document as trace_document
from lab.scale import document as scale_document
from lab.scale.simulation import document as simulation_document
from lab.soak.evidence import Evidence
from lab.soak.outcome import Outcome
from lab.soak.schedule import Round
from lab.status import LabStatus
from lab.trace.asked import Asked
from lab.trace.model import Point
from lab.tutorial import replay
from tests.lab import test_fault_status, trace_world
from tests.lab.bundles import bundled_lab, evidence
from tests.lab.doctor_cases import case
from tests.lab.examples import MINIONS, SPEC, changed, fake_lab, minion, observation, pod, seen_of, silent
from tests.lab.pretended import PretendedEngine, pretended_world
from tests.lab.scale_results import scale_results
from tests.lab.served import REQUESTS, SERVED
from tests.lab.simulated import simulation
from tests.lab.test_trace import nothing_after
from tests.schemas import SCHEMAS, problems

ROOT = Path(__file__).parents[2]
ONE, TWO = MINIONS

# Which schema each verb's document follows.
VERBS = {
    "up": {"up", "plan"},
    "down": {"removed"},
    "ls": {"labs"},
    "status": {"status"},
    "gc": {"removed"},
    "bundle": {"bundle"},
    "check": {"check"},
    "restart": {"check"},
    "trace": {"trace"},
    "doctor": {"doctor"},
    "tutorial": {"tutorial"},
    "bench": {"bench"},
    "scale": {"scale", "scale-simulated"},
    "soak": {"soak"},
    "validate": {"validated"},
    "pod create": {"created"},
    "pod ls": {"pods"},
    "pod rm": {"removed"},
    "fault ls": {"faults"},
    "fault start": {"fault-started"},
    "fault status": {"fault-status"},
    "fault stop": {"faults-ended"},
    "fault clear": {"faults-ended"},
    "images build": {"built"},
    "images load": {"loaded"},
    "images ls": {"images"},
    "images rm": {"removed"},
}

OF_SERVE = {*SERVED.values(), *REQUESTS.values(), "serve-error"}
"""Those of `lab serve`, tried in tests/lab/test_web_documents.py."""
OF_FLANNELD = {"flanneld-leases", "flanneld-state"}
"""Those of the daemon's own, tried by test_leases_command.py and test_monitor.py in tests/flanneld_py."""
OF_THE_LAB = [name for name in SCHEMAS if name.removesuffix(".json") not in OF_FLANNELD]


def verbs_with_json(group: click.Group, before: str = "") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from verbs_with_json(command, f"{before}{name} ")
        elif any(parameter.name == "json_" for parameter in command.params):
            yield f"{before}{name}"


def test_every_verb_that_reports_has_a_schema_and_every_schema_a_verb_or_a_request() -> None:
    assert set(verbs_with_json(cli)) == set(VERBS)
    of_verbs = {name for names in VERBS.values() for name in names}
    assert {f"{name}.json" for name in {*of_verbs, *OF_SERVE, *OF_FLANNELD}} == set(SCHEMAS)
    for names, page in ((of_verbs, "lab.md"), (OF_SERVE, "serve.md"), (OF_FLANNELD, "flanneld.md")):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert [name for name in names if f"(schemas/{name}.json)" not in text] == []


@pytest.mark.parametrize("name", OF_THE_LAB)
def test_a_schema_is_one_and_leaves_no_key_out(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith("lab ")
    is_asked = name.removesuffix(".json") in REQUESTS.values()
    assert is_asked or schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["schemaVersion"]["const"] == 1


@pytest.mark.parametrize("name", OF_THE_LAB)
def test_every_key_is_camel_case(name: str) -> None:
    keys = set(re.findall(r'"properties": (\{.*)', json.dumps(SCHEMAS[name])))
    assert keys

    def names(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else ()
            for value in schema.values():
                yield from names(value)

    assert [key for key in names(SCHEMAS[name]) if not re.fullmatch(r"[a-z][A-Za-z0-9]*", key)] == []


def wrong() -> Observation:
    """A lab with much that is not right, and somebody silent."""
    seen = seen_of(observation().nodes["centos-master"], silent(minion(ONE), "no answer"), minion(TWO))
    return changed(seen, TWO, links={}, routes=(), pods=(), pod_links={}, logins=(), pings=())


def planned() -> documents.Document:
    return documents.plan((step.name, step.needs, step.action.describe()) for step in plan.plan_up(SPEC))


def traced(stops: Callable[[str, Point, int], bool] = lambda *_: False) -> Any:
    it = trace_world.world("udp")
    return trace_document(Asked("web", "db"), it.start, it.end, it.trace(stops))


PODS = [pod("mysql01"), replace(pod("mysql02"), address=None, infra_pid=0)]
GENUINE = Genuine("/opt/flanneld", "0.5.5")
RESULTS = Results(
    ways([GENUINE]),
    absent={"udp-plain": "no TUN device"},
    samples=tuple(
        Sample(number, way, place, metric, 1.0 + number)
        for way in ("vxlan", "udp-fast", "genuine-0.5.5")
        for place in Place
        for metric in Metric
        for number in range(2)
    ),
    failures=(Failure(1, "vxlan", "TCP", "no reply"),),
    integrity=(Integrity("udp-fast", Place.POD, 10**9, equal=True),),
    checksum_errors={"udp-fast": 0},
    machine={"kernel": "Linux 6.18", "congestion control": "bbr"},
)
HUNG = status.nodes(wrong())
LABS = [
    LabStatus("tutorial", "up", "192.168.199.0/24", 3, "anna@here"),
    LabStatus("half", "left over", "", 1, ""),
]
DOCUMENTS: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "check": ("check", lambda: documents.check(checks.judge(observation()))),
    "check of a lab that is wrong": ("check", lambda: documents.check(checks.judge(wrong()), failures=True)),
    "up": ("up", lambda: documents.up(SPEC, True, checks.judge(observation()))),
    "plan": ("plan", planned),
    "doctor": ("doctor", lambda: doctor_document(diagnose(case(wrong())), "tutorial")),
    "doctor without a lab": ("doctor", lambda: doctor_document([], None)),
    "soak": ("soak", lambda: soak_document([Outcome(1, Round(faults=()), Evidence(()), ())], 7)),
    "validated": ("validated", lambda: documents.validated({"a.yaml": (), "b.yaml": ("b.yaml: x",)})),
    "removed": ("removed", lambda: documents.removed(["volume x"])),
    "labs": ("labs", lambda: documents.labs(LABS)),
    "status": (
        "status",
        lambda: documents.status("tutorial", True, status.nodes(observation()), [pod("mysql01")]),
    ),
    "status of a lab that hangs": ("status", lambda: documents.status("tutorial", False, HUNG, [])),
    "pods": (
        "pods",
        lambda: documents.pods(PODS),
    ),
    "created": ("created", lambda: documents.created({"mysql01": TWO})),
    "trace": ("trace", lambda: traced(nothing_after(TWO, "eth0", "in"))),
    "trace of a whole way": ("trace", traced),
    "tutorial": ("tutorial", lambda: documents.tutorial(replay(fake_lab()))),
    "images": (
        "images",
        lambda: documents.images([Listed("a", "node", 7, "current"), Listed("b", "seed", 0, "unfinished")]),
    ),
    "images of several engines": (
        "images",
        lambda: documents.images([Listed("a", "node", 7, "stale", "far")]),
    ),
    "built": ("built", lambda: documents.built("node:1", "mysql:1", "seed-1")),
    "loaded": ("loaded", lambda: documents.loaded(["a:1"])),
    "bundle": ("bundle", lambda: bundle_of(evidence(bundled_lab())).document),
    "bundle of a lab without checks": (
        "bundle",
        lambda: bundle_of(evidence(bundled_lab(), findings=None, machines=())).document,
    ),
    "bench": ("bench", lambda: bench_document(RESULTS, Settings(rounds=2))),
    "scale": ("scale", lambda: scale_document(scale_results())),
    "scale-simulated": ("scale-simulated", lambda: simulation_document(simulation())),
}


@pytest.mark.parametrize(("name", "make"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_follows_its_schema(name: str, make: Callable[[], Any]) -> None:
    assert problems(name, json.loads(as_text(make()))) == []


def test_a_document_is_tried_for_every_schema() -> None:
    tried = {f"{name}.json" for name, _ in DOCUMENTS.values()}
    elsewhere = {*test_fault_status.DOCUMENTS, *OF_SERVE, *OF_FLANNELD}
    assert tried | {f"{name}.json" for name in elsewhere} == set(SCHEMAS)


def test_a_document_with_a_key_of_another_name_is_noticed() -> None:
    document = dict(documents.labs(LABS))
    document["labs"] = [{**lab, "made_by": "x"} for lab in document["labs"]]
    assert problems("labs", json.loads(as_text(document))) != []


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> PretendedEngine:
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(host, "ensure_engine", lambda _: engine.engine)
    monkeypatch.setattr(Engine, "connect", lambda: engine.engine)
    monkeypatch.setattr(images, "sweep", lambda _: ["lab-seed-0"])
    return engine


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["up", "--name", "demo"], "up"),
        (["up", "--name", "demo", "--dry-run"], "plan"),
        (["ls"], "labs"),
        (["gc"], "removed"),
        (["down", "--name", "demo"], "removed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_verb_prints_its_document_and_nothing_else(
    world: PretendedEngine, argv: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*argv, "--json"]) == 0
    assert problems(name, json.loads(capsys.readouterr().out)) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("bench/bench.json", "bench"),
        ("scale/scale.json", "scale"),
        ("scale/foretold.json", "scale-simulated"),
        ("scale/simulated-1.json", "scale-simulated"),
        ("scale/simulated-5.json", "scale-simulated"),
    ],
)
def test_the_measurement_that_the_documentation_shows_follows_the_schema(path: str, name: str) -> None:
    read = json.loads((ROOT / "docs" / path).read_text(encoding="utf-8"))
    assert problems(name, read) == []
