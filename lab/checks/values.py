"""What is expected and what is seen, as data, from which the text for a person is made. Pure.

A check that needs its own kind of value defines a class for it next to itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["AllOf", "Between", "Data", "Failure", "Items", "Missing", "Number", "OneOf", "Text", "Value"]

Data: TypeAlias = bool | int | str | Sequence["Data"] | Mapping[str, "Data"] | None
"""What JSON can express."""


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
        """Unchanged."""
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
    """Several values of one kind; `apart` separates them in the text."""

    data: tuple[str, ...]
    none: str = "none"
    """The text if there are none."""
    apart: str = "\n"

    @property
    def text(self) -> str:
        """One per line, unless `apart` is something else."""
        return self.apart.join(self.data) or self.none


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not there."""

    text: str
    """Such as: no such device."""

    @property
    def data(self) -> None:
        """JSON's null."""
        return


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed."""

    error: str

    @property
    def data(self) -> Data:
        """Under its own key, so that it cannot be mistaken for a value."""
        return {"error": self.error}

    @property
    def text(self) -> str:
        """In the words of the program that tried."""
        return self.error


@dataclass(frozen=True, slots=True)
class Between:
    """Any value from the first to the last."""

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
class AllOf:
    """Each of these is there."""

    values: tuple[Value, ...]

    @property
    def data(self) -> Data:
        """All of them."""
        return [value.data for value in self.values]

    @property
    def text(self) -> str:
        """All of them."""
        return " and ".join(value.text for value in self.values)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any one of these is right."""

    values: tuple[Value, ...]

    @property
    def data(self) -> Data:
        """All of them."""
        return [value.data for value in self.values]

    @property
    def text(self) -> str:
        """All of them."""
        return " or ".join(value.text for value in self.values)
