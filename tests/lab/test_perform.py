import threading

import pytest

from lab.cluster.perform import perform
from lab.cluster.plan import Action, PutConfig, Step
from lab.events import Reporter
from lab.progress import Lines, on_terminal
from lab.wait import Cancelled


def step(name: str, *needs: str) -> Step:
    return Step(name, PutConfig("etcd", name, ""), frozenset(needs))


class Recorder:
    """Acts by writing down which step it was."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.cancel = threading.Event()

    def act(self, action: Action, _progress: Reporter) -> None:
        assert isinstance(action, PutConfig)
        self.done.append(action.key)


def test_a_step_comes_after_all_that_it_needs():
    recorder = Recorder()
    steps = [step("last", "left", "right"), step("left", "first"), step("right", "first"), step("first")]
    perform(steps, recorder.act, Reporter(), recorder.cancel)
    assert recorder.done[0] == "first"
    assert sorted(recorder.done[1:3]) == ["left", "right"]
    assert recorder.done[3] == "last"


def test_steps_that_do_not_need_each_other_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)

    def act(_action: Action, _progress: Reporter) -> None:
        meeting.wait()

    perform([step("one"), step("two")], act, Reporter(), threading.Event())


def test_a_failure_is_raised_and_what_needs_the_failed_step_is_not_begun():
    recorder = Recorder()

    def act(action: Action, progress: Reporter) -> None:
        recorder.act(action, progress)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        perform([step("first"), step("second", "first")], act, Reporter(), recorder.cancel)
    assert recorder.done == ["first"]


def test_a_failure_calls_off_the_steps_that_still_run():
    cancel = threading.Event()
    waiting = threading.Event()

    def act(action: Action, progress: Reporter) -> None:
        assert isinstance(action, PutConfig)
        if action.key == "patient":
            waiting.set()
            assert cancel.wait(timeout=10)
            raise Cancelled("patient")
        assert waiting.wait(timeout=10)
        raise ValueError("hasty failed")

    with pytest.raises(ValueError, match="hasty failed"):
        perform([step("patient"), step("hasty")], act, Reporter(), cancel)


def test_what_becomes_of_a_step_after_the_plan_was_called_off_is_no_failure(capsys):
    began = threading.Event()
    cancel = threading.Event()

    def act(action: Action, progress: Reporter) -> None:
        assert isinstance(action, PutConfig)
        if action.key == "first":
            assert began.wait(timeout=10)
            raise KeyboardInterrupt
        began.set()
        assert cancel.wait(timeout=10)
        raise ValueError("its machine is gone")

    with pytest.raises(KeyboardInterrupt), on_terminal() as progress:
        perform([step("talks"), step("first")], act, progress, cancel)
    said = capsys.readouterr().err
    assert "called off: talks" in said
    assert "failed" not in said


@pytest.mark.parametrize(
    ("error", "mark"),
    [(Cancelled("x"), "called off: "), (KeyboardInterrupt(), "called off: "), (ValueError(), "failed: ")],
)
def test_a_step_that_was_called_off_has_not_failed(error, mark, capsys):
    progress = Reporter(Lines())
    with pytest.raises(type(error)), progress.step("some step"):
        raise error
    assert f"] {mark}some step (" in capsys.readouterr().err
