"""Standard streams that are closed, full, unread, or in another encoding; a program's first moments."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from lab.cli import group
from tests.processes import running

LAB = f"{sys.executable} -m lab"


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """bash(1) runs it; what it prints is read as UTF-8."""
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("redirection", "error"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
@pytest.mark.parametrize(
    "verb", ["--help", pytest.param("up --dry-run --json --name never-made", marks=pytest.mark.slow)]
)
def test_a_result_that_cannot_be_written_is_told_in_one_line(verb: str, redirection: str, error: str) -> None:
    done = shell(f"{LAB} {verb} {redirection}")
    assert (done.returncode, done.stderr) == (1, f"lab: cannot write to standard output: {error}\n")


def test_the_exit_status_is_the_verbs_own_when_somebody_stops_reading() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lab", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_an_error_that_cannot_be_told_has_its_exit_status(redirection: str) -> None:
    done = shell(rf"{LAB} exec node -- echo $'gr\xf6e' {redirection}")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def adopted(script: str) -> str:
    """A Python program that has adopted its streams, as a command line."""
    program = f"from lab import streams\nstreams.adopt()\n{textwrap.dedent(script)}"
    return f"{sys.executable} -c '{program}'"


def test_closed_streams_are_given_to_nothing_else() -> None:
    script = """
        import os, sys
        print(min(os.open("/", 0), 3), repr(sys.stdin.read()), file=sys.stderr)
    """
    assert shell(f"{adopted(script)} <&- >&-").stderr == "3 ''\n"


def test_output_comes_whole_through_a_pipe_that_somebody_made_non_blocking() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Much more than a pipe holds (pipe(7)).
    command = ["bash", "-c", adopted("print(10 ** 6 * str(1))")]
    with running(command, stdout=writer) as program:
        os.close(writer)
        with os.fdopen(reader) as output:
            assert output.read() == 10**6 * "1" + "\n"
    assert program.returncode == 0


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ASCII, {**ASCII, "PYTHONIOENCODING": "latin-1"}, {}])
def test_text_is_utf8_whatever_the_locale(environment: dict[str, str], tmp_path) -> None:
    (tmp_path / "größe.yaml").write_text("name: 'größe'\n", encoding="utf-8")
    file = tmp_path / "größe.yaml"
    done = shell(f"{LAB} up --dry-run -f {file}", **environment)
    words = "name: 'größe' is not a lab name: at most 32 lower-case letters, digits and '-'"
    assert (done.returncode, done.stderr) == (2, f"lab: {file}: {words}\n")


def test_an_argument_that_is_no_text_is_refused() -> None:
    done = shell(rf"{LAB} exec node -- echo $'gr\xf6e'")
    assert (done.returncode, done.stderr) == (2, "lab: argument 5 is not UTF-8 text: b'gr\\xf6e'\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_program_loads_ends_it_with_one_line(number: signal.Signals) -> None:
    # As the first module after the entry is looked for: the handlers stand, and nothing else is loaded.
    script = f"""
        import os, sys, importlib.abc
        class Moment(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "lab.cli.group":
                    os.kill(os.getpid(), {int(number)})
        sys.meta_path.insert(0, Moment())
        from lab.cli import main
        sys.exit(main())
    """
    # Also where the tests run in a shell's background, whose jobs begin with some signals ignored.
    argv = ["env", f"--default-signal={number:d}", sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "lab: interrupted\n")


def test_the_entry_loads_next_to_nothing_before_it_heeds_signals() -> None:
    script = (
        "import sys; before = set(sys.modules); import lab.cli; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.partition(".")[0] == "lab"}
    assert ours == {"lab", "lab.cli", "lab.cli.entry"}
    assert not {"click", "docker", "pydantic", "rich", "yaml"} & set(done.stdout.split())


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_another_system_than_linux_is_refused_with_one_line(system: str) -> None:
    script = f"import sys; sys.platform = {system!r}; from lab.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lab: this is {system}, and lab runs on Linux only.")
    assert done.stderr.count("\n") == 1


def test_a_background_job_of_a_script_stays_deaf_to_ctrl_c() -> None:
    # A shell without job control starts it with SIGINT ignored (2.9.3.1 of POSIX's shell language).
    script = """
        import os, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from lab.signals import as_interrupt
        as_interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        print("alive")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "alive\n"


@pytest.mark.parametrize("words", [[], ["pod"], ["images"], ["engine"]])
def test_help_lists_each_verb_with_a_whole_sentence(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert group.run([*words, "--help"]) == 0
    listing = capsys.readouterr().out.partition("Commands:")[2]
    assert listing
    assert "..." not in listing
