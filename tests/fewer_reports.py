"""What workers tell of a test: its outcome, and no more.

pytest-xdist sends six messages for each test: that it begins and ends, and how its setup, the test itself and
its teardown went. To write and to read them takes more than most tests do. What begins and ends is shown by
nobody, and neither is a setup that passes; one that took long is sent, for `tests.longest_first` counts it.
"""

from typing import Any

import pytest

__all__ = ["is_of_use"]

WORKER = "WorkerInteractor"
"""Of xdist.remote, which a worker runs as its program: there is no module to have the class from."""

UNSEEN = frozenset({"logstart", "logfinish"})
"""Messages that change nothing of what is shown or counted."""

SHORT = 0.01
"""Seconds of a setup or a teardown that need not be counted."""


def is_of_use(name: str, told: dict[str, Any]) -> bool:
    """Whether a message, its name and what it carries, changes anything where it arrives."""
    if name != "testreport":
        return name not in UNSEEN
    report = told["data"]
    return bool(report["when"] == "call" or report["outcome"] != "passed" or report["duration"] >= SHORT)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A worker begins: what it sends goes by way of `is_of_use`."""
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == WORKER:
            _quieten(plugin)


def _quieten(worker: Any) -> None:
    send = worker.sendevent

    def sendevent(name: str, **told: Any) -> None:
        if is_of_use(name, told):
            send(name, **told)

    worker.sendevent = sendevent
