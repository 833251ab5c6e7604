"""Regular expressions as Go's regexp has them (RE2's syntax), where Python's `re` spells them differently."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

__all__ = ["compiled"]

_Ranges = Sequence[tuple[int, int]]

_CLASSES: Final[Mapping[str, _Ranges]] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": ((0x30, 0x39),),
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
"""ASCII classes by name (https://github.com/google/re2/wiki/Syntax), as first and last code points."""

_LAST: Final = 0x10FFFF

_CLASS: Final = re.compile(r"\[:(\^?)([a-z]+):\]")


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, which may have classes such as `[[:digit:]]` and the end of text as `\\z`.

    ValueError says what is wrong with it, and what to write instead where that is known.
    """
    if re.search(r"(?<!\\)(?:\\\\)*\\[pP]", pattern):
        raise ValueError(r"classes such as \pL are not supported: write [a-z]")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # for what Python would understand differently
            return re.compile("".join(_parts(pattern)), re.ASCII)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _parts(pattern: str) -> Iterator[str]:
    """The pattern in Python's spelling, piece by piece."""
    position, inside = 0, False
    while position < len(pattern):
        named = _CLASS.match(pattern, position) if inside else None
        if named is not None:
            yield _ranges(*named.groups())
            position = named.end()
            continue
        length = 2 if pattern[position] == "\\" else 1
        piece = pattern[position : position + length]
        position += length
        if not inside and piece == "[":
            inside = True
            # A bracket that comes first stands for itself.
            opening = re.compile(r"\^?\]?").match(pattern, position)
            if opening is not None:
                piece += opening[0].replace("]", r"\]")
                position = opening.end()
        elif inside and piece == "]":
            inside = False
        elif inside and piece == "[":
            piece = r"\["
        elif not inside and piece == r"\z":
            piece = r"\Z"
        yield piece


def _ranges(negated: str, name: str) -> str:
    """A class, as it is written between brackets."""
    if name not in _CLASSES:
        known = ", ".join(f"[:{known}:]" for known in _CLASSES)
        raise ValueError(f"there is no class [:{name}:]: there are {known}")
    ranges = _CLASSES[name]
    if negated:
        ends = [-1, *(last for _, last in ranges)]
        starts = [*(first for first, _ in ranges), _LAST + 1]
        ranges = [
            (end + 1, start - 1) for end, start in zip(ends, starts, strict=True) if end + 1 <= start - 1
        ]
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
