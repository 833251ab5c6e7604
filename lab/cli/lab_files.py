"""Verbs about lab files, which need no engine: init, schema, validate."""

from pathlib import Path

import click

from lab import spec
from lab.cli import complete
from lab.cli.common import as_json, default_lab, echo, print_json
from lab.cluster.plan import plan_up
from lab.errors import LabError, Unfit
from lab.render import documents
from lab.spec.document import commented, json_schema

__all__ = ["COMMANDS"]


@click.command()
@click.argument("file", type=Path, default=Path("lab.yaml"), shell_complete=complete.files)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(file: Path, force: bool) -> int:
    """Write a lab file to start from: the tutorial's cluster, with every key explained.

    It is called lab.yaml unless FILE says otherwise; `-` is standard output.
    """
    text = commented()
    if str(file) == "-":
        click.echo(text, nl=False)
        return 0
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise Unfit(f"{file} is there already", hint="--force replaces it.") from error
    except OSError as error:
        raise Unfit(f"{file} cannot be written: {error.strerror}") from error
    echo(f"{file} describes the tutorial's cluster. Change it; then: lab up -f {file}")
    return 0


@click.command()
def schema() -> int:
    """Print the JSON schema of lab files, for editors and other programs."""
    print_json(json_schema())
    return 0


@click.command()
@click.argument("files", type=Path, nargs=-1, required=True, metavar="FILE...", shell_complete=complete.files)
@as_json
def validate(files: tuple[Path, ...], json_: bool) -> int:
    """Say everything that is wrong with lab files, or what each describes. Nothing is started."""
    described: list[str] = []
    problems: dict[str, tuple[str, ...]] = {}
    for file in files:
        problems[str(file)] = ()
        try:
            wanted = spec.load_file(file, default_name=default_lab())
            _placed(wanted, file)
            described.append(wanted.describe())
        except LabError as error:
            problems[str(file)] = tuple(error.message.splitlines())
    if json_:
        print_json(documents.validated(problems))
    else:
        echo("\n".join(described))
        for line in (line for lines in problems.values() for line in lines):
            click.echo(line, err=True)
    return Unfit.exit_code if any(problems.values()) else 0


def _placed(wanted: spec.LabSpec, file: Path) -> None:
    """Raise `Unfit` with the file's name if a pod has no node to run on."""
    try:
        plan_up(wanted)
    except Unfit as error:
        raise Unfit("\n".join(f"{file}: {line}" for line in error.message.splitlines())) from error


COMMANDS = (init, schema, validate)
