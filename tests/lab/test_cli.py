import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

from lab.cli import group
from lab.cli.verbs import VERBS
from lab.engine import Engine
from lab.errors import LabError
from lab.spec import LabSpec


@pytest.mark.parametrize(
    ("argv", "right"),
    [
        (("exec", "n", "-l", "ls"), "lab exec NODE CMD -x"),
        (("pod", "exec", "--nmae", "x", "p", "ls"), "lab pod exec POD CMD -x"),
    ],
)
def test_an_option_of_the_command_to_run_is_told_its_place(
    argv: tuple[str, ...], right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert group.run([*argv]) == 2
    told = capsys.readouterr().err
    assert "No such option" in told
    assert told.splitlines()[-1].endswith(f"come after its name: {right}")


@pytest.mark.parametrize(
    ("line", "command", "given"),
    [
        ("n ls -l", "ls -l", {}),
        ("n -- ls -l", "ls -l", {}),
        ("-- n ls -l", "ls -l", {}),
        ("-i n cat -", "cat -", {"stdin": True}),
        ("n -i cat", "cat", {"stdin": True}),
        ("n sh -i -t", "sh -i -t", {}),
        ("n docker run --name x", "docker run --name x", {}),
        ("--name demo n ls --name", "ls --name", {"name": "demo"}),
        ("n --name demo ls", "ls", {"name": "demo"}),
        ("n --name=demo -it -- ls", "ls", {"name": "demo", "stdin": True, "terminal": True}),
        ("n git checkout -- file", "git checkout -- file", {}),
        ("n -- -x --help", "-x --help", {}),
        ("n grep --help", "grep --help", {}),
    ],
)
def test_all_that_follows_a_commands_first_word_is_the_commands(
    line: str, command: str, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_NAME", raising=False)
    (verb,) = [found for found in import_module("lab.cli.nodes").COMMANDS if found.name == "exec"]
    read = verb.make_context("exec", line.split()).params
    defaults = {"node": "n", "stdin": False, "terminal": False, "name": "tutorial"}
    assert read == {**defaults, "command": tuple(command.split()), **given}


@pytest.mark.parametrize(
    "line", ["p -c web ls -c", "-itc web p ls -c", "p -cweb -- ls -c", "-t -i -c web p -- ls -c"]
)
def test_a_pods_container_is_named_before_the_command(line: str) -> None:
    (pod,) = import_module("lab.cli.pods").COMMANDS
    read = pod.commands["exec"].make_context("exec", line.split()).params
    assert (read["pod_name"], read["container"], read["command"]) == ("p", "web", ("ls", "-c"))


def test_a_dry_run_says_which_flanneld_a_machine_is_going_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flanneld").write_text("#!/bin/sh\n")
    (tmp_path / "lab.yaml").write_text("name: never-made\nflanneld: {binary: flanneld}\n")
    assert group.run(["up", "--dry-run", "-f", str(tmp_path / "lab.yaml")]) == 0
    assert capsys.readouterr().out.count(f" with {tmp_path}/flanneld as its flanneld ") == 2


def test_a_flanneld_that_is_not_there_is_bad_input_that_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("flanneld: {binary: flanneld}\n")
    status = group.run(["up", "-f", str(file)])
    words = f"lab: {file}: flanneld.binary: {tmp_path}/flanneld cannot be read: No such file or directory\n"
    assert (status, capsys.readouterr().err) == (2, words)


@pytest.mark.parametrize(
    ("option", "file", "variable", "name"),
    [
        (None, None, None, "tutorial"),
        (None, None, "from-variable", "from-variable"),
        (None, "{}", "from-variable", "from-variable"),
        (None, "name: from-file", "from-variable", "from-file"),
        ("from-option", "name: from-file", "from-variable", "from-option"),
    ],
)
def test_a_lab_is_called_by_its_option_its_file_or_lab_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    option: str | None,
    file: str | None,
    variable: str | None,
    name: str,
) -> None:
    monkeypatch.delenv("LAB_NAME", raising=False)
    if variable is not None:
        monkeypatch.setenv("LAB_NAME", variable)
    words = ["--dry-run", "--name", option] if option else ["--dry-run"]
    if file is not None:
        (tmp_path / "lab.yaml").write_text(file)
        words += ["-f", str(tmp_path / "lab.yaml")]
    wanted: list[LabSpec] = []

    def foresee(spec: LabSpec) -> tuple[tuple[()], str]:
        wanted.append(spec)
        return (), ""

    monkeypatch.setattr("lab.cluster.lifecycle.foresee", foresee)
    assert group.run(["up", *words]) == 0
    assert [spec.name for spec in wanted] == [name]
    assert (wanted[0].underlay is not None) == (name == "tutorial")


def test_every_verb_is_listed_with_the_first_sentence_of_its_own_help() -> None:
    modules = {f"lab.cli.{verb.module}" for verb in VERBS.values()}
    found = {command.name: command for name in modules for command in import_module(name).COMMANDS}
    assert found.keys() == VERBS.keys()
    for name, command in found.items():
        assert " ".join((command.help or "").partition("\n\n")[0].split()) == VERBS[name].help


def test_help_loads_no_more_than_it_prints() -> None:
    script = "import sys; from lab.cli.group import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "Bring up a whole lab" in done.stdout
    assert not {"docker", "pydantic", "rich", "yaml", "lab.bench", "lab.spec"} & set(loaded)


@pytest.mark.slow
def test_a_command_on_a_machine_loads_nothing_that_measures_or_draws() -> None:
    script = "import sys; from lab.cli.group import run; run(['exec', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"rich", "lab.bench", "lab.tutorial", "lab.checks"} & set(loaded)


@pytest.mark.slow
def test_what_shows_labs_loads_nothing_that_makes_breaks_or_explains_one() -> None:
    script = "import sys; from lab import render, status; print(render.status, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "lab.render.listings" in loaded
    heavy = {"rich", "yaml", "lab.bundle", "lab.checks", "lab.cluster.lifecycle", "lab.doctor", "lab.faults"}
    assert not heavy & set(loaded)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["exec", "ls", "status"])
