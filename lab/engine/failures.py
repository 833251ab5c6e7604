"""The SDK's errors, turned into the lab's."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker.errors import APIError, DockerException

from lab.engine.model import EngineUnavailable
from lab.errors import LabError

__all__ = ["attempt", "reason"]


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Turn the SDK's errors into a `LabError` that says what was attempted."""
    try:
        yield
    except APIError as error:
        raise LabError(f"{what}: {error.explanation or error}") from error
    except (DockerException, requests.RequestException) as error:
        raise EngineUnavailable(f"{what}: the Docker engine does not answer: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The innermost cause: the SDK wraps "No such file or directory" in four layers."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)
