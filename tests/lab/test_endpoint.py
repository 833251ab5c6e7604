"""Which engine the environment and the configuration of Docker's own client mean.

Expected: docs.docker.com, "docker" (environment variables) and "Docker contexts".
"""

import hashlib
import json
from pathlib import Path

import pytest

from lab.engine.endpoint import Endpoint, Tls, parse
from lab.engine.selection import address_in, choose, of_host
from lab.engine.ssh import argv
from lab.errors import Unfit


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".docker").mkdir()
    return tmp_path


def context(
    folder: Path, name: str, host: str, *, skip_verify: bool = False, files: tuple[str, ...] = ()
) -> Path:
    """What `docker context create NAME --docker host=...` writes."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / identifier
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    if files:
        folder = folder / "contexts" / "tls" / identifier / "docker"
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).write_text("PEM")
    return folder


def chosen(home: Path, **environment: str) -> Endpoint:
    return choose({"HOME": str(home), **environment})


def test_without_a_word_it_is_this_machines_socket(home):
    found = chosen(home)
    assert (str(found), found.named) == ("unix:///var/run/docker.sock", "")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        ("tcp://builder:2376", "tcp://builder:2376"),
        ("tcp://builder", "tcp://builder:2375"),
        ("tcp://:2375", "tcp://127.0.0.1:2375"),
        ("tcp://[2001:db8::1]:2375", "tcp://[2001:db8::1]:2375"),
        ("builder:2375", "tcp://builder:2375"),
        ("ssh://builder", "ssh://builder"),
        (
            "ssh://me@builder:2222/run/user/1000/docker.sock",
            "ssh://me@builder:2222/run/user/1000/docker.sock",
        ),
    ],
)
def test_docker_host_means(home, given, meant):
    assert str(chosen(home, DOCKER_HOST=given)) == meant


@pytest.mark.parametrize(
    "given",
    ["npipe:////./pipe/docker_engine", "fd://", "ssh://me:secret@builder", "tcp://builder:http", "ssh://"],
)
def test_what_docker_host_cannot_mean_is_refused_by_name(home, given):
    with pytest.raises(Unfit, match=f"DOCKER_HOST is {given}"):
        chosen(home, DOCKER_HOST=given)


@pytest.mark.parametrize(
    ("environment", "verify"),
    [({"DOCKER_TLS_VERIFY": "1"}, True), ({"DOCKER_TLS_VERIFY": "0"}, True), ({"DOCKER_TLS": "1"}, False)],
)
def test_tls_is_spoken_where_the_environment_says_so(home, environment, verify):
    """Any value of DOCKER_TLS_VERIFY is a yes."""
    (home / ".docker" / "ca.pem").write_text("PEM")
    found = chosen(home, DOCKER_HOST="tcp://builder", **environment)
    assert (found.port, found.tls) == (2376, Tls(home / ".docker" / "ca.pem", verify=verify))


def test_certificates_are_where_docker_cert_path_says(home, tmp_path):
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("PEM")
    found = chosen(home, DOCKER_HOST="tcp://b", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(tmp_path))
    assert found.tls == Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem", True)


def test_the_current_context_is_taken(home):
    (home / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    context(home / ".docker", "far", "ssh://me@far")
    found = chosen(home)
    assert str(found) == "ssh://me@far"
    assert found.named == f"{home}/.docker/config.json has the current context far, which means ssh://me@far"


def test_docker_context_comes_before_it_and_docker_host_before_both(home):
    (home / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    context(home / ".docker", "far", "ssh://me@far")
    context(home / ".docker", "near", "unix:///run/near.sock")
    assert str(chosen(home, DOCKER_CONTEXT="near")) == "unix:///run/near.sock"
    assert str(chosen(home, DOCKER_CONTEXT="default")) == "unix:///var/run/docker.sock"
    assert str(chosen(home, DOCKER_CONTEXT="near", DOCKER_HOST="tcp://b:1")) == "tcp://b:1"


def test_contexts_are_found_without_a_configuration_file_and_where_docker_config_says(home, tmp_path):
    context(tmp_path / "elsewhere", "far", "tcp://far:2375")
    found = chosen(home, DOCKER_CONTEXT="far", DOCKER_CONFIG=str(tmp_path / "elsewhere"))
    assert (str(found), found.tls) == ("tcp://far:2375", None)


def test_a_contexts_certificates_are_used(home):
    folder = context(home / ".docker", "far", "tcp://far:2376", files=("ca.pem", "cert.pem", "key.pem"))
    found = chosen(home, DOCKER_CONTEXT="far")
    assert found.tls == Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem", True)


def test_a_contexts_engine_is_not_verified_when_it_says_so(home):
    context(home / ".docker", "far", "tcp://far:2376", skip_verify=True)
    assert chosen(home, DOCKER_CONTEXT="far").tls == Tls(verify=False)


def test_a_context_that_is_not_there_is_an_error_and_not_the_local_engine(home):
    context(home / ".docker", "far", "ssh://me@far")
    with pytest.raises(Unfit) as caught:
        chosen(home, DOCKER_CONTEXT="nowhere")
    there = home / ".docker" / "contexts"
    assert caught.value.message == (
        f"DOCKER_CONTEXT is nowhere, but {there} has no such context; there are: default, far"
    )


def test_a_context_says_where_an_engine_is_without_any_credentials(home):
    environment = {"HOME": str(home), "DOCKER_HOST": "tcp://another:2375"}
    context(home / ".docker", "far", "tcp://far:2376", files=("ca.pem", "key.pem"))
    assert address_in("far", environment) == "tcp://far:2376"
    assert address_in("default", environment) == "unix:///var/run/docker.sock"
    with pytest.raises(Unfit, match=r"its context is faar, but .* has no such context; did you mean far\?"):
        address_in("faar", environment)


def test_an_engine_that_a_context_names_has_the_certificates_of_it_and_not_the_environments(home, tmp_path):
    folder = context(home / ".docker", "far", "tcp://far:2376", files=("ca.pem", "cert.pem", "key.pem"))
    environment = {"HOME": str(home), "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "own")}
    own, its = Tls(), Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")

    def tls(host: str, name: str) -> Tls | None:
        return of_host(host, environment, named="the engine far", context=name).tls

    assert tls("tcp://far:2376", "far") == its
    assert tls("tcp://far:2376", "") == own
    # The lab stands, and the context is of another engine by now, or not known where one looks.
    assert tls("tcp://before:2376", "far") == own
    assert tls("tcp://far:2376", "gone") == own


def test_a_configuration_that_is_no_json_is_an_error(home):
    (home / ".docker" / "config.json").write_text("{")
    with pytest.raises(Unfit, match=r"config\.json, the configuration of Docker's client, is not JSON"):
        chosen(home)


def test_ssh_forwards_the_socket_over_one_connection_of_its_own():
    words = argv(parse("ssh://me@builder:2222/run/other.sock", named=""), Path("/run/x/engine"))
    assert words[words.index("-L") :] == [
        "-L", "/run/x/engine:/run/other.sock", "-l", "me", "-p", "2222", "--", "builder", "cat",
    ]  # fmt: skip
    assert "ControlPath=none" in words
