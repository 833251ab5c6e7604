"""The command line and FLANNELD_* -> Options, with the syntax and the texts of Go's flag package.

Every flag but -help and -version may come from the environment (`-etcd-prefix` from FLANNELD_ETCD_PREFIX);
the command line wins and an empty variable is not set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flanneld_py.options.flags import ALL_OPTIONS, KUBERNETES
from flanneld_py.options.ineffective import sentences
from flanneld_py.options.model import Options
from flanneld_py.options.syntax import (
    CommandLine,
    UsageError,
    read_arguments,
    read_environment,
    unknown_variables,
)
from flanneld_py.options.text import usage
from flanneld_py.options.together import settled

__all__ = ["Options", "UsageError", "parse", "usage"]


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read the arguments after the program's name.

    With -help, or a positional argument that is not a command, the result says only that; likewise with
    -version: neither the environment nor the values are looked at then. Raises UsageError for what cannot be
    read, and Fatal for what can be read but cannot work.
    """
    line = read_arguments(argv)
    if line.wants_usage or _last(line.given, "help") == "true":
        return Options(help=True)
    if _last(line.given, "version") == "true":
        return Options(version=True)
    _check_command(line)
    given = {**read_environment(environ, skip=line.given.keys()), **line.given}
    for name, (_, instead) in KUBERNETES.items():
        if _last(given, name) not in ("", "false"):
            raise UsageError(f"-{name} is not supported: {instead}", show_usage=False)
    notices = sentences(given, unknown_variables(environ, argv))
    values = {name: flag.value(name, given.get(name, ())) for name, flag in ALL_OPTIONS.items()}
    fields: dict[str, Any] = {name.replace("-", "_"): value for name, value in values.items()}
    return settled(Options(**fields, command=line.command, arguments=line.arguments, notices=notices))


def _last(given: Mapping[str, Sequence[str]], name: str) -> str:
    return given[name][-1] if name in given else ""


def _check_command(line: CommandLine) -> None:
    if line.command == "check-config" and len(line.arguments) != 1:
        raise UsageError(
            "check-config takes one argument, a FILE, or - to read standard input", show_usage=False
        )
    if line.command in ("leases", "cleanup") and line.arguments:
        raise UsageError(f"{line.command} takes no argument but flags", show_usage=False)
