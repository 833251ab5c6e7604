import logging
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

import flanneld_py
from flanneld_py import cli
from flanneld_py.errors import Fatal
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
        service = ModuleType("flanneld_py.service")
        service.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "flanneld_py.service", service)
        monkeypatch.setattr(flanneld_py, "service", service, raising=False)
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


def test_the_version_goes_to_stderr(flanneld: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert flanneld("-version", run=failing(AssertionError())) == 0
    assert capsys.readouterr() == ("", "0.1.0\n")


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
