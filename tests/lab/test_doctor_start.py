"""What a failing `lab up` says besides its error; and that one that succeeds asks nobody."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab import checks, host
from lab.checks import Finding
from lab.cli.group import run
from lab.doctor import start
from lab.doctor.model import Diagnosis
from lab.doctor.registry import cluster_rules, diagnose
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.events import Reporter
from tests.lab.doctor_cases import LOOKS, ONE, case
from tests.lab.examples import with_no_routes
from tests.lab.pretended import PretendedEngine, pretended_world
from tests.lab.test_doctor_host import WELL

FULL = replace(WELL, inotify_used=127)
WORDS = "MEND  host: inotify's limit leaves no room for another machine  [host.inotify]\n"
CURE = "      fix   sysctl -w fs.inotify.max_user_instances=1024\n"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> PretendedEngine:
    """An engine that takes everything, on a host without inotify instances."""
    engine = pretended_world(monkeypatch)
    monkeypatch.setattr(host, "ensure_engine", lambda _: engine.engine)
    monkeypatch.setattr(Engine, "connect", lambda: engine.engine)
    monkeypatch.setattr(start, "look_at_hosts", lambda *_: [FULL])
    return engine


def fail_while(engine: PretendedEngine, call: str) -> None:
    def during(asked: str) -> None:
        if asked == call:
            raise LabError("too many open files")

    engine.during = during


def test_a_step_that_fails_is_followed_by_what_must_be_mended(
    world: PretendedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_while(world, "start lab-demo-centos-minion01")
    assert run(["up", "--name", "demo"]) == 1
    told = capsys.readouterr().err
    assert "too many open files" in told
    assert told.index("lab: too many open files") < told.index(WORDS) < told.index(CURE)
    assert world.left == []


def test_where_nothing_is_to_be_mended_the_error_stands_alone(
    world: PretendedEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "look_at_hosts", lambda *_: [replace(WELL, oom_kills=3)])
    fail_while(world, "create network lab-demo")
    assert run(["up", "--name", "demo"]) == 1
    assert "lab doctor" not in capsys.readouterr().err


def test_a_doctor_who_fails_hides_no_error(
    world: PretendedEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Sequence[Diagnosis]:
        raise LabError("the engine has gone")

    monkeypatch.setattr(start, "look_at_hosts", broken)
    fail_while(world, "create network lab-demo")
    assert run(["up", "--name", "demo"]) == 1
    told = capsys.readouterr().err
    assert "lab: too many open files" in told
    assert "Nobody knows whether this host or its machines explain it: the engine has gone" in told


@pytest.mark.usefixtures("world")
def test_an_engine_that_cannot_be_started_is_explained_by_the_host(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: Reporter) -> Engine:
        raise Unfit("dockerd ended with exit status 1", hint="See its log.")

    monkeypatch.setattr(host, "ensure_engine", nobody)
    assert run(["up", "--name", "demo"]) == 2
    told = capsys.readouterr().err
    assert told.index("dockerd ended with exit status 1") < told.index(WORDS)
    assert "[host.engine]" not in told


def failing() -> list[Finding]:
    return checks.judge(with_no_routes())


@pytest.mark.usefixtures("world")
def test_checks_that_do_not_hold_are_followed_by_what_must_be_mended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_PATIENCE", "0.01")  # `lab up` waits for a while for what is wrong to become right
    monkeypatch.setattr(checks, "run_all", lambda *_, **__: failing())
    monkeypatch.setattr(
        start, "gather", lambda *_: case(one={"reach": {"centos-master": "Connection refused"}})
    )
    assert run(["up", "--name", "demo"]) == 1
    printed = capsys.readouterr()
    assert "overlay routes" in printed.out
    assert f"MEND  {ONE}: it does not reach etcd on centos-master  [etcd.unreachable]\n" in printed.err
    assert WORDS in printed.err


@pytest.mark.usefixtures("world")
def test_a_lab_that_comes_up_asks_no_doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Sequence[Diagnosis]:
        raise AssertionError("nothing has failed")

    monkeypatch.setattr(start, "look_at_hosts", never)
    monkeypatch.setattr(start, "gather", never)
    assert run(["up", "--name", "demo"]) == 0
    assert "lab doctor" not in capsys.readouterr().err


def test_of_machines_that_have_just_begun_nothing_is_said_that_is_only_not_there_yet() -> None:
    """No device of flannel, no unit that runs, no lease; but the port that somebody else has."""
    begun = {
        "units": {name: replace(it, active="inactive", up=None) for name, it in LOOKS[ONE].units.items()},
        "devices": {name: it for name, it in (LOOKS[ONE].devices or {}).items() if name == "eth0"},
        "sysctls": {"net/ipv4/ip_forward": "0"},
    }
    assert [item.id for item in diagnose(case(with_no_routes(), one=begun), start=True)] == [
        "kernel.ip-forward"
    ]
    assert {rule.id for rule in cluster_rules() if rule.start} >= {
        "port.busy",
        "disk.flannel",
        "unit.crashes",
    }
