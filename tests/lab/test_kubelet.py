"""How a pod that starts is waited for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any, cast

import pytest

from lab import spec
from lab.engine import Engine, ExecResult
from lab.errors import LabError
from lab.node import Node, kubelet
from lab.pods import RunningPod

POD = spec.tutorial().pods[0].model_copy(update={"restart_policy": "Never"})
RUNS = RunningPod(
    name=POD.name,
    node="n",
    address=IPv4Address("10.2.3.2"),
    status="Running",
    ready="1/1",
    restarts=0,
    created=datetime(2016, 3, 13, tzinfo=UTC),
    spec=POD,
    containers=("mysql01_mysql01",),
    infra_pid=4711,
)
COMES = replace(RUNS, address=None, status="ContainerCreating")


class Machine:
    """A machine on which a port is tried in vain so often."""

    name, lab = "n", "demo"

    def __init__(self, in_vain: int) -> None:
        self.in_vain = in_vain
        self.tries = 0

    def run(self, argv: Sequence[str], **_: Any) -> ExecResult:
        if "/dev/tcp/10.2.3.2/3306" not in argv[-1]:
            return ExecResult(0, b"no space left", b"")
        self.tries += 1
        return ExecResult(0 if self.tries > self.in_vain else 1, b"", b"")


def waited_for(monkeypatch: pytest.MonkeyPatch, machine: Machine, looks: Iterator[RunningPod]) -> int:
    """Run the pod; how often Docker has listed the pods."""
    told = []

    def list_pods(_: object) -> Sequence[RunningPod]:
        told.append(next(looks))
        return [told[-1]]

    monkeypatch.setattr(kubelet, "list_pods", list_pods)
    kubelet.run_pod(cast(Engine, None), cast(Node, machine), POD)
    return len(told)


def test_while_a_port_is_tried_docker_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubelet, "LOOK", 3600.0)
    machine = Machine(in_vain=3)
    assert waited_for(monkeypatch, machine, iter([COMES, RUNS])) == 2
    assert machine.tries == 4


def test_a_pod_that_fails_while_its_port_is_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubelet, "LOOK", 0.0)
    with pytest.raises(LabError, match="the pod mysql01 has failed: Error\nno space left"):
        waited_for(monkeypatch, Machine(in_vain=9), iter([RUNS, replace(RUNS, status="Error")]))
