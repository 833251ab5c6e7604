import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flanneld_py import cli, daemon
from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    root.handlers, level = before
    root.setLevel(level)


@pytest.fixture
def flanneld(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command line over a daemon that only does what `run` says."""

    def call(*argv: str, run: Callable[[Options], int] = lambda _: 0) -> int:
        service = ModuleType("flanneld_py.daemon.service")
        service.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "flanneld_py.daemon.service", service)
        monkeypatch.setattr(daemon, "service", service, raising=False)
        monkeypatch.setattr(sys, "argv", ["/usr/bin/flanneld", *argv])
        return cli.main()

    return call


def failing(error: BaseException) -> Callable[[Options], int]:
    def run(_: Options) -> int:
        raise error

    return run


def test_the_daemon_gets_the_options_and_gives_the_status(flanneld: Callable[..., int]) -> None:
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 0

    assert flanneld("-iface=eth0", run=run) == 0
    assert seen == [Options(iface=("eth0",))]


@pytest.mark.parametrize(
    "argv", [["-version"], ["--version"], ["-version=true"], ["-iface=eth0", "-version"]]
)
def test_the_version_goes_to_stderr(
    flanneld: Callable[..., int], argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld(*argv, run=failing(AssertionError())) == 0
    assert capsys.readouterr() == ("", "0.1.0\n")


def test_the_version_is_told_without_loading_anything() -> None:
    script = "import sys; from flanneld_py.cli import main; main(); print(*sys.modules)"
    argv = [sys.executable, "-c", script, "-version"]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert not {"logging", "flanneld_py.options", "flanneld_py.cli.program"} & set(loaded)


@pytest.mark.parametrize("argv", ["-help", "positional"])
def test_help_goes_to_stderr_and_is_no_error(
    flanneld: Callable[..., int], argv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld(argv, run=failing(AssertionError())) == 0
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("Usage: flanneld [OPTION]...\n")


def test_an_unknown_flag_prints_the_usage_with_status_2(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld("-foo") == 2
    assert capsys.readouterr().err.startswith(
        "flag provided but not defined: -foo\nUsage: flanneld [OPTION]...\n"
    )


def test_an_unreadable_variable_is_one_line_with_status_2(
    flanneld: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLANNELD_V", "x")
    assert flanneld() == 2
    assert (
        capsys.readouterr().err == 'invalid value "x" in the environment variable FLANNELD_V: parse error\n'
    )


@pytest.mark.parametrize("code", Exit)
def test_the_exit_status_says_which_remedy_there_is(flanneld: Callable[..., int], code: Exit) -> None:
    assert flanneld(run=failing(Fatal("it cannot go on", code=code))) == code


def test_exit_statuses_are_few_and_stay_what_they_are() -> None:
    """Unit files name them (RestartPreventExitStatus=)."""
    assert {code.name: code.value for code in Exit} == {
        "OK": 0,
        "INTERNAL": 1,
        "USAGE": 2,
        "KERNEL": 3,
        "INTERFACE": 4,
        "CONFIG": 5,
        "TAKEN": 6,
        "FILE": 7,
        "REFUSED": 8,
        "UNAVAILABLE": 9,
    }


def test_a_flag_that_does_nothing_here_is_a_warning_and_the_daemon_starts(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld("-logtostderr", "-log_dir=/var/log/flannel") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("W")
    assert line.endswith("-log_dir has no effect: the log goes to standard error: redirect that")


def test_the_log_is_json_for_those_who_asked(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld("-log-format=json", run=failing(Fatal("port 8285 is taken", code=Exit.TAKEN))) == 6
    assert json.loads(capsys.readouterr().err)["message"] == "port 8285 is taken"


def test_the_password_is_not_handed_on_to_programs_that_the_daemon_runs(
    flanneld: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANNELD_ETCD_USERNAME", "root")
    monkeypatch.setenv("FLANNELD_ETCD_PASSWORD", "hunter2")
    seen: list[str] = []

    def run(options: Options) -> int:
        seen.append(options.etcd_password)
        seen.extend(os.environ.values())
        return 0

    assert flanneld(run=run) == 0
    assert seen[0] == "hunter2"
    assert "hunter2" not in seen[1:]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command line over a command `leases` that only does what `run` says."""

    def call(*argv: str, run: Callable[[Options], int]) -> int:
        module = ModuleType("flanneld_py.commands.leases")
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "flanneld_py.commands.leases", module)
        monkeypatch.setattr(sys, "argv", ["/usr/bin/flanneld", *argv])
        return cli.main()

    return call


def test_a_command_gets_the_options_and_gives_the_status(command: Callable[..., int]) -> None:
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 5

    assert command("-etcd-prefix=/x", "leases", "--json", run=run) == 5
    assert (seen[0].etcd_prefix, seen[0].json) == ("/x", True)


def test_a_command_fails_as_the_daemon_does(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("leases", run=failing(Fatal("etcd refuses us", code=Exit.REFUSED))) == 8
    assert capsys.readouterr().err.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert command("leases", run=failing(BrokenPipeError())) == 0


def test_a_configuration_is_checked_without_the_daemons_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["flanneld", "check-config", "-"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"Network": "10.2.0.0/16"}')))
    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("OK: 255 subnets of 10.2.0.0/16")


def test_an_option_that_cannot_work_is_one_line_with_status_2(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld("-subnet-lease-renew-margin=0") == 2
    error = capsys.readouterr().err
    assert error.startswith("E")
    assert "] Invalid subnet-lease-renew-margin option, out of acceptable range" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "error", [Fatal("port 8285 is taken"), OSError(98, "Address already in use"), KeyError("x")]
)
def test_a_failure_is_one_line_with_status_1(
    flanneld: Callable[..., int], error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld(run=failing(error)) == 1
    text = capsys.readouterr().err
    assert str(error) in text
    assert text.count("\n") == 1


def test_a_traceback_is_for_those_who_asked(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld("-v=1", run=failing(Fatal("port 8285 is taken"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_before_the_daemon_listens_to_it_is_no_traceback(
    flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert flanneld(run=failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


def test_ctrl_c_while_the_program_loads_ends_it_without_a_word():
    # As the first module after the entry is looked for.
    script = """
import importlib.abc, os, signal, sys
class Moment(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "flanneld_py.cli.program":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Moment())
from flanneld_py.cli import main
sys.exit(main())
"""
    # Also where the tests run in a shell's background, whose jobs begin with SIGINT ignored.
    argv = ["env", f"--default-signal={signal.SIGINT:d}", sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
