"""Reading the members of a request's body, each of which has a JSON schema in docs/schemas/. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from lab.errors import Unfit
from lab.render.documents import SCHEMA_VERSION
from lab.suggest import suggest

__all__ = ["choice", "flag", "number", "require", "text", "texts", "values"]

T = TypeVar("T")


def require(body: Mapping[str, Any], *names: str) -> None:
    """Raise `Unfit` where there are other members than these, or those of another version."""
    version = body.get("schemaVersion", SCHEMA_VERSION)
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        raise Unfit(f"schemaVersion: expected {SCHEMA_VERSION}; got {version!r}")
    for name in body:
        if name not in ("schemaVersion", *names):
            raise Unfit(f"the request has no member {name}{suggest(name, names, 'it has')}")


def text(body: Mapping[str, Any], name: str) -> str:
    """A text that must be there. Raises `Unfit`."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Unfit(f"{name}: expected a text; got {value!r}")
    return value


def texts(body: Mapping[str, Any], name: str) -> Sequence[str]:
    """Any number of texts; none if it is left out. Raises `Unfit`."""
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Unfit(f"{name}: expected a list of texts; got {value!r}")
    return value


def values(body: Mapping[str, Any], name: str) -> Mapping[str, str | int | float]:
    """Texts, numbers, true and false by name; none if it is left out. Raises `Unfit`."""
    value = body.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(item, str | int | float) for item in value.values()):
        raise Unfit(f"{name}: expected an object of names and values; got {value!r}")
    return value


def number(body: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A whole number; the least if it is left out. Raises `Unfit`."""
    value = body.get(name, least)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Unfit(f"{name}: expected a number from {least} to {most}; got {value!r}")
    return value


def choice(body: Mapping[str, Any], name: str, choices: Sequence[T]) -> T:
    """One of these; the first if it is left out. Raises `Unfit`."""
    value = body.get(name, choices[0])
    for item in choices:
        if value == item:
            return item
    raise Unfit(f"{name}: expected one of {', '.join(map(str, choices))}; got {value!r}")


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Whether it is set. Raises `Unfit`."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Unfit(f"{name}: expected true or false; got {value!r}")
    return value
