"""Fixtures of the daemon's tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flanneld_py.daemon import reconcile
from flanneld_py.registry import watchdog
from flanneld_py.runtime import backoff
from flanneld_py.server import connections
from tests.flanneld_py.daemon_world import HOUR, World


@pytest.fixture(scope="session", autouse=True)
def _servers_stop_at_once() -> Iterator[None]:
    """Each of a hundred tests would wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "STOP_INTERVAL", 0.01)
        yield


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO, logger="flanneld_py")
    return World(tmp_path)


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is looked at every few seconds is looked at far less often: days take no time then."""
    monkeypatch.setattr(reconcile, "DEVICE_INTERVAL", HOUR)
    monkeypatch.setattr(reconcile, "FULL_INTERVAL", HOUR)
    monkeypatch.setattr(watchdog, "PROBE", HOUR / 6)
    monkeypatch.setattr(backoff, "LONGEST_DELAY", 60.0)
