"""Fixtures of the daemon's tests."""

import logging
from pathlib import Path

import pytest

from flanneld_py.daemon import reconcile
from flanneld_py.registry import watchdog
from flanneld_py.runtime import backoff
from tests.flanneld_py.daemon_world import HOUR, World


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
