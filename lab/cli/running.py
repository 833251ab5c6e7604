"""What the verbs share that run a command elsewhere: exec, pod exec."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Runs", "argv", "streams"]

F = TypeVar("F", bound=Callable[..., Any])


def argv(function: F) -> F:
    """The command to run: an argument list, never given to a shell."""
    return click.argument("command", metavar="CMD [ARG...]", nargs=-1, required=True, type=click.UNPROCESSED)(
        function
    )


def streams(function: F) -> F:
    """The options `-i` and `-t`, as `docker exec` has them."""
    stdin = click.option("-i", "--interactive", "stdin", is_flag=True, help="Pass on standard input.")
    terminal = click.option("-t", "--tty", "terminal", is_flag=True, help="Give the command a terminal.")
    return stdin(terminal(function))


class Runs(click.Command):
    """A verb whose arguments are what a command is run on, and that command.

    As with `docker exec`, all that follows the command's first word is the command's: `exec NODE ls -l` needs
    no `--`. Before that word our own options stand, also between the two; `--` ends them.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        valued = {
            name
            for item in self.params
            if isinstance(item, click.Option) and not item.is_flag
            for name in item.opts
        }
        return super().parse_args(ctx, [*_closed(args, valued)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Our options, until the command's own words have begun."""
        return [] if ctx.params.get("command") else super().shell_complete(ctx, incomplete)


def _closed(words: Sequence[str], valued: Collection[str]) -> Iterator[str]:
    """The same words, with `--` before the second that is no option, nor the value of one."""
    waiting = iter(words)
    seen_first = False
    for word in waiting:
        is_option = word.startswith("-") and word != "-"
        if seen_first and not is_option:
            yield "--"
        yield word
        if word == "--" or (seen_first and not is_option):
            break
        seen_first = seen_first or not is_option
        if _wants_value(word, valued):
            yield from islice(waiting, 1)
    yield from waiting


def _wants_value(word: str, valued: Collection[str]) -> bool:
    """Whether an option's value is the next word: `--name`, `-c` and `-itc`, not `--name=x` nor `-cx`."""
    if word.startswith("--") or not word.startswith("-"):
        return word in valued
    takes = [place for place, letter in enumerate(word) if f"-{letter}" in valued and place]
    return bool(takes) and takes[0] == len(word) - 1
