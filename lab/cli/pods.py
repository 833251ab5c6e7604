"""Verbs about pods: create, ls, exec, logs, rm."""

import sys
from pathlib import Path

import click

from lab import lock, render, yamltext
from lab.cli import complete
from lab.cli.common import Choice, as_json, echo, lab_name, print_json
from lab.cli.running import Runs, argv, streams
from lab.cli.verbs import Group
from lab.cluster import Lab
from lab.cluster.create_pods import create_pods
from lab.engine import Engine
from lab.exec_streams import connect
from lab.node.inside import VARIABLE
from lab.observe import Topic, observe
from lab.pods import PodSpec
from lab.pods.manifest import parse
from lab.progress import on_terminal
from lab.render import documents
from lab.streams import width

__all__ = ["COMMANDS"]


@click.group(cls=Group)
def pod() -> None:
    """Create, list and remove pods, run commands in them, show their logs."""


def _read(file: str) -> tuple[PodSpec, ...]:
    if file != "-":
        return parse(yamltext.read(Path(file)), file)
    source = "standard input"
    return parse(yamltext.decode(sys.stdin.buffer.read(yamltext.LIMIT + 1), source), source)


@pod.command()
@click.option(
    "-f",
    "--file",
    required=True,
    metavar="FILE",
    shell_complete=complete.files,
    help="Kubernetes Pod YAML; - is standard input.",
)
@lab_name
@as_json
def create(file: str, name: str, json_: bool) -> int:
    """Run the pods of a file and wait until they answer on their ports.

    A pod goes to the node that its `nodeName` names, else to the one with the fewest pods.
    """
    wanted = _read(file)
    engine = Engine.connect()
    with lock.held(engine.id, name), on_terminal() as progress:
        placed = create_pods(Lab.get(engine, name), wanted, progress)
    if json_:
        print_json(documents.created(placed))
    else:
        echo("\n".join(f"pod {pod} runs on {node}" for pod, node in placed.items()))
    return 0


@pod.command()
@click.option("-o", "--output", type=Choice(["wide"]), help="wide: with address and node.")
@lab_name
@as_json
def ls(output: str | None, name: str, json_: bool) -> int:
    """List the pods. Exits with 1 if a machine does not report which it has."""
    seen = observe(Lab.get(Engine.connect(), name), {Topic.PODS})
    if json_:
        print_json(documents.pods(seen.pods))
    else:
        echo(render.pods(seen.pods, wide=output == "wide", width=width()))
    silent = [(node, silence) for node in seen.running("docker") for silence in node.silences]
    for node, silence in silent:
        click.echo(f"lab: which pods {node.name} has is not known: {silence.reason}", err=True)
    return 1 if silent else 0


@pod.command(name="exec", cls=Runs)
@click.argument("pod_name", metavar="POD", shell_complete=complete.pods)
@argv
@click.option(
    "-c",
    "--container",
    metavar="NAME",
    shell_complete=complete.containers,
    help="Which of the pod's containers  [default: its first]",
)
@streams
@lab_name
def exec_(
    pod_name: str, command: tuple[str, ...], container: str | None, stdin: bool, terminal: bool, name: str
) -> int:
    """Run a command in a pod.

    All that follows its first word is the command's, options too; no shell looks at it. Output and exit
    status are the command's own.
    """
    lab = Lab.get(Engine.connect(), name)
    running = lab.pod(pod_name)
    flags = [flag for flag, wanted in (("--interactive", stdin), ("--tty", terminal)) if wanted]
    inner = ["docker", "exec", "--env", VARIABLE, *flags, running.container(container), *command]
    return connect(lab.node(running.node), inner, stdin=stdin, terminal=terminal)


@pod.command()
@click.argument("pod_name", metavar="POD", shell_complete=complete.pods)
@click.option(
    "-c",
    "--container",
    metavar="NAME",
    shell_complete=complete.containers,
    help="Which of the pod's containers  [default: its first]",
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option("--tail", metavar="N", type=click.IntRange(0), help="Only the last N lines.")
@lab_name
def logs(pod_name: str, container: str | None, follow: bool, tail: int | None, name: str) -> int:
    """Show what a pod's container has printed, with standard output and standard error kept apart."""
    lab = Lab.get(Engine.connect(), name)
    running = lab.pod(pod_name)
    options = [*(["--tail", str(tail)] if tail is not None else []), *(["--follow"] if follow else [])]
    return connect(lab.node(running.node), ["docker", "logs", *options, running.container(container)])


@pod.command()
@click.argument("pod_name", metavar="POD", shell_complete=complete.pods)
@lab_name
@as_json
def rm(pod_name: str, name: str, json_: bool) -> int:
    """Remove a pod."""
    engine = Engine.connect()
    with lock.held(engine.id, name):
        Lab.get(engine, name).remove_pod(pod_name)
    print_json(documents.removed([f"pod {pod_name}"])) if json_ else echo(f"removed pod {pod_name}")
    return 0


COMMANDS = (pod,)
