"""What `lab serve` answers: every route's document follows its schema in docs/schemas/."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.routing import Route

from lab import status
from lab.errors import Unfit
from lab.faults.status import InForce, Part, Status
from lab.web.actions import Actions
from lab.web.document import state
from lab.web.model import Seen
from tests.lab.examples import AT, changed, observation, silent
from tests.lab.served import MASTER, ONE, SERVED, TWO, FakeActs, FakeLooks, Served, seen, watched
from tests.schemas import problems

FAULT = InForce("ab12", "mtu", AT, (ONE,), (ONE,), {}, (Part(ONE, True, "eth0 has 1300"),))
PAUSED = InForce("", "node-pause", None, (TWO,), (TWO,), {}, ())
HUNG = replace(
    observation(), nodes={**observation().nodes, ONE: silent(observation().nodes[ONE], "no answer")}
)


def test_every_route_of_the_server_has_a_schema() -> None:
    routes = {route.path for route in Served().routes if isinstance(route, Route)}
    assert routes - {"/"} == set(SERVED)


@pytest.mark.parametrize(
    "shown",
    [
        Seen(AT, "demo"),
        seen(),
        seen(problem="there is no lab tutorial", complete=False),
        seen(
            faults=Status((FAULT, PAUSED), {TWO: "no answer"}),
            watched=watched(clock=102.0, broken=[f"overlay {TWO}"], ready=(503, "degraded: etcd\n")),
        ),
        seen(observation=HUNG, watched={}),
        seen(observation=changed(observation(), MASTER, leases=None)),
    ],
    ids=["before all", "whole", "gone", "harmed", "hung", "no etcd"],
)
def test_the_state_follows_its_schema(shown: Seen) -> None:
    nodes = status.nodes(shown.observation) if shown.observation is not None else ()
    assert problems("serve-state", json.loads(json.dumps(state(shown, nodes)))) == []


def test_what_reads_answers_as_its_schema_says() -> None:
    looks = FakeLooks([seen(), seen(watched=watched(broken=[f"overlay {TWO}"]))])
    served = Served(looks)
    for path in ("/api/state", "/api/events", "/api/catalogue"):
        assert problems(SERVED[path], served.client.get(path).json()) == [], path
    assert served.client.get("/api/events").json()["events"] != []


def test_what_is_told_as_it_comes_follows_its_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = FakeLooks([seen(), seen(watched=watched(broken=[f"overlay {TWO}"]))])
    told = Served(looks).live(6)
    by_name = {"state": "serve-state", "changes": "serve-events", "defect": "serve-error"}
    defect = Served()
    monkeypatch.setattr(defect.looks, "look", lambda: cast(Any, None).nothing)
    told += defect.live(2)
    assert {name for name, _ in told} == set(by_name)
    assert [found for name, document in told for found in problems(by_name[name], document)] == []


def test_a_log_follows_its_schema() -> None:
    line = {
        "__MONOTONIC_TIMESTAMP": "1000000",
        "__REALTIME_TIMESTAMP": "1764500000000000",
        "SYSLOG_IDENTIFIER": "flanneld",
        "MESSAGE": "hello",
    }
    machine = SimpleNamespace(
        knows_unit=lambda _unit: True, run=lambda _argv: SimpleNamespace(text=json.dumps(line))
    )
    acts = Actions(lambda: cast(Any, SimpleNamespace(name="demo", node=lambda _name: machine)))
    told = acts.logs(ONE, "flanneld")
    assert [item["message"] for item in told["lines"]] == ["hello"]
    assert problems("serve-logs", json.loads(json.dumps(told))) == []


@pytest.mark.parametrize("error", [Unfit("no"), Unfit("no", hint="See: lab fault ls")])
def test_what_fails_follows_its_schema(error: Unfit) -> None:
    served = Served(acts=FakeActs(error=error))
    refused = served.client.get("/api/state", headers={"X-Lab-Token": "guess"})
    for answer in (served.client.post("/api/trace", json={}), refused):
        assert problems("serve-error", answer.json()) == []
