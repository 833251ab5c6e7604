"""What is told as it comes: server-sent events, and the answer to a program that asks once."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from lab.web.changes import document_of
from lab.web.feed import Feed, Told

__all__ = ["fresh", "lines_of", "live_events"]

BEAT = 10.0
"""Seconds without news after which a comment is sent: who has gone is noticed by that."""

FIRST = 20.0
"""Seconds that a program waits for the first looks."""

SETTLED = 3
"""Looks until the first probes have their answers."""


async def fresh(feed: Feed) -> Told:
    """What is known now, for a program that asks once: if nobody listened, what was probed is waited for."""
    news, loop = asyncio.Event(), asyncio.get_running_loop()
    with feed.listening(lambda: _wake(loop, news)), suppress(TimeoutError):
        async with asyncio.timeout(FIRST):
            while feed.error is None:
                await news.wait()
                news.clear()
                if feed.looks >= SETTLED:
                    break
    return feed.told


async def live_events(feed: Feed) -> AsyncIterator[str]:
    """Server-sent events (HTML Living Standard, 9.2): `state`, and `changes` since the last one."""
    news, loop = asyncio.Event(), asyncio.get_running_loop()
    shown, line = -1, 0
    with feed.listening(lambda: _wake(loop, news)):
        yield "retry: 1000\n\n"
        while True:
            told = feed.told
            if told.number != shown:
                shown = told.number
                yield _event("state", told.state)
                if changes := lines_of(told, line):
                    line = changes[-1]["number"]
                    yield _event("changes", {"schemaVersion": 1, "events": changes})
            if (error := feed.error) is not None:
                words = f"{type(error).__name__}: {error}"
                yield _event("defect", {"schemaVersion": 1, "error": words, "hint": None, "notes": []})
                return
            try:
                await asyncio.wait_for(news.wait(), BEAT)
                news.clear()
            except TimeoutError:
                yield ": nothing new\n\n"


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(news.set)


def lines_of(told: Told, after: int) -> list[dict[str, Any]]:
    """The time line's documents, after that number."""
    return [{"number": number, **document_of(it)} for number, it in told.changes if number > after]


def _event(name: str, document: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n"
