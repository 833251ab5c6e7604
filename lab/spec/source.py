"""A file of this machine that a lab file names: what it was when the lab file was read."""

import hashlib
from pathlib import Path

from lab.errors import Unfit
from lab.validation import Model

__all__ = ["Source", "content", "digest_of", "read"]


class Source(Model):
    """A file that was read along with the lab file."""

    path: str
    """Absolute, on the machine that runs `lab`."""
    digest: str
    """SHA-256 of its content, in hexadecimal."""


def read(path: Path) -> tuple[str, bytes]:
    """Return the file's absolute path and its content. Raises `ValueError`."""
    absolute = path.resolve()
    try:
        if absolute.exists() and not absolute.is_file() and not absolute.is_dir():
            raise ValueError(f"{absolute} cannot be read: it is not a regular file")
        return str(absolute), absolute.read_bytes()
    except OSError as error:
        raise ValueError(f"{absolute} cannot be read: {error.strerror}") from error


def digest_of(data: bytes) -> str:
    """The SHA-256 of some content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def content(source: Source) -> bytes:
    """Return the file's content, which must be what it was. Raises `Unfit`."""
    try:
        data = Path(source.path).read_bytes()
    except OSError as error:
        raise Unfit(f"{source.path} cannot be read: {error.strerror}") from error
    if digest_of(data) != source.digest:
        raise Unfit(
            f"{source.path} has changed since the lab file was read",
            hint="Run lab up again once it is complete.",
        )
    return data
