"""Translation of the SDK's errors into the lab's."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker.errors import APIError, DockerException

from lab.engine.model import EngineUnavailable
from lab.errors import LabError

__all__ = ["attempt", "reason", "remedy_elsewhere", "remedy_there"]


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Turn the SDK's errors into a `LabError` that says what was attempted."""
    try:
        yield
    except APIError as error:
        seen = str(error.explanation or error)
        raise LabError(f"{what}: {seen}", hint=remedy_there(seen)) from error
    except (DockerException, requests.RequestException) as error:
        raise EngineUnavailable(f"{what}: the Docker engine does not answer: {reason(error)}") from error


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


def reason(error: BaseException) -> str:
    """Return the innermost cause: the SDK wraps "No such file or directory" in four layers."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)
