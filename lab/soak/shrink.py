"""The shortest schedule in which the same goes wrong: delta debugging over faults, then their times. Pure.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002: ddmin.
"""

from collections.abc import Callable, Sequence

from lab.soak.schedule import Entry, Round

__all__ = ["Enough", "shrink"]

Violates = Callable[[Round], bool]


class Enough(Exception):
    """No more tries: `violates` may raise it, too."""


def shrink(found: Round, violates: Violates, tries: int) -> Round:
    """The shortest that `violates` and that was found in so many tries; at worst the one that was given.

    It ends early where `violates` raises `Enough`.
    """
    left, best = tries, found.faults

    def test(entries: Sequence[Entry]) -> bool:
        nonlocal left, best
        if left == 0:
            raise Enough
        left -= 1
        if not violates(Round(faults=tuple(entries))):
            return False
        best = tuple(entries)
        return True

    try:
        _fewest(best, test)
        _briefest(lambda: best, test)
    except Enough:
        pass
    return Round(faults=best)


def _fewest(entries: Sequence[Entry], test: Callable[[Sequence[Entry]], bool]) -> None:
    """ddmin: no entry that is left can be left out."""
    parts = 2
    while len(entries) > 1:
        size = -(-len(entries) // parts)
        pieces = [entries[start : start + size] for start in range(0, len(entries), size)]
        rests = [[entry for other in pieces if other is not piece for entry in other] for piece in pieces]
        for smaller in [*pieces, *(rests if len(pieces) > 2 else [])]:
            if test(smaller):
                entries, parts = smaller, max(2, min(parts - 1, len(smaller)))
                break
        else:
            if size == 1:
                return
            parts = min(2 * parts, len(entries))


def _briefest(now: Callable[[], Sequence[Entry]], test: Callable[[Sequence[Entry]], bool]) -> None:
    """Earlier, and for half as long, where it still goes wrong."""
    for index in range(len(now())):
        for change in (_at_once, _half):
            entries = list(now())
            changed = change(entries, index)
            if changed != entries[index]:
                entries[index] = changed
                test(sorted(entries, key=lambda entry: entry.at))


def _at_once(entries: Sequence[Entry], index: int) -> Entry:
    """When the one before begins."""
    return entries[index].model_copy(update={"at": entries[index - 1].at if index else 0.0})


def _half(entries: Sequence[Entry], index: int) -> Entry:
    lasts = entries[index].lasts
    return (
        entries[index] if lasts is None else entries[index].model_copy(update={"lasts": round(lasts / 2, 1)})
    )
