"""Answers of which there are three: yes, no, and None where nobody can tell. Pure."""

from collections.abc import Iterable

__all__ = ["Answer", "all_of", "any_of", "opposite"]

Answer = bool | None


def all_of(answers: Iterable[Answer]) -> Answer:
    """Whether all are so; one that is not decides it."""
    found: Answer = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


def any_of(answers: Iterable[Answer]) -> Answer:
    """Whether one is so."""
    return opposite(all_of(map(opposite, answers)))


def opposite(answer: Answer) -> Answer:
    """What `!=` makes of it."""
    return None if answer is None else not answer
