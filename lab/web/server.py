"""The server: the page's files, its documents, and what happens as it happens. On 127.0.0.1 alone."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lab import threads
from lab.errors import LabError, Unfit
from lab.web.actions import LINES, catalogue
from lab.web.feed import Feed
from lab.web.files import Files
from lab.web.guard import HEADER, HEADERS, Guard
from lab.web.live import fresh, lines_of, live_events

__all__ = ["Acts", "Changing", "application"]

T = TypeVar("T")

STATIC = Path(__file__).parent / "static"

BODY = 100_000
"""Bytes of a request, at most."""


class Acts(Protocol):
    """What the page may have done: `lab.web.actions.Actions`."""

    def start(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        """Start a fault."""

    def stop(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        """End one."""

    def clear(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        """End all."""

    def trace(self, body: Mapping[str, Any], /) -> Mapping[str, Any]:
        """Trace packets."""

    def logs(self, node: str, unit: str, lines: int, /) -> Mapping[str, Any]:
        """The end of a log."""


class Changing:
    """Faults that are just being started or ended: nobody should leave in between."""

    def __init__(self) -> None:
        self.tasks: set[threads.Task[Any]] = set()

    async def apart(self, act: Callable[[], T], *, changes: bool = False) -> T:
        """Do it in a thread of its own, which does not hold up the end of this process."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def finish() -> None:
            if not ended.done():
                ended.set_result(None)

        def tell(_: threads.Task[T]) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(finish)

        task = threads.start(act, tell=tell)
        if changes:
            self.tasks.add(task)
        await ended
        self.tasks.discard(task)
        return task.result()

    def finish(self) -> None:
        """Wait for what is under way; what it raises is of no interest any more."""
        for task in tuple(self.tasks):
            with suppress(LabError):
                task.result()


class Guarded:
    """Serves what the guard lets through, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._guard.refusal(
            scope["method"],
            scope["path"],
            host=request.headers.get("host", ""),
            origin=request.headers.get("origin"),
            header=request.headers.get(HEADER, ""),
            query=request.query_params.get("token", ""),
        )

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {**HEADERS, "Cache-Control": "no-cache"}
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in added.items()),
                ]
            await send(message)

        if refused is not None:
            await _error(refused.status, refused.words)(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)


def _error(status: int, words: str, hint: str = "", notes: tuple[str, ...] = ()) -> Response:
    return JSONResponse(
        {"schemaVersion": 1, "error": words, "hint": hint or None, "notes": list(notes)}, status
    )


def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LabError)  # noqa: S101 - it is registered for that alone
    status = 400 if isinstance(error, Unfit) else 502
    return _error(status, error.message, error.hint, tuple(getattr(error, "__notes__", ())))


def _defect(_request: Request, error: Exception) -> Response:
    return _error(500, f"a defect of lab serve: {type(error).__name__}: {error}")


def application(feed: Feed, acts: Acts, guard: Guard, changing: Changing) -> ASGIApp:
    """The whole server."""

    files = Files(STATIC)

    async def page(request: Request) -> Response:
        return files.answer(request, "index.html")

    async def part(request: Request) -> Response:
        return files.answer(request, request.path_params["path"])

    async def state(_: Request) -> Response:
        return JSONResponse((await fresh(feed)).state)

    async def events(_: Request) -> Response:
        told = await fresh(feed)
        return JSONResponse({"schemaVersion": 1, "events": lines_of(told, 0)})

    async def live(_: Request) -> Response:
        return StreamingResponse(live_events(feed), media_type="text/event-stream")

    async def faults(_: Request) -> Response:
        return JSONResponse(catalogue())

    async def logs(request: Request) -> Response:
        node, unit = request.path_params["node"], request.path_params["unit"]
        lines = request.query_params.get("lines", str(LINES))
        if not lines.isdecimal() or not 1 <= int(lines) <= 5000:
            raise Unfit(f"lines: expected a number from 1 to 5000; got {lines[:50]!r}")
        return JSONResponse(await changing.apart(lambda: acts.logs(node, unit, int(lines))))

    def action(act: Callable[[Mapping[str, Any]], Mapping[str, Any]], *, changes: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            body = await _body(request)
            try:
                return JSONResponse(await changing.apart(lambda: act(body), changes=changes))
            finally:
                if changes:
                    feed.hurry()

        return endpoint

    routes = [
        Route("/", page),
        Route("/api/state", state),
        Route("/api/events", events),
        Route("/api/live", live),
        Route("/api/catalogue", faults),
        Route("/api/logs/{node}/{unit}", logs),
        Route("/api/faults/start", action(acts.start, changes=True), methods=["POST"]),
        Route("/api/faults/stop", action(acts.stop, changes=True), methods=["POST"]),
        Route("/api/faults/clear", action(acts.clear, changes=True), methods=["POST"]),
        Route("/api/trace", action(acts.trace, changes=False), methods=["POST"]),
        Mount("/static", routes=[Route("/{path:path}", part)]),
    ]
    return Guarded(
        Starlette(routes=routes, exception_handlers={LabError: _failed, Exception: _defect}), guard
    )


async def _body(request: Request) -> Mapping[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY:
            raise Unfit(f"the request has more than {BODY} bytes")
    try:
        read = json.loads(data or b"{}")
    except ValueError as error:
        raise Unfit(f"the request is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise Unfit("the request is not a JSON object")
    return read
