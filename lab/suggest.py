"""What somebody may have meant who wrote a name that is not known. Pure."""

from collections.abc import Iterable

__all__ = ["nearest", "similar", "suggest"]

LEAST = 3
"""Characters that a part of a name has at least, to stand for it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The only known name that this is a part of, or the one that is near to it; empty if none is."""
    import difflib  # a verb whose words are right does not wait for it

    names = list(dict.fromkeys(known))
    if word in names:  # it is something else that is wrong
        return ""
    containing = [name for name in names if word.lower() in name.lower()] if len(word) >= LEAST else []
    near = containing if len(containing) == 1 else difflib.get_close_matches(word, names, n=1, cutoff=0.8)
    return near[0] if near else ""


def similar(word: str, known: Iterable[str]) -> str:
    """A question after a word that is not known, if one that is known is near; else empty."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def suggest(word: str, known: Iterable[str], there: str) -> str:
    """The same question; where nothing is near, what there is after these words, such as "it has"."""
    names = list(dict.fromkeys(known))
    return similar(word, names) or f"; {there}: {', '.join(names) or 'none'}"
