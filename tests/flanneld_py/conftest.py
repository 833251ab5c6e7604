"""Fixtures of the daemon's tests."""

import logging
from pathlib import Path

import pytest

from tests.flanneld_py.daemon_world import World


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO, logger="flanneld_py")
    return World(tmp_path)
