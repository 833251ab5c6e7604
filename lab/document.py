"""Reading what a person wrote: YAML into frozen models, where every error names its place.

All errors of a document are told at once, one a line: `FILE: PATH: what is wrong`.
"""

from collections.abc import Hashable, Sequence
from datetime import date
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from lab.errors import Unfit

__all__ = ["DNS_LABEL", "DNS_LABEL_WORDS", "Model", "load_yaml", "problems", "short", "validate"]

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""RFC 1123, section 2.1, as Kubernetes applies it to names."""

DNS_LABEL_WORDS = "at most 63 lower-case letters, digits and '-', with a letter or digit at both ends"

M = TypeVar("M", bound="Model")
NOT_A_MAPPING = frozenset({"model_type", "model_attributes_type", "dict_type"})


class Model(BaseModel):
    """A frozen value. In a document its keys are camelCase; a key that it does not have is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """`key:` with nothing after it means what leaving the key out means, as in Kubernetes."""
        if not isinstance(data, dict):
            return data
        known = {name for field, info in cls.model_fields.items() for name in (field, info.alias)}
        return {key: value for key, value in data.items() if value is not None or key not in known}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which on its own lets the last of two equal keys win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys differ."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(text: str, source: str) -> tuple[Any, ...]:
    """The documents of a YAML text that are not empty. Raises `Unfit` with line and column."""
    try:
        return tuple(item for item in yaml.load_all(text, Loader=_Loader) if item is not None)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise Unfit(f"{source}: {where}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2016-99-99
        raise Unfit(f"{source}: {error}") from error


def validate(model: type[M], data: object, source: str, at: str = "") -> M:
    """`data`, which stands at the path `at` of `source`, as a `model`.

    Raises `Unfit` with a line for each error.
    """
    try:
        return model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Unfit("\n".join(problems(error, source, at))) from error


def problems(error: ValidationError, source: str, at: str = "") -> list[str]:
    """A line for each thing that is wrong."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        path = _path(item["loc"], at)
        lines.append(
            f"{source}: {path + ': ' if path else ''}{_words(item['type'], item['msg'], item['input'])}"
        )
    return lines


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
    if kind == "extra_forbidden":
        return "not supported by the lab"
    if kind == "missing":
        return "required"
    if kind == "string_type":
        if isinstance(value, bool | int | float | date):  # a datetime is a date too
            return f"a string is required, and {value} is none in YAML: put it in quotes"
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
    return f"expected {words[:1].lower() + words[1:]}; got {short(value)}"


def short(value: object) -> str:
    """A value in an error message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
