"""What the verbs share: options, and the way results are printed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

import click

from lab import naming, spec
from lab.errors import Unfit
from lab.pods import PodSpec, to_document

__all__ = ["as_json", "as_text", "default_lab", "echo", "given", "lab_name", "print_json"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def lab_name(function: F) -> F:
    """The option `--name`, the same for every verb."""
    return click.option(
        "--name",
        metavar="LAB",
        callback=_lab_name,
        help=f"Which lab  [default: ${naming.VARIABLE}, or {spec.TUTORIAL}]",
    )(function)


def given(
    option: str, read: Callable[[str], T]
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """A callback that reads an option's value, if there is one. It raises `Unfit`."""

    def callback(_context: click.Context, _option: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise Unfit(f"{option}: {error}") from error

    return callback


def default_lab() -> str:
    """The lab that is meant where none is named. Raises `Unfit`."""
    try:
        return spec.lab_name(naming.default_name())
    except ValueError as error:
        raise Unfit(f"{naming.VARIABLE} in the environment: {error}") from error


def _lab_name(context: click.Context, option: click.Parameter, value: str | None) -> str:
    name = given("--name", spec.lab_name)(context, option, value)
    return default_lab() if name is None else name


def as_json(function: F) -> F:
    """The option `--json`, the same for every verb that reports."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON document instead of text.")(
        function
    )


def echo(text: str) -> None:
    """Print a result, if there is any."""
    if text:
        click.echo(text)


def print_json(value: object) -> None:
    """Print a value as one JSON document; dataclasses as objects, Pods as
    Kubernetes writes them but for what their variables hold, addresses and times as text.
    """
    click.echo(as_text(value))


def as_text(value: object) -> str:
    """A value as the text of one JSON document."""
    return json.dumps(value, default=_plain, indent=2)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, PodSpec):
        return to_document(value.without_values())
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | frozenset | set):
        return list(value)
    return str(value)
