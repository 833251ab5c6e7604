"""What somebody may have meant who wrote a name that is not known. Pure."""

from collections.abc import Iterable

__all__ = ["nearest", "similar", "suggest"]

LEAST = 3
"""Characters that a part of a name has at least, to stand for it."""


MOST = 3
"""Names that are equally near, of which all are offered."""

LISTED = 20
"""Names that are listed of those that there are, where none is near."""


def nearest(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The only known name that this is a part of; or those that are near to it, if there is none nearer."""
    from difflib import (  # a verb whose words are right does not wait for it
        SequenceMatcher,
        get_close_matches,
    )

    names = list(dict.fromkeys(known))
    if word in names:  # it is something else that is wrong
        return ()
    containing = [name for name in names if word.lower() in name.lower()] if len(word) >= LEAST else []
    if len(containing) == 1:
        return tuple(containing)
    near = get_close_matches(word, names, n=MOST, cutoff=0.8)
    ratios = [SequenceMatcher(a=name, b=word).ratio() for name in near]
    return tuple(sorted(name for name, ratio in zip(near, ratios, strict=True) if ratio == ratios[0]))


def similar(word: str, known: Iterable[str]) -> str:
    """A question after a word that is not known, if one that is known is near; else empty."""
    near = nearest(word, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def suggest(word: str, known: Iterable[str], there: str) -> str:
    """The same question; where nothing is near, what there is after these words, such as "it has"."""
    names = list(dict.fromkeys(known))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return similar(word, names) or f"; {there}: {', '.join(names[:LISTED]) or 'none'}{more}"
