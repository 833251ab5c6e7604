"""Reading JSON as Go's encoding/json does, and collecting all that is wrong with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ConfigError", "Problem", "Problems", "Section", "read", "show"]

LONGEST_NUMBER: Final = 1000
"""Digits. Python refuses 4300, which take it a noticeable time, in words of its own."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a key, and what would be right. `key` is empty for the text as a whole."""

    key: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key + ' ' if self.key else ''}{self.message}: {self.fix}"


class ConfigError(ValueError):
    """The configuration cannot be used. Its text, one line, has all problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Problems:
    """Those found so far."""

    found: list[Problem] = field(default_factory=list)

    def add(self, key: str, message: str, fix: str) -> None:
        """One more; the same is told once."""
        problem = Problem(key, message, fix)
        if problem not in self.found:
            self.found.append(problem)

    def about(self, key: str) -> bool:
        """Whether there is one with this key."""
        return any(problem.key == key for problem in self.found)


def show(value: object) -> str:
    """A value as the user wrote it, cut short."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    try:
        text = json.dumps(value)
    except RecursionError:  # the reader got a little deeper than the writer does
        return "nested too deeply"
    return text if len(text) <= 60 else text[:57] + "..."


def read(text: str | bytes) -> dict[str, object]:
    """The object's members by lower-cased name, in every depth; the last of several wins, as in Go.

    null means absent. Raises ConfigError for what is no JSON object.
    """
    fix = 'give an object, {"Network": "10.2.0.0/16"}'

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return {name.lower(): value for name, value in pairs if value is not None}

    try:
        # Not left to json, which would take UTF-16 too: flannel does not.
        written = text if isinstance(text, str) else text.decode()
        if written.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        value = json.loads(
            written, object_pairs_hook=members, parse_constant=_no_constant, parse_int=_integer
        )
    except RecursionError:
        raise ConfigError((Problem("", "the configuration is not JSON: nested too deeply", fix),)) from None
    except ValueError as error:
        raise ConfigError((Problem("", f"the configuration is not JSON ({error})", fix),)) from None
    if not isinstance(value, dict):
        raise ConfigError((Problem("", f"the configuration is {show(value)}", fix),))
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


@dataclass(frozen=True, slots=True)
class Section:
    """An object of the configuration: its members by lower-cased name, and where it is (`Backend.`)."""

    fields: Mapping[str, object]
    problems: Problems
    path: str = ""

    def has(self, name: str) -> bool:
        """Whether the key is given."""
        return name.lower() in self.fields

    def boolean(self, name: str, default: bool) -> bool:
        """A truth value."""
        value = self.fields.get(name.lower(), default)
        if isinstance(value, bool):
            return value
        self.problems.add(self.path + name, f"is {show(value)}", "give true or false")
        return default

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number between two others, or the default."""
        value = self.fields.get(name.lower(), default)
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        fix = f"give a number from {lowest} to {highest}, or none for {default}"
        self.problems.add(self.path + name, f"is {show(value)}", fix)
        return default

    def string(self, name: str, default: str = "") -> str:
        """A text."""
        value = self.fields.get(name.lower(), default)
        if isinstance(value, str) and "\0" not in value:
            return value
        self.problems.add(self.path + name, f"is {show(value)}", "give a text in quotes")
        return default
