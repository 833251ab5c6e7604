"""That nobody waits for a packet filter's program that hangs."""

import threading

import pytest

from flanneld_py.firewall.resync import Resync
from lab import wait


class Hanging:
    """Stands in for `Firewall.sync`: it waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.calls = 0
        self.failure: Exception | None = None

    def __call__(self) -> int:
        self.calls += 1
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        if self.failure is not None:
            raise self.failure
        return 2


@pytest.fixture
def hanging() -> Hanging:
    return Hanging()


def told(resync: Resync) -> int:
    """The first number that is not 0."""
    return wait.until(lambda: resync() or wait.NotYet("0"), what="what was put right", timeout=10)


def test_who_asks_does_not_wait_and_only_one_runs_at_a_time(hanging):
    resync = Resync(hanging)
    assert [resync() for _ in range(5)] == [0] * 5
    assert hanging.begun.acquire(timeout=10)
    assert hanging.calls == 1
    hanging.go_on.release(50)
    told(resync)


def test_what_happens_during_a_run_is_seen_by_another_that_follows(hanging):
    resync = Resync(hanging)
    resync()
    assert hanging.begun.acquire(timeout=10)
    for _ in range(3):
        resync()
    hanging.go_on.release(2)
    assert hanging.begun.acquire(timeout=10)  # though nobody has asked since
    assert wait.until(lambda: resync() or wait.NotYet("0"), what="both to be told", timeout=10) in (2, 4)
    hanging.go_on.release(50)


def test_what_was_put_right_is_told_the_next_time_and_once(hanging):
    resync = Resync(hanging)
    resync()
    hanging.go_on.release()
    assert told(resync) == 2
    assert resync() == 0  # another one is under way
    hanging.go_on.release()
    assert told(resync) == 2
    hanging.go_on.release()


def test_what_it_raises_is_raised_for_who_asks_next(hanging):
    hanging.failure = ValueError("nft printed no JSON")
    resync = Resync(hanging)
    hanging.go_on.release()
    with pytest.raises(ValueError, match="no JSON"):
        told(resync)
    hanging.failure = None
    hanging.go_on.release()
    assert told(resync) == 2
    hanging.go_on.release()


def test_where_no_thread_can_be_had_it_is_told_as_a_failure_of_the_machine(monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resync = Resync(lambda: 0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(OSError, match="can't start new thread"):
            resync()
    assert resync() == 0
