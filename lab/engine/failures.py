"""Translation of an engine's errors into the lab's."""

from collections.abc import Iterator
from contextlib import contextmanager

from lab.engine.api import Refused, Unanswered
from lab.engine.model import EngineUnavailable
from lab.errors import LabError

__all__ = ["NotThere", "attempt", "remedy_elsewhere", "remedy_there"]

NOT_FOUND = 404


class NotThere(LabError):
    """The engine does not have what was asked for."""


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Turn an engine's errors into a `LabError` that says what was attempted."""
    try:
        yield
    except Refused as error:
        kind = NotThere if error.status == NOT_FOUND else LabError
        raise kind(f"{what}: {error}", hint=remedy_there(str(error))) from error
    except Unanswered as error:
        raise EngineUnavailable(f"{what}: the Docker engine does not answer: {error}") from error


def remedy_elsewhere(named: str, seen: str) -> str:
    """Return what to do about an engine that does not answer if starting one here does not help; else "".

    `named` is what selected that engine, or ""; `seen` is why it does not answer.
    """
    if named:
        return f"{named}: start that engine, or name another one."
    if "Permission denied" in seen:
        return (
            "There is an engine, but you may not use it. As root: usermod -aG docker USER; then log in again."
        )
    return ""


def remedy_there(seen: str) -> str:
    """Return what to do on the engine's machine about what it complains of, if that is known; else ""."""
    if (
        "apparmor_parser" in seen
    ):  # docker.io only recommends the package, and Docker 20.10 runs nothing without
        return "On the engine's machine, as root: apt-get install apparmor"
    return ""
