"""The syntax of Go's flag package, and the environment: text -> the flags' values, still as text.

`-x v`, `-x=v`, `--x v` and `--x=v` are the same; a bool takes its value only as `-x=true`. Parsing ends at
`--` or at the first argument that is not a flag, unless it is one of our commands: flags may follow it.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flanneld_py.options import re2
from flanneld_py.options.flags import (
    COMMANDS,
    FLAGS,
    IDLE,
    KUBERNETES,
    flags_of,
    variable,
)
from flanneld_py.options.option import Flag
from flanneld_py.options.quoting import quote

__all__ = ["CommandLine", "UsageError", "read_arguments", "read_environment", "unknown_variables"]

_ALL: Final[Mapping[str, Flag]] = {
    **FLAGS,
    **{name: Flag(kind=kind) for others in (IDLE, KUBERNETES) for name, (kind, _) in others.items()},
}

# strconv.ParseBool
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class UsageError(ValueError):
    """A flag, variable or argument that cannot be read: exit status 2.

    `show_usage` is false for errors that one line explains better than the list of flags.
    """

    def __init__(self, message: str, *, show_usage: bool = True) -> None:
        super().__init__(message)
        self.show_usage = show_usage


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The flags' values in canonical form ("true", "60"), in order, and the positional arguments.

    `wants_usage`: -h was given, or a positional argument that is not a command.
    """

    given: Mapping[str, Sequence[str]]
    command: str = ""
    arguments: tuple[str, ...] = ()
    wants_usage: bool = False


def read_arguments(argv: Iterable[str]) -> CommandLine:
    """Read the arguments after the program's name. Raises UsageError."""
    given: dict[str, list[str]] = {}
    words: list[str] = []
    flags = _ALL
    rest = [_whole_line(argument) for argument in argv]
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            words += rest
            break
        if len(argument) < 2 or not argument.startswith("-"):
            words.append(argument)
            if words[0] not in COMMANDS:
                break
            flags = {**_ALL, **flags_of(words[0])}
            continue
        name, equals, value = argument[2 if argument.startswith("--") else 1 :].partition("=")
        if not name or name.startswith("-"):
            shown = re.sub("(?i)(password=).*", r"\1...", argument)
            raise UsageError(f"bad flag syntax: {shown}")
        if name == "h":  # Go's flag package treats an undefined -h as -help
            return CommandLine({}, wants_usage=True)
        flag = flags.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not equals and flag.is_bool:
            value = "true"
        elif not equals and not rest:
            raise UsageError(f"flag needs an argument: -{name}")
        elif not equals:
            value = rest.pop(0)
        try:
            given.setdefault(name, []).append(_canonical(flag, value))
        except ValueError as error:
            what = "boolean value" if flag.is_bool else "value"
            raise UsageError(f"invalid {what} {quote(value)} for flag -{name}: {error}") from None
    if words and words[0] not in COMMANDS:
        return CommandLine({}, wants_usage=True)
    return CommandLine(given, words[0] if words else "", tuple(words[1:]))


def read_environment(environ: Mapping[str, str], skip: Container[str]) -> dict[str, Sequence[str]]:
    """The variables' values. An unreadable one is an error; flannel ignores it."""
    found: dict[str, Sequence[str]] = {}
    for name, flag in _ALL.items():
        text = _whole_line(environ.get(variable(name), ""))
        if not text or name in skip or not flag.variable:
            continue
        values = split_at_commas(text) if flag.repeats else [text]
        try:
            found[name] = [_canonical(flag, value) for value in values]
        except ValueError as error:
            message = f"invalid value {quote(text)} in the environment variable {variable(name)}: {error}"
            raise UsageError(message, show_usage=False) from None
    return found


def unknown_variables(environ: Mapping[str, str], argv: Iterable[str]) -> list[str]:
    """Variables that look like ours but belong to no flag: most likely a typo.

    One that a unit file expands on the command line, as in `ExecStart=flanneld $FLANNELD_OPTIONS`, is not
    among them.
    """
    known = {variable(name) for name in _ALL}
    line = " ".join(argv)
    return sorted(
        name
        for name, text in environ.items()
        if name.startswith("FLANNELD_")
        and name not in known
        and text.strip()
        and not all(word in line for word in text.split())
    )


def _whole_line(text: str) -> str:
    """Without the carriage return that an environment file from Windows leaves at the end of each line."""
    return text.rstrip("\r")


def split_at_commas(text: str) -> list[str]:
    """The parts of a list; a comma inside brackets, as in `eth[0-9]{1,2}`, belongs to a part."""
    parts, depth, escaped = [""], 0, False
    for character in text:
        if character == "," and depth == 0 and not escaped:
            parts.append("")
            continue
        parts[-1] += character
        if not escaped:
            depth = max(0, depth + (character in "([{") - (character in ")]}"))
        escaped = character == "\\" and not escaped
    return [part.strip() for part in parts]


def _canonical(flag: Flag, value: str) -> str:
    """The value in the spelling of Go's %v; ValueError carries the reason, Go's where Go has one."""
    if flag.is_bool:
        if value in _TRUE:
            return "true"
        if value in _FALSE:
            return "false"
        raise ValueError("parse error")
    if flag.kind == "int":
        return str(_go_int(value))
    if flag.kind == "regex":
        re2.compiled(value)
    if flag.choices and value not in flag.choices:
        raise ValueError(f"give {', '.join(flag.choices[:-1])} or {flag.choices[-1]}")
    return value


_GO_INT: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>(?:_?[0-9a-fA-F])+)|0[oO]?(?P<octal>(?:_?[0-7])+)"
    r"|0[bB](?P<binary>(?:_?[01])+)|(?P<decimal>0|[1-9](?:_?[0-9])*))"
)
_BASES: Final[Mapping[str, int]] = {"hex": 16, "octal": 8, "binary": 2, "decimal": 10}


def _go_int(value: str) -> int:
    """strconv.ParseInt(value, 0, 64): decimal, 0x, 0o or 0, 0b, and underscores between digits."""
    match = _GO_INT.fullmatch(value)
    if match is None or len(value) > 100:
        raise ValueError("parse error")
    number = next(int(digits, base) for kind, base in _BASES.items() if (digits := match[kind]) is not None)
    number = -number if match["sign"] == "-" else number
    if not -(2**63) <= number < 2**63:
        raise ValueError("value out of range")
    return number
