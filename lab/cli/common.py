"""What the verbs share: options, and the way results are printed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from lab import lab_names, naming
from lab.cli import complete
from lab.errors import LabError, Unfit
from lab.suggest import similar

__all__ = [
    "Choice",
    "as_json",
    "as_text",
    "default_lab",
    "echo",
    "file_option",
    "given",
    "lab_name",
    "output_option",
    "print_json",
    "write_text",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def lab_name(function: F) -> F:
    """The option `--name`, the same for every verb."""
    return click.option(
        "--name",
        metavar="LAB",
        callback=_lab_name,
        shell_complete=complete.labs,
        help=f"Which lab  [default: ${naming.VARIABLE}, or {lab_names.TUTORIAL}]",
    )(function)


def file_option(*names: str, what: str, metavar: str = "FILE", required: bool = False) -> Callable[[F], F]:
    """An option whose value is a path, which the shell completes; `what` is its line of help."""
    return click.option(
        *names, type=Path, metavar=metavar, shell_complete=complete.files, help=what, required=required
    )


def output_option(default: str, what: str) -> Callable[[F], F]:
    """The option `--output`, a folder for what was measured; `what` is its line of help."""
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        default=default,
        show_default=True,
        help=what,
    )


def given(
    option: str, read: Callable[[str], T]
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """A callback that reads an option's value, if there is one. It raises `Unfit`."""

    def callback(context: click.Context, _option: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            if context.resilient_parsing:  # a line that is half typed, of which a shell asks
                return None
            raise Unfit(f"{option}: {error}") from error

    return callback


def default_lab() -> str:
    """The lab to use when none is named. Raises `Unfit`."""
    try:
        return lab_names.lab_name(naming.default_name())
    except ValueError as error:
        raise Unfit(f"{naming.VARIABLE} in the environment: {error}") from error


def _lab_name(context: click.Context, option: click.Parameter, value: str | None) -> str:
    name = given("--name", lab_names.lab_name)(context, option, value)
    if name is None and context.resilient_parsing:
        return naming.default_name()
    return default_lab() if name is None else name


class Choice(click.Choice[str]):
    """One of a few words; told which one may be meant by another."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:  # noqa: ARG002
        """What is wrong."""
        return f"expected one of {', '.join(self.choices)}; got {value}{similar(str(value), self.choices)}"


def as_json(function: F) -> F:
    """The option `--json`, the same for every verb that reports."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON document instead of text.")(
        function
    )


def echo(text: str) -> None:
    """Print a result, if there is any."""
    if text:
        click.echo(text)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one of `lab.render.documents`, or of the benchmark's."""
    click.echo(as_text(document))


def as_text(document: Mapping[str, Any]) -> str:
    """The text of a JSON document."""
    return json.dumps(document, indent=2)


def write_text(option: str, path: Path, text: str) -> None:
    """Write what an option wants to its file. Raises `LabError`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(f"{option}: {path} cannot be written: {error.strerror}") from error
