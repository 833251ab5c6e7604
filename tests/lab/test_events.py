"""What work reports reaches whoever listens, as values."""

import io
import json
import threading
from datetime import datetime
from pathlib import Path

import pytest

from lab import threads
from lab.events import (
    Event,
    JsonLines,
    Noted,
    Reporter,
    StepBegan,
    StepCalledOff,
    StepEnded,
    StepFailed,
)
from lab.wait import Cancelled


def test_a_step_within_a_step_names_its_parent() -> None:
    heard: list[Event] = []
    reporter = Reporter(heard.append)
    with reporter.step("images") as images, images.step("build"):
        images.note("pulled")
    outer, inner, note, inner_end, outer_end = heard
    assert isinstance(outer, StepBegan)
    assert isinstance(inner, StepBegan)
    assert isinstance(note, Noted)
    assert isinstance(inner_end, StepEnded)
    assert isinstance(outer_end, StepEnded)
    assert (outer.parent, inner.parent, note.parent) == (None, outer.step, outer.step)
    assert (inner_end.step, inner_end.parent, inner_end.name) == (inner.step, outer.step, "build")
    assert outer_end.step == outer.step != inner.step
    assert outer_end.seconds >= inner_end.seconds >= 0
    assert outer.at <= inner.at <= inner_end.at <= outer_end.at


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Cancelled("x"), StepCalledOff), (KeyboardInterrupt(), StepCalledOff), (ValueError("no"), StepFailed)],
)
def test_a_step_is_called_off_or_fails(error: BaseException, kind: type[Event]) -> None:
    heard: list[Event] = []
    with pytest.raises(type(error)), Reporter(heard.append).step("some step"):
        raise error
    assert isinstance(heard[-1], kind)
    assert getattr(heard[-1], "error", "no") == "no"


def test_steps_of_several_threads_are_told_one_after_another() -> None:
    inside = threading.Lock()

    def listen(_event: Event) -> None:
        assert inside.acquire(blocking=False), "two events at once"
        met.wait(0.01)
        inside.release()

    met = threading.Event()
    reporter = Reporter(listen)

    def work(name: str) -> None:
        for _ in range(5):
            with reporter.step(name):
                reporter.note(name)

    threads.each(work, ["one", "another"])


def test_each_event_is_a_line_of_json() -> None:
    stream = io.BytesIO()

    def brew(reporter: Reporter) -> None:
        reporter.note("the kettle is on")
        raise ValueError("out of tea")

    with pytest.raises(ValueError, match="out of tea"), Reporter(JsonLines(stream)).step("brew") as within:
        brew(within)
    began, note, failed = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (began["event"], began["name"], began["parent"]) == ("step-began", "brew", None)
    assert (note["event"], note["parent"], note["text"]) == ("note", began["step"], "the kettle is on")
    assert (failed["event"], failed["step"], failed["error"]) == ("step-failed", began["step"], "out of tea")
    assert datetime.fromisoformat(began["at"]) <= datetime.fromisoformat(failed["at"])


def test_a_full_disk_does_not_keep_work_from_being_undone() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        lines = JsonLines(full)
        with Reporter(lines).step("remove what was made"):
            pass
    assert lines.lost is not None
    assert lines.lost.strerror == "No space left on device"
