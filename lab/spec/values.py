"""Types of values that keys of a lab file share."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from lab.validation import short

__all__ = ["Options", "Value", "in_words"]


def _plain_options(value: tuple[str, ...]) -> tuple[str, ...]:
    """Require words that systemd's environment files and command lines take literally."""
    for option in value:
        if not re.fullmatch(r"-[^\s\"'\\\\$]*", option):
            raise ValueError(f"expected options without blanks and quotes; got {short(option)}")
    return value


def in_words(pattern: str, words: str) -> BeforeValidator:
    """Before a field's pattern is required: have the error say what it means."""

    def require(value: Any) -> Any:
        if isinstance(value, str) and not re.search(pattern, value):
            raise ValueError(f"expected {words}; got {short(value)}")
        return value

    return BeforeValidator(require)


Options = Annotated[tuple[str, ...], AfterValidator(_plain_options)]


def _number(value: Any) -> Any:
    """A whole number is short for its text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"expected a string or a whole number; got {short(value)}")
    return str(value)


Value = Annotated[
    str,
    BeforeValidator(_number),
    Field(json_schema_extra=lambda schema: schema.update(type=["string", "integer"])),
]
