"""The group of verbs, and the one place where errors become output and an exit status."""

import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import click

from lab.cli import complete
from lab.cli.running import Runs
from lab.cli.verbs import Verbs
from lab.errors import LabError, Unfit

__all__ = ["cli", "run"]

EPILOG = """
Exit status: 0 done and right; 1 something failed or is not right; 2 bad usage, or this machine is not fit
(the message says what to do); 130 interrupted. `exec` and `pod exec` exit with the command's own.
"""


@dataclass(slots=True)
class Settings:
    """The group's own options, which `run` needs after a verb has failed."""

    verbose: bool = False


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="On an error, show where in the code it came from.")
@click.version_option(package_name="overlay-lab", message="lab %(version)s")
@click.pass_obj
def cli(settings: Settings, verbose: bool) -> None:
    """A laboratory for overlay networks.

    Containers stand in for the machines of a small cluster: etcd on the master, flanneld, Docker and
    pods on the minions. `lab up` brings up the tutorial's cluster and proves that it works.
    """
    settings.verbose = verbose


def _refuse_bytes(argv: Sequence[str]) -> None:
    """Refuse what is not text: it cannot be passed on, because the engine takes JSON, which is UTF-8."""
    for number, word in enumerate(argv, 1):
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise Unfit(f"argument {number} is not UTF-8 text: {os.fsencode(word)!r}") from error


def _say(text: str, error: BaseException | None) -> None:
    """Print how it ended, then the error's notes: what is left, and how to remove it."""
    click.echo("\n".join([text, *getattr(error, "__notes__", ())]), err=True)


def run(argv: Sequence[str]) -> int:
    """Run the command line; return its exit status."""
    settings = Settings()
    if os.environ.get(complete.VARIABLE):
        return complete.run(cli, settings)
    try:
        _refuse_bytes(argv)
        status = cli.main(list(argv), prog_name="lab", standalone_mode=False, obj=settings)
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and error.ctx and isinstance(error.ctx.command, Runs):
            words = f"{error.ctx.command_path} {error.ctx.command.params[0].make_metavar(error.ctx)}"
            click.echo(f"Options of the command that is to run come after its name: {words} CMD -x", err=True)
        return 2
    except (KeyboardInterrupt, click.Abort) as error:
        _say("lab: interrupted", error.__cause__ if isinstance(error, click.Abort) else error)
        return 130
    except LabError as error:
        if settings.verbose:
            traceback.print_exc()
        _say(f"lab: {error.message}" + (f"\n{error.hint}" if error.hint else ""), error)
        return error.exit_code
    except OSError as error:
        if settings.verbose:
            traceback.print_exc()
        _say(f"lab: {error}\nRun it again as `lab -v ...` to see where that came from.", error)
        return 1
    except Exception as error:  # noqa: BLE001 - a defect of ours: still no traceback unless asked for
        if settings.verbose:
            traceback.print_exc()
        words = f"lab: a defect of the lab itself: {type(error).__name__}: {error}"
        _say(f"{words}\nRun it again as `lab -v ...` and report what that prints.", error)
        return 1
    return status if isinstance(status, int) else 0
