"""What shells are offered: names of what there is, in time, and never an error."""

import os
import shutil
import subprocess
import sys
import threading
import time

import click
import pytest
from click.shell_completion import ShellComplete

from lab import spec
from lab.cli import complete, group
from lab.cli.group import Settings, cli
from lab.cluster import lifecycle
from lab.engine import Engine, EngineUnavailable
from lab.events import Reporter
from lab.node import kubelet
from tests.lab.examples import pod
from tests.lab.pretended import PretendedEngine, pretended_world

MASTER, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


def offered(line: str) -> list[str]:
    """What is offered for the last word, which is empty after a blank."""
    words = line.split(" ")
    shell = ShellComplete(cli, {"obj": Settings()}, "lab", complete.VARIABLE)
    return [item.value for item in shell.get_completions(words[:-1], words[-1])]


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> PretendedEngine:
    engine = pretended_world(monkeypatch)
    lifecycle.up(engine.engine, spec.tutorial().with_name("demo"), Reporter())
    monkeypatch.setenv("LAB_NAME", "demo")
    monkeypatch.setenv("LAB_PATIENCE", "100")
    monkeypatch.setattr(Engine, "connect", lambda: engine.engine)
    monkeypatch.setattr(kubelet, "list_pods", lambda node: [pod("mysql02")] if node.name == ONE else [])
    return engine


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> Engine:
        raise EngineUnavailable("no Docker engine answers")

    monkeypatch.setattr(Engine, "connect", connect)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("exec ", [MASTER, ONE, TWO]),
        ("exec centos-mi", [ONE, TWO]),
        ("exec --name other ", []),
        (f"exec {ONE} ls ", []),
        (f"exec {ONE} ls -", []),
        (f"exec {ONE} docker run --name ", []),
        ("shell centos-ma", [MASTER]),
        (f"logs {ONE} ", ["flanneld", "docker"]),
        ("status --name ", ["demo"]),
        ("pod exec ", ["mysql02"]),
        ("pod logs mysql01 -c ", ["mysql01", "mysql02"]),
        ("trace my", ["mysql02"]),
        ("cp centos-mi", [f"{ONE}:", f"{TWO}:"]),
        ("restart ", [MASTER, ONE, TWO, "all", "etcd", "minions"]),
        ("fault start daemon-pause m", ["minions"]),
        ("fault start unit-kill centos-minion01/", [f"{ONE}/flanneld", f"{ONE}/docker"]),
        (f"fault start partition {ONE},centos-ma", [f"{ONE},{MASTER}"]),
        ("fault start etcd-wipe ", []),
        (f"fault start mtu {ONE} --to ", []),
        (f"fault start mtu {ONE} --t", ["--to"]),
        ("fault stop daemon-pause centos-ma", [MASTER]),
    ],
)
def test_names_of_what_there_is_are_offered(demo: PretendedEngine, line: str, names: list[str]) -> None:
    assert offered(line) == names


@pytest.mark.usefixtures("without_engine")
@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("sta", ["status"]),
        ("pod l", ["logs", "ls"]),
        ("--ver", ["--verbose", "--version"]),
        ("status --w", ["--watch"]),
        (
            "check --only leases.",
            ["leases.key", "leases.value", "leases.ttl", "leases.owner", "leases.subnets"],
        ),
        ("fault start daemon-p", ["daemon-pause"]),
        ("fault stop etcd-wi", []),  # an event, which is over when it is done
        ("soak --faults etcd-stop,etcd-p", ["etcd-stop,etcd-pause"]),
        ("bench --only ve", ["veth"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("exec ", []),
        ("status --name ", []),
        ("restart m", ["minions"]),
        ("exec --name No!Name ", []),
        ("nosuch x", []),
    ],
)
def test_without_an_engine_what_lab_itself_knows_is_offered(line: str, names: list[str]) -> None:
    assert offered(line) == names


@pytest.mark.parametrize("line", ["up -f ex", "validate ex", "pod create -f ex", "bundle -o ex", "init ex"])
def test_files_are_left_to_the_shell(line: str) -> None:
    shell = ShellComplete(cli, {"obj": Settings()}, "lab", complete.VARIABLE)
    words = line.split(" ")
    (item,) = shell.get_completions(words[:-1], words[-1])
    assert (item.type, item.value) == ("file", "ex")


def test_an_engine_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(Engine, "connect", ended.wait)
    began = time.monotonic()
    assert offered("exec ") == []
    assert time.monotonic() - began < 60  # there is no deadline of the engine's that is shorter
    ended.set()


def test_pods_are_the_lab_files_where_machines_do_not_answer_in_time(
    demo: PretendedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setenv("LAB_PATIENCE", "5")
    monkeypatch.setattr(kubelet, "list_pods", lambda _: ended.wait())
    assert offered("pod exec ") == ["mysql01", "mysql02"]
    ended.set()


def test_every_verb_is_offered_without_being_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; from lab.cli import main; sys.exit(main())"
    environment = {**os.environ, complete.VARIABLE: "bash_complete", "COMP_WORDS": "lab ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "plain,trace" in done.stdout.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"docker", "pydantic", "rich", "yaml", "lab.engine", "lab.spec"} & loaded


@pytest.mark.parametrize(
    "question", ["bash_complete", "zsh_complete", "fish_complete", "nonsense", "csh_complete"]
)
@pytest.mark.parametrize("name", ["demo", "No Name"])
def test_nothing_is_ever_printed_of_what_goes_wrong(
    question: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {
        complete.VARIABLE: question,
        "COMP_WORDS": "lab pod exec ",
        "COMP_CWORD": "3",
        "LAB_NAME": name,
        "DOCKER_HOST": "unix:///nosuch",
    }.items():
        monkeypatch.setenv(variable, value)
    assert group.run([]) in (0, 1)
    assert (
        capsys.readouterr() == ("\n", "")
        if question.partition("_")[0] in ("bash", "zsh", "fish")
        else ("", "")
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_that_the_shell_can_read(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert group.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{complete.VARIABLE}={shell}_complete" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


@pytest.mark.slow
def test_bash_completes_by_it(tmp_path: os.PathLike[str]) -> None:
    (lab := tmp_path / "lab").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m lab \"$@\"\n")  # type: ignore[operator]
    lab.chmod(0o755)
    script = """
        eval "$(lab completion bash)"
        COMP_WORDS=(lab fault st); COMP_CWORD=2
        _lab_completion lab
        echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{lab.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("start status stop\n", "")


def test_what_is_completed_is_an_argument_or_option_that_there_is() -> None:
    """Each verb's names are offered: a parameter called so has something to offer."""
    named = {"node", "nodes", "pod_name", "unit", "fault_name", "container", "name", "file", "files"}

    def parameters(command: click.Command) -> list[tuple[str, click.Parameter]]:
        own = [(command.name or "", item) for item in command.params]
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        return own + [found for each in inner for found in parameters(each)]

    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for verb, item in parameters(command):
            if item.name in named:
                assert item._custom_shell_complete is not None, (verb, item.name)
