"""A whole lab on another machine's engine."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from lab.engine import Engine
from tests.cluster.remote_machine import RemoteMachine, open_remote_machine

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

SETTINGS = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
)


@pytest.fixture(scope="module")
def remote(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteMachine]:
    if any(name in os.environ for name in SETTINGS):
        pytest.skip("the engine of these tests is not this machine's own")
    if not shutil.which("ssh"):
        pytest.skip("no ssh here (openssh-client)")
    with open_remote_machine(engine, tmp_path_factory.mktemp("remote")) as machine:
        yield machine


@pytest.fixture
def by_tls(remote: RemoteMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Docker's own client is told, beside settings for the web that are no concern of its."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{remote.address}:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(remote.certificates))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/etc/hostname")


@pytest.fixture
def by_ssh(remote: RemoteMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"ssh://root@{remote.address}")
    monkeypatch.setenv("PATH", str(remote.programs), prepend=os.pathsep)


RunLab = Callable[..., "subprocess.CompletedProcess[str]"]


def a_lab_comes_up_answers_and_goes(run_lab: RunLab, tmp_path) -> None:
    name = f"story-{secrets.token_hex(4)}"
    file = tmp_path / "lab.yaml"
    file.write_text(json.dumps({"name": name}))
    try:
        up = run_lab("up", "-f", str(file))
        assert (up.returncode, up.stderr.count("Traceback")) == (0, 0), up.stdout + up.stderr
        check = run_lab("check", "--name", name)
        assert check.returncode == 0, check.stdout + check.stderr
        # sha256sum answers when its input has ended, and not before.
        data = os.urandom(5_000_000)
        argv = [sys.executable, "-m", "lab", "exec", "-i", "--name", name, "centos-master", "--", "sha256sum"]
        there = subprocess.run(argv, input=data, capture_output=True, check=False, timeout=120)
        here = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True)
        assert (there.stdout, there.returncode) == (here.stdout, 0), there.stderr
    finally:
        down = run_lab("down", "--name", name)
        assert down.returncode == 0, down.stdout + down.stderr
    listed = run_lab("ls", "--json")
    assert json.loads(listed.stdout)["labs"] == []


def test_a_lab_on_an_engine_behind_tls(by_tls, run_lab, tmp_path):
    a_lab_comes_up_answers_and_goes(run_lab, tmp_path)


def test_a_lab_on_an_engine_behind_ssh(by_ssh, run_lab, tmp_path):
    a_lab_comes_up_answers_and_goes(run_lab, tmp_path)


def test_without_a_certificate_it_is_told_that_one_is_wanted(remote, by_tls, monkeypatch, run_lab, tmp_path):
    shutil.copy(remote.certificates / "ca.pem", tmp_path)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    told = run_lab("ls")
    assert told.returncode == 2
    assert "certificate required" in told.stderr


def test_what_ssh_says_is_told(remote, by_ssh, monkeypatch, run_lab):
    """nobody has no key there."""
    monkeypatch.setenv("DOCKER_HOST", f"ssh://nobody@{remote.address}")
    told = run_lab("ls")
    assert told.returncode == 2
    assert "Permission denied (publickey" in told.stderr
