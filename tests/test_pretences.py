"""No test leaves a pretence behind (tests/conftest.py asks after each file)."""

import pytest

from lab import checks
from lab.engine import Engine
from tests.pretences import pretences


def test_what_is_patched_is_named_until_it_is_undone() -> None:
    assert pretences() == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "run_all", lambda *_: [])
        patch.setattr(Engine, "connect", lambda: None)
        assert pretences() == ["lab.checks.run_all", "lab.engine.client.Engine.connect"]
    assert pretences() == []


def test_patches_that_are_undone_in_the_wrong_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checks.run_all
    with pytest.MonkeyPatch.context() as inner:
        inner.setattr(checks, "run_all", lambda *_: [])
        monkeypatch.setattr(checks, "run_all", lambda *_: [1])
    monkeypatch.undo()
    assert pretences() == ["lab.checks.run_all"]
    checks.run_all = whole
