import re
from pathlib import Path

import pytest

from lab import deadlines
from lab.deadlines import Deadline, patience
from lab.errors import Unfit

ROOT = Path(__file__).parents[2]


def test_a_slow_machine_has_as_much_more_time_as_its_user_says(monkeypatch):
    monkeypatch.setenv("LAB_PATIENCE", "2.5")
    assert Deadline(60).seconds == 150


def test_without_a_word_it_is_the_usual_time(monkeypatch):
    monkeypatch.delenv("LAB_PATIENCE", raising=False)
    assert Deadline(60).seconds == 60


@pytest.mark.parametrize("text", ["0", "-1", "much", "nan", "inf"])
def test_what_is_no_factor_is_refused_by_name(text):
    with pytest.raises(Unfit, match=f"LAB_PATIENCE is '{text}'"):
        patience({"LAB_PATIENCE": text})


def test_every_wait_has_its_time_from_there():
    """A number in a call of wait.until, or of run's `within`, is a deadline that nobody can change."""
    for path in ROOT.glob("lab/**/*.py"):
        for number in re.findall(r"\b(?:timeout|within)=([0-9.]+)", path.read_text()):
            pytest.fail(f"{path}: {number} s: it belongs to {deadlines.__name__}")
