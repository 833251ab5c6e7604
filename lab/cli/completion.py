"""The verb that prints what makes a shell complete the words of `lab`: completion."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from lab.cli.common import Choice
from lab.cli.complete import VARIABLE

__all__ = ["COMMANDS"]


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a script with which bash, zsh or fish completes the words of lab.

    It completes verbs, options, and the names of labs, machines, pods, units, faults and checks. For bash, in
    ~/.bashrc: eval "$(lab completion bash)". For zsh, in ~/.zshrc after compinit: eval "$(lab completion
    zsh)". For fish: lab completion fish > ~/.config/fish/completions/lab.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    made = kind(context.find_root().command, {}, "lab", VARIABLE)
    # That of the kind itself runs a bash to look at its version: 4.4 is of 2016.
    click.echo(ShellComplete.source(made), nl=False)
    return 0


COMMANDS = (completion,)
