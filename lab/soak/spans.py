"""Stretches of time, in seconds from a round's beginning. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Span", "both", "longest", "without"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From one moment to another."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


def both(one: Iterable[Span], other: Sequence[Span]) -> Iterator[Span]:
    """Where a stretch of the first and one of the second overlap."""
    for a in one:
        for b in other:
            if (begin := max(a.begin, b.begin)) < (end := min(a.end, b.end)):
                yield Span(begin, end)


def without(spans: Iterable[Span], others: Iterable[Span]) -> Iterator[Span]:
    """What is left of them where none of the others is."""
    cuts = sorted(others)
    for span in spans:
        begin = span.begin
        for cut in cuts:
            if cut.end <= begin or cut.begin >= span.end:
                continue
            if cut.begin > begin:
                yield Span(begin, cut.begin)
            begin = max(begin, cut.end)
        if begin < span.end:
            yield Span(begin, span.end)


def longest(spans: Iterable[Span]) -> Span | None:
    """The longest of them."""
    return max(spans, key=lambda span: span.seconds, default=None)