def test_what_asks_for_a_moment_reaches_the_engine_without_dockers_sdk(verb: str) -> None:
    script = f"import sys; from lab.cli.group import run; run(['{verb}', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "lab.engine" in loaded
    assert not {"docker", "requests", "tarfile", "lab.engine.ssh"} & set(loaded)


def test_status_loads_what_reads_answers_only_when_the_machines_get_ready_to_give_them() -> None:
    script = "import sys; from lab.cli.group import run; run(['status', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"lab.cluster", "lab.spec", "lab.status", "pydantic"} & set(loaded)


def test_a_lab_name_that_no_lab_can_have_is_told_with_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_NAME", "No Name")
    assert group.run(["down"]) == 2
    assert capsys.readouterr().err.startswith("lab: LAB_NAME in the environment: 'No Name' is not a lab name")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LabError("no luck", hint="Try again."), ValueError()])
def test_what_is_left_and_how_to_remove_it_is_the_last_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    error.add_note("Remove what is left with: lab gc")
    monkeypatch.setattr(Engine, "connect", fail)
    assert group.run(["ls"]) in (1, 130)
    assert capsys.readouterr().err.splitlines()[-1] == "Remove what is left with: lab gc"


def test_the_garbage_collector_is_off_until_the_verb_is_there_and_on_from_then_on() -> None:
    script = """
        import gc, sys
        from types import ModuleType
        import click
        from lab.cli import main
        from lab.cli.verbs import VERBS
        seen = []
        class Module(ModuleType):
            @property
            def COMMANDS(self):
                seen.append(gc.isenabled())
                return [click.Command("schema", callback=lambda: seen.append(gc.isenabled()))]
        name = "lab.cli." + VERBS["schema"].module
        sys.modules[name] = Module(name)
        sys.argv[1:] = ["schema"]
        assert main() == 0
        print(seen[0], seen[-1], gc.isenabled(), gc.get_freeze_count() > 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False True True True\n"
