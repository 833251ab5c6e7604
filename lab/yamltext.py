"""YAML's text into plain values, as its authors would read it.

PyYAML reads YAML 1.1, in which `052` is 42, `1:30` is 90 and `on` is true. Where that makes something else of
a text than stands there, it is an error here, with the text and the way to write what is meant. Dates are
text, as in YAML 1.2 and for Kubernetes.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import Unfit
from lab.validation import Misread

__all__ = ["LIMIT", "Document", "decode", "load", "read"]

LIMIT = 1 << 20
"""Bytes of a file: what is larger was not written by a person."""

MOST_VALUES = 100_000
"""In a document, those counted that stand there by an alias: ten lines can make a billion of them."""

TAG = "tag:yaml.org,2002:"
PLAIN = {
    "int": re.compile(r"0|-?[1-9][0-9]*"),
    "float": re.compile(r"-?[0-9]*\.[0-9]*([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
}
"""What YAML 1.1 and 1.2, and a reader, read alike."""

TEXT = {TAG + kind for kind in ("timestamp", "value")}
"""What is text here though YAML 1.1 makes something else of it: dates, and `=`."""


class Number(float):
    """A number that is shown as it is written, such as 1.10."""

    def __new__(cls, text: str, value: float) -> "Number":
        """The number, with its text."""
        number = super().__new__(cls, value)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Document:
    """A text's documents that are not empty, and what is wrong with it beside what they hold."""

    items: tuple[Any, ...]
    problems: list[str]


def decode(data: bytes, source: str) -> str:
    """A file's text, of which no more than `LIMIT` and one bytes were read. Raises `Unfit`."""
    if len(data) > LIMIT:
        raise Unfit(f"{source}: more than {LIMIT >> 20} MB: that is no file of the lab")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unfit(f"{source}: cannot be read: not UTF-8 text") from error


def read(path: Path) -> str:
    """The text of a file. Raises `Unfit`."""
    try:
        with path.open("rb") as file:
            return decode(file.read(LIMIT + 1), str(path))
    except OSError as error:
        raise Unfit(f"{path}: cannot be read: {error.strerror}") from error


def load(text: str, source: str) -> Document:
    """The documents of a YAML text. Raises `Unfit` with line and column where it cannot be read on."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:  # a character that no YAML has
        raise Unfit(f"{source}: {' '.join(str(error).split())}") from error
    items = []
    fatal = ""
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]
            items.append(loader.get_data())
    except yaml.MarkedYAMLError as error:
        fatal = f"{_where(error.problem_mark or error.context_mark)}{error.problem or error.context}"
    except RecursionError:
        fatal = "its values are nested too deeply"
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of !!timestamp, say
        fatal = " ".join(str(error).split())
    finally:
        loader.dispose()
    problems = [f"{source}: {_where(mark)}{words}" for mark, words in sorted(loader.problems, key=_order)]
    if fatal:
        raise Unfit("\n".join([*problems, f"{source}: {fatal}"]))
    return Document(tuple(item for item in items if item is not None), problems)


def _where(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _order(problem: tuple[yaml.Mark, str]) -> tuple[int, int]:
    return problem[0].line, problem[0].column


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which goes on where it can, and lets no second key win without a word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in TEXT]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[yaml.Mark, str]] = []
        super().__init__(text)

    def construct_document(self, node: yaml.Node) -> Any:
        """A document of a size that a person may have written."""
        if _size(node, {}) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"more than {MOST_VALUES:,} values, with those that aliases repeat",
                node.start_mark,
            )
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping; keys that are there twice are told."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen and key_node.tag != TAG + "merge":
                self._tell(key_node, f"the key {key} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """A scalar's text. Two escapes may make one character of it, as in JSON."""
        text = super().construct_scalar(node)
        if not isinstance(text, str) or text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._tell(node, f"{text!r} is no text: it has half a character (a lone surrogate)")
            return Misread("")

    def _plain(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(TAG)
        text = node.value
        read = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")
        try:
            value = read(self, node)
        except (ValueError, KeyError):  # such as `!!int x`, or more digits than Python reads
            self._tell(node, f"{_short(text)} is no {kind}")
            return Misread(text)
        if PLAIN[kind].fullmatch(text):
            return Number(text, value) if kind == "float" else value
        written, meant = _short(text), _short(str(value).lower())
        self._tell(node, f"YAML reads {written} as {meant}: write {meant}, or '{written}' in quotes")
        return Misread(text)

    def _tell(self, node: yaml.Node, words: str) -> None:
        self.problems.append((node.start_mark, words))


for _kind in PLAIN:
    _Loader.add_constructor(TAG + _kind, _Loader._plain)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node makes, aliases written out. Raises where one stands inside what it repeats."""
    size = known.get(id(node))
    if size is None:
        known[id(node)] = 0
        size = 1
        if isinstance(node, yaml.CollectionNode):
            for item in node.value:
                pair = item if isinstance(node, yaml.MappingNode) else (item,)
                size += sum(_size(part, known) for part in pair)
        known[id(node)] = size
    elif size == 0:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias repeats what it stands in", node.start_mark
        )
    return size
