"""A lab for `lab serve` that is no more than values, and ASGI requests without a server."""

import asyncio
import json
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from lab.cli.common import as_text
from lab.errors import LabError
from lab.faults.status import Status
from lab.web.feed import Feed
from lab.web.guard import Guard
from lab.web.model import Answer, Seen, Watched
from lab.web.server import Changing, application
from tests.lab.examples import AT, MINIONS, observation

ONE, TWO = MINIONS
MASTER = "centos-master"
GUARD = Guard("secret", 7080)
NOTHING: Mapping[str, str] = {}

SERVED: Mapping[str, str] = {
    "/api/state": "serve-state",
    "/api/events": "serve-events",
    "/api/live": "serve-events",
    "/api/catalogue": "faults",
    "/api/logs/{node}/{unit}": "serve-logs",
    "/api/faults/start": "fault-started",
    "/api/faults/stop": "faults-ended",
    "/api/faults/clear": "faults-ended",
    "/api/trace": "trace",
}
"""Which schema what a route answers follows; of `/api/live` it is what there is besides the state."""

REQUESTS: Mapping[str, str] = {
    "/api/faults/start": "serve-fault-start",
    "/api/faults/stop": "serve-fault-stop",
    "/api/faults/clear": "serve-fault-clear",
    "/api/trace": "serve-trace",
}
"""Which schema the body of what is posted follows."""


def watched(*, clock: float = 100.0, broken: Sequence[str] = (), **changes: Any) -> Mapping[str, Watched]:
    """What the tutorial's three machines tell when all is right, but for the probes with these keys."""
    keys = {
        MASTER: [f"segment underlay {ONE}", f"segment underlay {TWO}"],
        ONE: [f"overlay {TWO}", f"segment underlay {MASTER}", "pod mysql01"],
        TWO: [f"overlay {ONE}", f"segment underlay {MASTER}", "pod mysql02"],
    }
    lost = Answer(None, 1.5, "no answer in 0.9 s")
    return {
        name: Watched(
            clock=clock,
            devices={"eth0": (int(clock) * 1000, int(clock) * 500)},
            pods={"mysql01": (int(clock) * 10, 0)} if name == ONE else {},
            peers={peer: (int(clock) * 30, int(clock) * 20) for peer in MINIONS if MASTER != name != peer},
            answers={key: lost if key in broken else Answer(0.4, 1.0) for key in of_node},
            **changes,
        )
        for name, of_node in keys.items()
    }


def seen(**changes: Any) -> Seen:
    """The tutorial's cluster, as it must be."""
    whole = Seen(
        at=AT,
        lab="tutorial",
        observation=observation(),
        watched=watched(clock=102.0),
        before=watched(clock=100.0),
        faults=Status((), {}),
        faults_at=AT,
        leases_at=AT,
        pods=observation().pods,
    )
    return replace(whole, **changes)


@dataclass
class FakeLooks:
    """Answers these, and then the last one again and again."""

    answers: list[Seen] = field(default_factory=lambda: [seen()])
    looked: int = 0
    expired: int = 0
    rested: int = 0

    def look(self) -> Seen:
        self.looked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return replace(found, at=found.at + timedelta(seconds=self.looked))

    def expire(self) -> None:
        self.expired += 1

    def rest(self) -> None:
        self.rested += 1


@dataclass
class FakeActs:
    """Keeps what it was asked for; answers that, or raises."""

    asked: list[tuple[str, Any]] = field(default_factory=list)
    error: LabError | None = None

    def _do(self, what: str, body: Any) -> Mapping[str, Any]:
        self.asked.append((what, body))
        if self.error is not None:
            raise self.error
        return {"did": what}

    def start(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return self._do("start", body)

    def stop(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return self._do("stop", body)

    def clear(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return self._do("clear", body)

    def trace(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        return self._do("trace", body)

    def logs(self, node: str, unit: str, lines: int, /) -> Mapping[str, Any]:
        return self._do("logs", (node, unit, lines))


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Client:
    """Asks an ASGI application as a browser with the page's address would."""

    app: ASGIApp

    def get(self, path: str, **given: Any) -> Answered:
        return asyncio.run(self._ask("GET", path, b"", **given))

    def post(
        self, path: str, *, content: bytes = b"", json: Any = None, headers: Mapping[str, str] = NOTHING
    ) -> Answered:
        data = content or as_text(json).encode()
        return asyncio.run(self._ask("POST", path, data, headers=headers))

    async def _ask(
        self,
        method: str,
        path: str,
        data: bytes,
        *,
        headers: Mapping[str, str] = NOTHING,
        enough: Callable[[bytes], bool] = lambda _: False,
    ) -> Answered:
        whole, _, query = path.partition("?")
        given = {"host": "127.0.0.1:7080", "x-lab-token": GUARD.token}
        given |= {name.lower(): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": unquote(whole),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
        }
        gone, text, asked = asyncio.Event(), b"", False
        start: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await gone.wait()
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": data}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal text
            start.update(message if message["type"] == "http.response.start" else {})
            text += message.get("body", b"")
            if enough(text):
                gone.set()

        with suppress(ZeroDivisionError):  # a test's defect: it is raised once more for the server's log
            await asyncio.wait_for(self.app(scope, receive, send), 20)
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answered(start["status"], told, text.decode())


@dataclass
class Served:
    """A server with a lab that is not there."""

    looks: FakeLooks = field(default_factory=FakeLooks)
    acts: FakeActs = field(default_factory=FakeActs)

    def __post_init__(self) -> None:
        self.feed = Feed(self.looks, Seen(AT, "tutorial"), every=0.01, linger=0.0)
        self.app = application(self.feed, self.acts, GUARD, Changing())
        self.client = Client(self.app)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """What is served, behind the guard."""
        inner = self.app._app  # type: ignore[attr-defined]
        assert isinstance(inner, Starlette)
        return inner.routes

    def live(self, count: int) -> list[tuple[str, Any]]:
        """The first events of `/api/live`; then the page goes away."""
        answer = self.client.get("/api/live", enough=lambda text: text.count(b"event: ") >= count)
        blocks = [block.split("\ndata: ") for block in answer.text.split("\n\n") if "event: " in block]
        return [(name.removeprefix("event: "), json.loads(data)) for name, data in blocks][:count]
