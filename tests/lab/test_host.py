from dataclasses import replace

import pytest

from lab.engine import Engine, EngineUnavailable
from lab.host import Facts, is_debian_like, remedy, stop_engine

# A fresh Debian machine as root, without systemd as PID 1 (a container, a minimal VM).
FRESH = Facts(root=True, debian=True, dockerd=False, systemd=False, docker_host="", seen="No such file")


def test_root_on_debian_installs_and_starts_an_engine():
    plan = remedy(FRESH)
    assert plan.do
    assert plan.install
    assert plan.start[0] == "dockerd"


def test_an_engine_that_is_installed_is_only_started():
    plan = remedy(replace(FRESH, dockerd=True))
    assert plan.do
    assert not plan.install


def test_where_systemd_runs_it_starts_the_engine():
    assert remedy(replace(FRESH, systemd=True)).start == ("systemctl", "start", "docker")


def test_without_root_the_exact_commands_are_given_and_nothing_is_done():
    plan = remedy(replace(FRESH, root=False, systemd=True))
    assert not plan.do
    assert plan.advice.splitlines() == [
        "As root:",
        "    apt-get update",
        "    apt-get install -y docker.io",
        "    systemctl start docker",
    ]


def test_an_engine_that_someone_else_named_is_never_replaced_by_a_local_one():
    plan = remedy(replace(FRESH, docker_host="tcp://builder:2375"))
    assert not plan.do
    assert "tcp://builder:2375" in plan.advice


def test_an_engine_that_may_not_be_asked_is_not_reported_as_stopped(monkeypatch):
    def connect():
        raise EngineUnavailable("no Docker engine answers: [Errno 13] Permission denied")

    monkeypatch.setattr(Engine, "connect", connect)
    with pytest.raises(EngineUnavailable, match="Permission denied"):
        stop_engine()


def test_a_socket_that_refuses_us_is_no_missing_engine():
    plan = remedy(replace(FRESH, root=False, dockerd=True, seen="[Errno 13] Permission denied"))
    assert not plan.do
    assert "usermod -aG docker" in plan.advice


def test_on_another_distribution_nothing_is_installed():
    plan = remedy(replace(FRESH, debian=False))
    assert not plan.do
    assert "Install Docker" in plan.advice


def test_debian_and_what_derives_from_it_are_told_by_os_release():
    assert is_debian_like('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    assert is_debian_like('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n')
    assert is_debian_like('ID=linuxmint\nID_LIKE="ubuntu debian"\n')
    assert not is_debian_like('ID="rhel"\nID_LIKE="fedora"\n')
