"""The verb that draws: graph."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from lab import spec
from lab.cli.common import default_lab, file_option, lab_name
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit
from lab.graph.describe import described
from lab.graph.model import Graph
from lab.graph.svg import svg
from lab.graph.text import dot, mermaid
from lab.topology import graph_of

__all__ = ["COMMANDS"]

FORMATS: Mapping[str, Callable[[Graph], str]] = {"svg": svg, "mermaid": mermaid, "dot": dot}

SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}


@click.command()
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), help="[default: as FILE's name ends, else svg]"
)
@file_option(
    "-o",
    "--output",
    what="Write it there  [default: standard output]",
)
@file_option(
    "-f",
    "--file",
    metavar="LABFILE",
    what="Of this lab file; no engine is asked.",
)
@lab_name
def graph(kind: str | None, output: Path | None, file: Path | None, name: str) -> int:
    """Draw a lab with its addresses: networks, machines, routers, pods.

    Of a lab that is up there are also subnets, pods' addresses, and what does not run. SVG is a picture that
    any browser shows; Mermaid and dot are text for programs that draw.
    """
    if file is not None:
        found = described(spec.load_file(file, default_name=default_lab()))
    else:
        found = graph_of(Lab.get(Engine.connect(), name))
    text = FORMATS[kind or SUFFIXES.get(output.suffix if output else "", "svg")](found)
    if output is None or str(output) == "-":
        click.echo(text, nl=False)
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unfit(f"-o {output}: it cannot be written: {error.strerror}") from error
    return 0


COMMANDS = (graph,)
