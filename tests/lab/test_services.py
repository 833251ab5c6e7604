from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lab.node.services import Service, parse_services, show_argv
from lab.status import NodeStatus

MINION_RUNS = ["flanneld", "docker"]

# What `systemctl show` of systemd 257 prints for show_argv(MINION_RUNS), in its own order: flanneld was
# killed by SIGKILL, docker runs after having been killed twice.
MINION = """\
Result=signal
NRestarts=0
Id=flanneld.service
ActiveState=failed
SubState=failed
InactiveExitTimestamp=@1795897865
ActiveEnterTimestamp=@1795897868
InactiveEnterTimestamp=@1795897900

Result=success
NRestarts=2
Id=docker.service
ActiveState=active
SubState=running
InactiveExitTimestamp=@1795897868
ActiveEnterTimestamp=@1795897869
InactiveEnterTimestamp=@1795897867
"""
NEVER_STARTED = """\
Result=success
NRestarts=0
Id=etcd.service
ActiveState=inactive
SubState=dead
InactiveExitTimestamp=
ActiveEnterTimestamp=
InactiveEnterTimestamp=
"""


def test_what_systemctl_shows_is_read() -> None:
    flanneld, docker = parse_services(MINION_RUNS, MINION)
    assert flanneld == Service(
        "flanneld", "failed", "signal", datetime(2026, 11, 28, 20, 31, 40, tzinfo=UTC), restarts=0
    )
    assert docker == Service(
        "docker", "active", "running", datetime(2026, 11, 28, 20, 31, 9, tzinfo=UTC), restarts=2
    )


def test_a_service_is_told_in_words() -> None:
    flanneld, docker = parse_services(MINION_RUNS, MINION)
    assert flanneld.describe() == "failed (signal) since 2026-11-28 20:31:40 UTC"
    assert docker.describe() == "active since 2026-11-28 20:31:09 UTC, restarted 2 times"
    (etcd,) = parse_services(["etcd"], NEVER_STARTED)
    assert etcd.describe() == "inactive (dead)"


def test_a_service_that_waits_to_be_started_again_is_not_right() -> None:
    text = MINION.replace("ActiveState=failed", "ActiveState=activating").replace(
        "SubState=failed", "SubState=auto-restart"
    )
    flanneld, _ = parse_services(MINION_RUNS, text)
    assert not flanneld.ok
    assert flanneld.describe() == "activating (auto-restart, signal) since 2026-11-28 20:31:05 UTC"


def test_a_service_that_runs_and_is_not_ready_is_told_apart_from_one_that_does_not_run() -> None:
    starting = MINION.replace("ActiveState=failed", "ActiveState=activating")
    silent, _ = parse_services(
        MINION_RUNS, starting.replace("SubState=failed", "SubState=start").replace("=signal", "=success")
    )
    assert (
        silent.waiting() == "flanneld has been running since 20:31:05 UTC, and has not told systemd READY=1"
    )
    again, _ = parse_services(MINION_RUNS, starting.replace("SubState=failed", "SubState=auto-restart"))
    assert again.waiting() == "flanneld is activating (auto-restart, signal) since 2026-11-28 20:31:05 UTC"


@pytest.mark.parametrize("text", ["", "Failed to connect to bus: Connection refused\n"])
def test_a_service_of_which_systemd_says_nothing_is_unknown_and_not_right(text: str) -> None:
    (etcd,) = parse_services(["etcd"], text)
    assert (etcd.describe(), etcd.ok) == ("unknown", False)


def test_every_service_of_a_machine_is_asked_for() -> None:
    assert show_argv(MINION_RUNS)[-2:] == ["flanneld.service", "docker.service"]
    assert show_argv(["etcd"])[-1] == "etcd.service"


def test_a_machine_with_a_service_that_does_not_run_is_not_well() -> None:
    flanneld, docker = parse_services(MINION_RUNS, MINION)
    well = NodeStatus("centos-minion01", "minion", "192.168.199.52", "running", (docker,), "10.2.35.1/24")
    assert well.ok
    assert not replace(well, services=(flanneld, docker)).ok
    assert not replace(well, state="exited", services=()).ok
