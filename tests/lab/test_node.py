from ipaddress import IPv4Address
from typing import cast

import pytest

from lab.engine import Container, Engine
from lab.errors import NoAnswer
from lab.node import Node


class HangingEngine:
    """No command on its machines ever ends."""

    def exec(self, _container, _argv, *, within, **_):
        assert within is not None
        raise TimeoutError("timed out")


def test_a_machine_that_does_not_answer_is_named_with_the_time_that_it_had(monkeypatch):
    monkeypatch.setenv("LAB_PATIENCE", "0.01")
    container = Container("id", "lab-x-a", {"lab.node": "a"}, "running", "Up")
    node = Node(cast(Engine, HangingEngine()), container, IPv4Address("192.0.2.1"))
    with pytest.raises(NoAnswer, match="a: no answer within 6 s from: ip -json link") as told:
        node.run(["ip", "-json", "link"])
    assert (told.value.where, told.value.what, told.value.seconds) == ("a", "ip -json link", 6)
    assert "LAB_PATIENCE" in told.value.hint
