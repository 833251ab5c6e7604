"""What `lab serve` answers: every route's document follows its schema in docs/schemas/."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.routing import Route

from lab import status
from lab.errors import Unfit
from lab.faults.status import InForce, Part, Status
from lab.observe import Observation
from lab.web.actions import Actions
from lab.web.document import state
from lab.web.model import Seen
from tests.lab.examples import AT, changed, observation, silent
from tests.lab.served import MASTER, ONE, REQUESTS, SERVED, TWO, FakeActs, FakeLooks, Served, seen, watched
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


def test_the_state_says_which_engine_a_machine_is_on_where_there_are_several() -> None:
    def told(observed: Observation) -> list[str | None]:
        document = state(seen(observation=observed), status.nodes(observed))
        assert problems("serve-state", json.loads(json.dumps(document))) == []
        return [node["engine"] for node in document["nodes"]]

    one = observation()
    nodes = tuple(node.model_copy(update={"engine": f"of-{node.name}"}) for node in one.spec.nodes)
    assert told(one) == [None, None, None]
    spread = replace(one, spec=one.spec.model_copy(update={"nodes": nodes}))
    assert told(spread) == [f"of-{node.name}" for node in nodes]


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


BODIES: Mapping[str, Sequence[Any]] = {
    "/api/faults/start": [
        {},
        {"fault": ""},
        {"fault": 7},
        {"fault": "mtu"},
        {
            "fault": "mtu",
            "targets": [ONE],
            "options": {"to": "1300", "port": 8285, "once": True, "loss": 1.5},
        },
        {"fault": "mtu", "targets": ONE},
        {"fault": "mtu", "targets": [7]},
        {"fault": "mtu", "targets": [""]},
        {"fault": "mtu", "options": [1]},
        {"fault": "mtu", "options": None},
        {"fault": "mtu", "options": {"to": [1300]}},
        {"fault": "mtu", "options": {"to": None}},
        {"fault": "mtu", "target": [ONE]},
    ],
    "/api/faults/stop": [
        {},
        {"what": "mtu"},
        {"what": "0a1b", "targets": []},
        {"what": "mtu", "targets": [ONE, TWO]},
        {"what": "mtu", "targets": [None]},
        {"what": ["mtu"]},
        {"what": "mtu", "target": [ONE]},
    ],
    "/api/faults/clear": [{}, {"what": "mtu"}],
    "/api/trace": [
        {},
        {"source": "a"},
        {"source": "a", "destination": ""},
        {"source": "a", "destination": "b"},
        {"source": "a", "destination": "b", "protocol": "icmp", "port": 0, "ipv6": True},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": 80},
        {"source": "a", "destination": "b", "protocol": "udp", "port": 65535, "ipv6": False},
        {"source": "a", "destination": "b", "protocol": "udp"},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": 0},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": 65536},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": -1},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": True},
        {"source": "a", "destination": "b", "protocol": "tcp", "port": "80"},
        {"source": "a", "destination": "b", "protocol": "icmp", "port": 80},
        {"source": "a", "destination": "b", "port": 80},
        {"source": "a", "destination": "b", "protocol": "sctp", "port": 80},
        {"source": "a", "destination": "b", "protocol": None},
        {"source": "a", "destination": "b", "protocol": ["tcp"], "port": 80},
        {"source": "a", "destination": "b", "ipv6": 1},
        {"source": "a", "destination": "b", "ip6": True},
    ],
}
"""Of each route some that are right, and some that are not."""
REQUESTED = [(path, body) for path, bodies in BODIES.items() for body in bodies]
VERSIONS: Sequence[Any] = [{}, {"schemaVersion": 1}, {"schemaVersion": 2}, {"schemaVersion": True}]


class LookedFor(Exception):
    """The request was understood, and the lab that it is about is looked for."""


def is_understood(path: str, body: Mapping[str, Any]) -> bool:
    """Whether it comes to that."""

    def find() -> Any:
        raise LookedFor

    acts = Actions(find)
    act = {
        "/api/faults/start": acts.start,
        "/api/faults/stop": acts.stop,
        "/api/faults/clear": acts.clear,
        "/api/trace": acts.trace,
    }[path]
    try:
        act(body)
    except Unfit:
        return False
    except LookedFor:
        return True
    pytest.fail("nobody has looked for the lab")


def test_every_route_that_does_something_has_a_schema_of_what_it_takes() -> None:
    routes = [route for route in Served().routes if isinstance(route, Route)]
    assert {route.path for route in routes if "POST" in (route.methods or ())} == set(REQUESTS)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize(("path", "body"), REQUESTED, ids=str)
def test_what_follows_its_schema_is_understood_and_nothing_else(path: str, body: Any, version: Any) -> None:
    asked = {**version, **body}
    assert is_understood(path, asked) is (problems(REQUESTS[path], asked) == [])


def test_of_what_is_posted_something_is_understood_and_something_refused() -> None:
    for path in BODIES:
        assert {is_understood(path, body) for body in BODIES[path]} == {True, False}


def test_a_member_that_a_request_does_not_have_is_told_with_the_one_that_was_meant() -> None:
    acts = Actions(lambda: pytest.fail("the lab was looked for"))
    with pytest.raises(Unfit, match=r"^the request has no member target; did you mean targets\?$"):
        acts.stop({"what": "mtu", "target": [ONE]})
    with pytest.raises(Unfit, match=r"^schemaVersion: expected 1; got 2$"):
        acts.clear({"schemaVersion": 2})


@pytest.mark.parametrize("error", [Unfit("no"), Unfit("no", hint="See: lab fault ls")])
def test_what_fails_follows_its_schema(error: Unfit) -> None:
    served = Served(acts=FakeActs(error=error))
    refused = served.client.get("/api/state", headers={"X-Lab-Token": "guess"})
    for answer in (served.client.post("/api/trace", json={}), refused):
        assert problems("serve-error", answer.json()) == []
