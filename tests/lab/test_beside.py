"""Engines beside the one that the environment selects."""

import threading
from typing import cast

import pytest

from lab.deadlines import Deadline
from lab.engine import Engine, EngineUnavailable
from lab.engine import beside as module
from lab.engine.beside import Beside
from lab.engine.endpoint import Endpoint, parse

FAR = parse("tcp://192.0.2.2:2375", named="the engine far, tcp://192.0.2.2:2375")


class Connected:
    """An engine that was connected to."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = self.is_gone = False
        self.asked = 0

    def ping(self) -> None:
        self.asked += 1
        if self.is_gone:
            raise EngineUnavailable("it does not answer any more")

    def close(self) -> None:
        self.closed = True


def test_each_is_connected_to_once_and_closed_with_the_first():
    made: list[Connected] = []

    def connect(endpoint: Endpoint) -> Engine:
        made.append(Connected(endpoint))
        return cast(Engine, made[-1])

    beside = Beside(connect)
    first = beside.engine(FAR)
    assert beside.engine(FAR) is first
    assert [(item.endpoint.host, item.endpoint.port) for item in made] == [("192.0.2.2", 2375)]
    beside.close()
    assert made[0].closed


def test_one_that_answered_before_is_asked_whether_it_still_does_and_connected_to_anew_later(monkeypatch):
    made: list[Connected] = []

    def connect(endpoint: Endpoint) -> Engine:
        made.append(Connected(endpoint))
        return cast(Engine, made[-1])

    beside = Beside(connect)
    for _ in range(3):
        beside.engine(FAR)
    assert (len(made), made[0].asked) == (1, 2)
    made[0].is_gone = True
    with pytest.raises(EngineUnavailable, match="does not answer any more"):
        beside.engine(FAR)
    monkeypatch.setattr(module, "AGAIN", 0.0)
    assert beside.engine(FAR) is not cast(Engine, made[0])
    beside.close()
    assert [item.closed for item in made] == [True, True]


def test_one_that_does_not_answer_is_not_asked_again_at_once():
    asked = []

    def refuse(endpoint: Endpoint) -> Engine:
        asked.append(str(endpoint))
        raise EngineUnavailable("no Docker engine answers there")

    beside = Beside(refuse)
    for _ in range(3):
        with pytest.raises(EngineUnavailable, match="no Docker engine answers there"):
            beside.engine(FAR)
    assert asked == ["tcp://192.0.2.2:2375"]


def test_one_that_says_nothing_holds_nobody_up(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(module, "ANOTHER_ENGINE", Deadline(0.05))

    def hang(_: Endpoint) -> Engine:
        never.wait(20)
        raise AssertionError

    with pytest.raises(EngineUnavailable, match=r"the engine far, ssh://192\.0\.2\.2 did not answer within"):
        Beside(hang).engine(parse("ssh://192.0.2.2", named="the engine far, ssh://192.0.2.2"))
    never.set()
