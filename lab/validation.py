"""Reading what a person wrote: YAML into frozen models, where every error names its place.

All errors of a document are told at once, one a line: `FILE: PATH: what is wrong`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from lab.errors import Unfit
from lab.suggest import similar

__all__ = [
    "ANYTHING",
    "DNS_LABEL",
    "DNS_LABEL_WORDS",
    "Misread",
    "Model",
    "parts",
    "problems",
    "short",
    "validate",
]

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""RFC 1123, section 2.1, as Kubernetes applies it to names."""

DNS_LABEL_WORDS = "at most 63 lower-case letters, digits and '-', with a letter or digit at both ends"

ANYTHING: tuple[object, ...] = ()
"""In `Model.ignored`: whatever the value, it changes nothing."""

M = TypeVar("M", bound="Model")
NOT_A_MAPPING = frozenset({"model_type", "model_attributes_type", "dict_type"})


class Misread(str):
    """The text of a scalar that YAML 1.1 makes something else of; that was told already."""

    __slots__ = ()


class Model(BaseModel):
    """A frozen value. In a document its keys are camelCase; a key that it does not have is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,  # most verbs read no lab file, and none of its many models is worth their time
    )

    ignored: ClassVar[Mapping[str, tuple[object, ...]]] = {}
    """Keys that a document may have, with the values that change nothing."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_changes_nothing(cls, data: Any) -> Any:
        """`key:` with nothing after it means what leaving the key out means, as in Kubernetes."""
        if not isinstance(data, dict):
            return data
        known = {name for field, info in cls.model_fields.items() for name in (field, info.alias)}
        known |= set(cls.ignored)
        return {
            key: value
            for key, value in data.items()
            if not (value is None and key in known) and not _is_ignored(cls, key, value)
        }


def _is_ignored(model: type[Model], key: object, value: object) -> bool:
    if not isinstance(key, str) or key not in model.ignored:
        return False
    allowed = model.ignored[key]
    # False is no 0 here.
    return allowed is ANYTHING or any(type(value) is type(item) and value == item for item in allowed)


def validate(model: type[M], data: object, source: str, at: str = "") -> M:
    """`data`, which stands at the path `at` of `source`, as a `model`.

    Raises `Unfit` with a line for each error.
    """
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Unfit("\n".join(problems(error, model, source, at))) from error


def parts(model: type[M], data: object, source: str) -> tuple[M, frozenset[str], list[str]]:
    """As much of a `model` as can be had, which of the keys that are given are right, and what is wrong."""
    try:
        return validate(model, data, source), frozenset(data if isinstance(data, dict) else ()), []
    except Unfit as error:
        wrong = error.message.splitlines()
    right = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        try:
            model.model_validate({key: value}, by_alias=True, by_name=False)
        except ValidationError:
            continue
        right[key] = value
    return model.model_validate(right, by_alias=True, by_name=False), frozenset(right), wrong


def problems(error: ValidationError, model: type[Model], source: str, at: str = "") -> list[str]:
    """A line for each thing that is wrong, but for what was told when the YAML was read."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        if isinstance(item["input"], Misread):
            continue
        path = _path(item["loc"], at)
        words = _words(item["type"], item["msg"], item["input"])
        if item["type"] == "extra_forbidden":
            words = _not_supported(_model_at(model, item["loc"][:-1]), str(item["loc"][-1]), item["input"])
        lines.append(f"{source}: {path + ': ' if path else ''}{words}")
    return lines


def _not_supported(model: type[Model] | None, key: str, value: object) -> str:
    if model is None:
        return "not supported by the lab"
    if only := " or ".join(_as_yaml(item) for item in model.ignored.get(key, ()) if item):
        return f"the lab has only {only} here; got {short(value)}"
    known = [info.alias or name for name, info in model.model_fields.items()]
    return f"not supported by the lab{similar(key, known)}"


def _as_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _model_at(model: type[Model] | None, loc: Sequence[int | str]) -> type[Model] | None:
    """The model that stands at a place of another."""
    for part in loc:
        if isinstance(part, str) and model is not None:
            fields = model.model_fields.items()
            found = [info.annotation for name, info in fields if part in (name, info.alias)]
            model = _model_in(found[0]) if found else None
    return model


def _model_in(annotation: object) -> type[Model] | None:
    """`Port` in `tuple[Port, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    inner = [found for part in get_args(annotation) if (found := _model_in(part)) is not None]
    return inner[0] if inner else None


def _path(loc: Sequence[int | str], at: str) -> str:
    """`spec.containers[0].image` for ("spec", "containers", 0, "image")."""
    path = at
    for part in loc:
        if part == "[key]":
            continue  # pydantic's mark for a mapping's key; the key itself stands before it
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path


def _words(kind: str, message: str, value: object) -> str:
    """What is wrong, in the words of someone who writes the file."""
    if kind == "missing":
        return "required"
    if kind == "string_type":
        if isinstance(value, bool | int | float | date):  # a datetime is a date too
            written = str(value).lower() if isinstance(value, bool) else str(value)
            return f"a string is required, and {written} is none in YAML: put it in quotes"
        return f"expected a string; got {short(value)}"
    if kind in NOT_A_MAPPING:
        return f"expected a mapping; got {short(value)}"
    if kind == "tuple_type":
        return f"expected a list; got {short(value)}"
    if kind == "int_type":
        return f"expected a whole number; got {short(value)}"
    if kind == "bool_type":
        return f"expected true or false; got {short(value)}"
    words = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return words
    told = f"expected {words[:1].lower() + words[1:]}; got {short(value)}"
    known = re.findall(r"'([^']*)'", words) if kind == "literal_error" else ()
    return f"{told}{similar(value, known)}" if isinstance(value, str) else told


def short(value: object) -> str:
    """A value in an error message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
