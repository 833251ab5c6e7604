"""A backend's keys, each declared once: its name, what it may be, and how it is shown.

They are the fields of a dataclass: `vni: int = integer("VNI", 1, 1, HIGHEST_VNI)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from flanneld_py.config.reader import Section, show

__all__ = ["HIGHEST_MTU", "HIGHEST_PORT", "Key", "boolean", "integer", "keys_of", "string"]

HIGHEST_PORT: Final = 65535
HIGHEST_MTU: Final = 65535

_KEY: Final = "key"


@dataclass(frozen=True, slots=True)
class Key:
    """`zero` says what 0 stands for, where it stands for something; of a `secret` no value is shown."""

    name: str
    read: Callable[[Section], object]
    zero: str = ""
    secret: bool = False

    def text(self, value: object) -> str:
        """A value as it is written, but for a secret."""
        if self.secret:
            return "(not shown)" if value else "none"
        return str(value).lower() if isinstance(value, bool) else str(value)

    def meaning(self, value: object) -> str:
        """What a value comes to."""
        return self.zero if self.zero and value == 0 else self.text(value)


def integer(name: str, default: int, lowest: int, highest: int, *, zero: str = "") -> int:
    """A whole number between two others."""

    def read(section: Section) -> int:
        return section.integer(name, default, lowest, highest)

    return field(default=default, metadata={_KEY: Key(name, read, zero)})


def boolean(name: str, default: bool = False) -> bool:
    """A truth value."""

    def read(section: Section) -> bool:
        return section.boolean(name, default)

    return field(default=default, metadata={_KEY: Key(name, read)})


def string(name: str, default: str = "", *, choices: tuple[str, ...] = (), secret: bool = False) -> str:
    """A text; one of the `choices`, if there are any."""

    def read(section: Section) -> str:
        value = section.string(name, default)
        if choices and value not in choices:
            section.problems.add(
                f"{section.path}{name}", f"is {show(value)}", f"give one of {', '.join(choices)}"
            )
            return default
        return value

    return field(default=default, metadata={_KEY: Key(name, read, secret=secret)})


def keys_of(declared: Any) -> Mapping[str, Key]:
    """The keys of a dataclass, or of one of its values, by the fields that they fill."""
    return {each.name: _key(each) for each in fields(declared)}


def _key(declared: "Field[object]") -> Key:
    key = declared.metadata.get(_KEY)
    if not isinstance(key, Key):
        raise TypeError(f"{declared.name} is declared as no key")
    return key
