"""Several networks in one process."""

import threading

import pytest

from flanneld_py.daemon import supervisor
from flanneld_py.errors import Exit, Fatal, Stopped


class Member:
    """A daemon that works until it is stopped, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.stopped = threading.Event()
        self.closed = False

    def run(self) -> None:
        if self.failure is not None:
            raise self.failure
        assert self.stopped.wait(10)
        raise Stopped

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.closed = True


def test_the_first_that_cannot_go_on_ends_all_and_is_what_is_told():
    members = [Member(), Member(Fatal("Bad network config")), Member()]
    with pytest.raises(Fatal, match="Bad network config"):
        supervisor.run(members, ["", "", ""])
    assert all(member.closed for member in members)


def test_what_one_of_several_networks_cannot_go_on_for_names_it():
    failure = Fatal("Binding UDP port 8285 of 192.168.50.11: Permission denied", code=Exit.KERNEL)
    with pytest.raises(Fatal) as caught:
        supervisor.run([Member(), Member(failure)], ["blue", "green"])
    assert str(caught.value) == f"Network green: {failure}"
    assert caught.value.code == Exit.KERNEL
    assert caught.value.__cause__ is failure


def test_the_only_network_has_no_name_to_be_told():
    with pytest.raises(Fatal, match=r"^Bad network config$"):
        supervisor.run([Member(Fatal("Bad network config"))])


def test_all_end_when_they_are_told_to():
    members = [Member(), Member()]
    for member in members:
        member.stop()
    with pytest.raises(Stopped):
        supervisor.run(members, ["blue", "green"])
    assert all(member.closed for member in members)


def test_it_is_ready_once_all_are_and_says_so_once():
    said = []
    countdown = supervisor.Countdown(2, lambda: said.append("READY=1"))
    first, second = countdown.member(0), countdown.member(1)
    first()
    first()
    assert said == []
    second()
    first()
    assert said == ["READY=1"]


def test_a_thread_is_taken_for_each_network_but_the_first():
    class Seen(Member):
        def run(self) -> None:
            seen.append(threading.current_thread())
            raise Stopped

    seen: list[threading.Thread] = []
    with pytest.raises(Stopped):
        supervisor.run([Seen(), Seen(), Seen()], ["red", "green", "blue"])
    assert seen.count(threading.current_thread()) == 1
    assert len(set(seen)) == 3
