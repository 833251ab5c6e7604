"""A fault's options: how each is written, and what its value is. Pure.

A reader takes the text of a value and raises `ValueError` that says what was expected. Values are JSON's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from lab.errors import Unfit
from lab.suggest import similar

__all__ = [
    "Option",
    "address",
    "choice",
    "duration",
    "flag",
    "interface",
    "mac",
    "network",
    "number",
    "path",
    "port",
    "read_options",
    "signal_name",
    "signed_duration",
    "split_words",
    "text",
]

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a fault; its name is written `--name` on the command line, `name` in Python."""

    name: str
    """With `-` between words."""
    read: Callable[[str], Any]
    doc: str
    metavar: str = ""
    """What stands for its value in a usage line; empty for a flag, which has none."""
    default: str | None = None
    """As text; None where leaving it out means nothing is asked for."""

    @property
    def usage(self) -> str:
        """As in a usage line."""
        return f"--{self.name} {self.metavar}".rstrip()


def duration(value: str) -> float:
    """Seconds, of 300ms, 30s, 5m or 2h."""
    found = DURATION.fullmatch(value)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"expected a duration such as 500ms, 30s or 5m; got {value!r}")
    return float(found[1]) * UNITS[found[2]]


def signed_duration(value: str) -> float:
    """Seconds, of 2h or -2h."""
    return -duration(value[1:]) if value.startswith("-") else duration(value)


def flag(value: str) -> bool:
    """Whether it is set."""
    if value.lower() not in ("true", "false"):
        raise ValueError(f"expected true or false; got {value!r}")
    return value.lower() == "true"


def text(value: str) -> str:
    """Any text."""
    return value


def number(least: int, most: int) -> Callable[[str], int]:
    """A whole number."""

    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value) or not least <= int(value) <= most:
            raise ValueError(f"expected a number from {least} to {most}; got {value!r}")
        return int(value)

    return read


port = number(1, 65535)


def choice(*known: str) -> Callable[[str], str]:
    """One of these words."""

    def read(value: str) -> str:
        if value not in known:
            raise ValueError(f"expected {' or '.join(known)}; got {value!r}{similar(value, known)}")
        return value

    return read


def address(value: str) -> str:
    """An IPv4 or IPv6 address."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"expected an address such as 192.0.2.1; got {value!r}") from None


def interface(value: str) -> str:
    """An address with its prefix length."""
    try:
        if "/" in value:
            return str(ip_interface(value))
    except ValueError:
        pass
    raise ValueError(f"expected an address with its prefix length, such as 192.0.2.1/24; got {value!r}")


def network(value: str) -> str:
    """A network, or default."""
    try:
        return value if value == "default" else str(ip_network(value))
    except ValueError:
        raise ValueError(f"expected a network such as 10.2.3.0/24, or default; got {value!r}") from None


def mac(value: str) -> str:
    """A MAC address."""
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", value):
        raise ValueError(f"expected a MAC address such as 02:00:5e:00:53:01; got {value!r}")
    return value.lower()


def path(value: str) -> str:
    """An absolute path."""
    if not value.startswith("/") or "/../" in f"{value}/":
        raise ValueError(f"expected an absolute path such as /run/flannel; got {value!r}")
    return value.rstrip("/") or "/"


SIGNALS = tuple(
    f"SIG{name}"
    for name in "HUP INT QUIT ABRT KILL USR1 SEGV USR2 PIPE ALRM TERM".split()  # noqa: SIM905
)
"""Those of signal(7) that end a process, or that it may handle; `unit-pause` is SIGSTOP."""


def signal_name(value: str) -> str:
    """A signal, with or without SIG."""
    name = value.upper() if value.upper().startswith("SIG") else f"SIG{value.upper()}"
    if name not in SIGNALS:
        raise ValueError(f"expected a signal such as SIGTERM; got {value!r}{similar(name, SIGNALS)}")
    return name


def split_words(
    fault: str, options: Sequence[Option], words: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The targets and the options' texts of a command line. Raises `Unfit`."""
    known = {option.name: option for option in options}
    targets: list[str] = []
    given: dict[str, str] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-") or word == "-":
            targets.append(word)
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        option = known.get(name) if word.startswith("--") else None
        if option is None:
            raise _no_option(fault, word.partition("=")[0], options)
        if option.metavar and not equals:
            if not waiting:
                raise Unfit(f"--{name} needs a value: {option.usage}")
            value = waiting.pop(0)
        given[name] = value if option.metavar or equals else "true"
    return targets, given


def _no_option(fault: str, word: str, options: Sequence[Option]) -> Unfit:
    names = [f"--{option.name}" for option in options]
    near = similar(word, names)
    has = f"; it has: {', '.join(names)}" if names else "; it has none"
    return Unfit(f"{fault} has no option {word}{near or has}")


def read_options(fault: str, options: Sequence[Option], given: Mapping[str, object]) -> dict[str, Any]:
    """Every option with its value; those that were not given have their default's. Raises `Unfit`.

    Names may have `_` for `-`, as keyword arguments do, and values may be Python's own: True, 8285.
    """
    named = {name.replace("_", "-"): value for name, value in given.items()}
    for name in named:
        if name not in {option.name for option in options}:
            raise _no_option(fault, f"--{name}", options)
    values: dict[str, Any] = {}
    for option in options:
        value = named.get(option.name, option.default)
        try:
            values[option.name] = None if value is None else option.read(str(value))
        except ValueError as error:
            raise Unfit(f"{fault}: --{option.name}: {error}") from error
    return values
