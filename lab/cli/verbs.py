"""The verbs: for each, its one-line help and the module that has it, loaded only when it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import click

from lab.cli import loading
from lab.suggest import suggest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["VERBS", "Group", "Verbs"]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the group."""

    module: str
    """In this package; its COMMANDS has the verb."""
    help: str
    """The first sentence, or paragraph, of its own help."""


VERBS: Mapping[str, Verb] = {
    "bench": Verb("bench", "Measure how fast each way from machine to machine is, all of them in one run."),
    "bundle": Verb("bundles", "Write all that is known of a lab into one archive, without its passwords."),
    "capture": Verb(
        "capture",
        "Capture packets at several places at once, in the order of time: as lines, or with -w as pcapng.",
    ),
    "check": Verb(
        "verify", "Compare a lab with what the tutorial and flannel say it must be; expected against seen."
    ),
    "completion": Verb(
        "completion", "Print a script with which bash, zsh or fish completes the words of lab."
    ),
    "cp": Verb("files", "Copy a file or folder onto a machine or pod, or from there."),
    "doctor": Verb(
        "doctor",
        "Say what is wrong with the host and a lab, how that shows, and which command mends it.",
    ),
    "down": Verb("labs", "Remove a lab: containers, network and volumes."),
    "engine": Verb("images", "The Docker engine, if the lab started it."),
    "engines": Verb(
        "engines",
        "The Docker engines of a lab that is spread over several: see them, and make them one swarm.",
    ),
    "exec": Verb("nodes", "Run a command on a machine."),
    "fault": Verb("faults", "Break a lab on purpose, see what is in force, and make it right again."),
    "gc": Verb(
        "labs",
        "Remove what a killed run left behind, and list it. A lab that is up, or being made, is not touched.",
    ),
    "graph": Verb("graph", "Draw a lab with its addresses: networks, machines, routers, pods."),
    "images": Verb("images", "The node and MySQL images, their bases, and the seed volume."),
    "init": Verb(
        "lab_files", "Write a lab file to start from: the tutorial's cluster, with every key explained."
    ),
    "logs": Verb("nodes", "Show a machine's log, or that of one unit (flanneld, docker, etcd)."),
    "ls": Verb("status", "List the labs."),
    "pod": Verb("pods", "Create, list and remove pods, run commands in them, show their logs."),
    "report": Verb(
        "report",
        "Write a report on a lab as one page: topology, checks, tutorial, timings, soak, bundles, benchmark.",
    ),
    "restart": Verb(
        "restarts", "Restart machines, and wait until their services and pods run and every check holds."
    ),
    "scale": Verb(
        "scale",
        "Measure how clusters of so many nodes start, and what they take when something happens to them.",
    ),
    "schema": Verb("lab_files", "Print the JSON schema of lab files, for editors and other programs."),
    "serve": Verb("serve", "Show a lab in a browser, live: links, leases, faults, traces, logs."),
    "shell": Verb("nodes", "Open a shell on a machine."),
    "soak": Verb(
        "soak",
        "Search for bugs in a lab that is up: random faults in rounds, and what must hold all the same.",
    ),
    "status": Verb("status", "Show a lab's machines with their services and leases, and its pods."),
    "trace": Verb(
        "trace",
        "Follow packets from one pod or machine to another, and name the hop that they do not get past.",
    ),
    "tutorial": Verb(
        "verify",
        "Replay the tutorial on a lab that is up: each command, its real output, and whether it agrees.",
    ),
    "up": Verb("labs", "Bring up a whole lab and prove that it works."),
    "validate": Verb(
        "lab_files",
        "Say everything that is wrong with lab files, or what each describes. Nothing is started.",
    ),
}


class Group(click.Group):
    """A group that tells, of a verb that it does not have, which one may be meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the first word names."""
        word = args[0]
        if not (word.startswith("-") or ctx.resilient_parsing) and self.get_command(ctx, word) is None:
            ctx.fail(f"there is no verb {word}{suggest(word, self.list_commands(ctx), 'there are')}")
        return super().resolve_command(ctx, args)


class Verbs(Group):
    """The group of all verbs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return sorted({*super().list_commands(ctx), *VERBS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb itself."""
        if (verb := VERBS.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        commands = import_module(f"lab.cli.{verb.module}").COMMANDS
        loading.collect_from_now_on()
        (found,) = [command for command in commands if command.name == cmd_name]
        assert isinstance(found, click.Command)  # noqa: S101 - what mypy cannot know
        _name_whole_sentences(found)
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The verbs that begin so, without loading any; or our own options."""
        from click.shell_completion import CompletionItem

        verbs = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=VERBS[name].help) for name in verbs]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them for help, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name].help) for name in self.list_commands(ctx)])


def _name_whole_sentences(command: click.Command) -> None:
    """Have help list a verb with its whole first sentence, which click would cut off before wrapping it."""
    command.short_help = (command.help or "").partition("\n\n")[0]
    for verb in command.commands.values() if isinstance(command, click.Group) else ():
        _name_whole_sentences(verb)
