import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import requests
from docker.errors import APIError

from lab import host
from lab.engine import Engine, EngineUnavailable, sdk
from lab.engine.failures import attempt
from lab.errors import LabError, Unfit
from lab.host import Facts, is_debian_like, remedy, stop_engine

# A fresh Debian machine as root, without systemd as PID 1 (a container, a minimal VM).
FRESH = Facts(root=True, debian=True, dockerd=False, systemd=False, named="", seen="No such file")


def test_root_on_debian_installs_and_starts_an_engine():
    plan = remedy(FRESH)
    assert plan.do
    assert plan.install
    assert plan.start[0] == "dockerd"


def test_with_the_engine_comes_what_it_needs_on_a_kernel_with_apparmor():
    # Debian 12 from its installer's smallest selection: its kernel has AppArmor, its packages do not.
    assert set(host.packages("Y\n")) - set(host.packages("N\n")) == {"apparmor"}
    assert set(host.packages("")) == {"docker.io", "ca-certificates"}


def test_an_engine_that_lacks_apparmors_parser_is_told_what_to_install():
    # As Docker 20.10 of Debian 12 says it.
    seen = (
        "AppArmor enabled on system but the docker-default profile could not be loaded: running "
        "`apparmor_parser apparmor_parser --version` failed with output: \nerror: exec: "
        '"apparmor_parser": executable file not found in $PATH'
    )
    answer = requests.Response()
    answer.status_code = 500
    with pytest.raises(LabError) as failed, attempt("starting lab-node"), sdk.errors():
        raise APIError("500 Server Error", answer, seen)
    assert failed.value.hint.endswith("apt-get install apparmor")


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
    plan = remedy(replace(FRESH, named="DOCKER_HOST is tcp://builder:2375"))
    assert not plan.do
    assert "tcp://builder:2375" in plan.advice


def test_an_engine_that_may_not_be_asked_is_not_reported_as_stopped(monkeypatch):
    def connect():
        raise EngineUnavailable("no Docker engine answers: [Errno 13] Permission denied")

    monkeypatch.setattr(Engine, "connect", connect)
    with pytest.raises(EngineUnavailable, match="Permission denied"):
        stop_engine()


ENGINE = cast(Engine, object())


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, float], Engine]:
    """Starts a dockerd that ends at once; `owner` is whose number is in the pid file.

    Some engine answers at the so many'th time that it is asked.
    """

    def start(owner: str, answers_at: float) -> Engine:
        asked = 0

        def connect() -> Engine:
            nonlocal asked
            asked += 1
            if asked < answers_at:
                raise EngineUnavailable("no Docker engine answers")
            return ENGINE

        (tmp_path / "docker.pid").write_text("4242")
        monkeypatch.setattr(host, "PIDFILE", tmp_path / "docker.pid")
        monkeypatch.setattr(host, "CONTAINERD_PIDFILE", tmp_path / "containerd.pid")
        monkeypatch.setattr(host, "LOG", tmp_path / "log")
        monkeypatch.setattr(host, "_process_name", lambda _: owner)
        monkeypatch.setattr(Engine, "connect", connect)
        return host.start_engine(("sh", "-c", "echo it cannot >&2; exit 3"))

    return start


def test_of_two_that_are_started_at_once_the_one_that_runs_is_waited_for(start):
    assert start("dockerd", answers_at=10) is ENGINE


def test_an_engine_that_ends_is_told_with_its_last_words(start):
    with pytest.raises(Unfit, match=r"ended with exit status 3; its log .* ends:\nit cannot"):
        start("containerd", answers_at=math.inf)


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
