"""What is expected and what is seen, as data; the words for a person are made of it. Pure.

A check whose values are of a kind of its own has a class for them beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["Between", "Data", "Failure", "Items", "Missing", "Number", "OneOf", "Text", "Value"]

Data: TypeAlias = bool | int | str | Sequence["Data"] | Mapping[str, "Data"] | None
"""What JSON can say."""


class Value(Protocol):
    """One side of a comparison."""

    @property
    def data(self) -> Data:
        """For a program."""

    @property
    def text(self) -> str:
        """For a person, made of the data."""


@dataclass(frozen=True, slots=True)
class Text:
    """A name, an address, a file's text."""

    data: str

    @property
    def text(self) -> str:
        """As it is."""
        return self.data


@dataclass(frozen=True, slots=True)
class Number:
    """A count of something."""

    data: int
    unit: str = ""

    @property
    def text(self) -> str:
        """With its unit."""
        return f"{self.data} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Items:
    """Several of one kind, in no order that matters unless `apart` says so."""

    data: tuple[str, ...]
    none: str = "none"
    """The words for an empty one."""
    apart: str = "\n"

    @property
    def text(self) -> str:
        """One a line."""
        return self.apart.join(self.data) or self.none


@dataclass(frozen=True, slots=True)
class Missing:
    """There is none of it."""

    text: str
    """Such as: no such device."""

    @property
    def data(self) -> None:
        """JSON's null."""
        return


@dataclass(frozen=True, slots=True)
class Failure:
    """It came to nothing."""

    error: str

    @property
    def data(self) -> Data:
        """Under a name of its own, so that no value is taken for it."""
        return {"error": self.error}

    @property
    def text(self) -> str:
        """In the words of who has tried."""
        return self.error


@dataclass(frozen=True, slots=True)
class Between:
    """Any from the first to the last of them."""

    first: str
    last: str

    @property
    def data(self) -> Data:
        """Both ends."""
        return {"first": self.first, "last": self.last}

    @property
    def text(self) -> str:
        """Both ends."""
        return f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """Each of these is right."""

    values: tuple[Value, ...]

    @property
    def data(self) -> Data:
        """All of them."""
        return [value.data for value in self.values]

    @property
    def text(self) -> str:
        """All of them."""
        return " or ".join(value.text for value in self.values)
