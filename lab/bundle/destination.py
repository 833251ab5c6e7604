"""Where a bundle is written to."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from lab.bundle.answers import file_name
from lab.errors import LabError

__all__ = ["SUFFIX", "VARIABLE", "Destination", "destination", "stem"]

VARIABLE = "LAB_BUNDLES"
"""A folder: `lab up` and `lab check` leave a bundle there when something is not right."""

SUFFIX = ".tar.gz"


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, or a folder in which each bundle gets a name of its own."""

    path: Path
    folder: bool

    def write(self, name: str, data: bytes) -> Path:
        """Write it, in a folder under that name and a suffix; returns the file. Raises `LabError`."""
        try:
            if not self.folder:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _write(self.path, data, "wb")
                return self.path
            self.path.mkdir(parents=True, exist_ok=True)
            for number in count(1):
                again = f"-{number}" if number > 1 else ""
                file = self.path / f"{name}{again}{SUFFIX}"
                try:
                    _write(file, data, "xb")
                except FileExistsError:
                    continue
                return file
        except OSError as error:
            raise LabError(f"writing the bundle to {self.path}: {error.strerror}") from error
        raise AssertionError  # numbers have no end


def _write(file: Path, data: bytes, mode: str) -> None:
    with file.open(mode) as opened:
        try:
            opened.write(data)
            opened.flush()
        except OSError:  # no half of an archive stays
            file.unlink(missing_ok=True)
            raise


def destination(given: str | None, environment: Mapping[str, str] = os.environ) -> Destination | None:
    """What an option says, a file or a folder; else the folder that LAB_BUNDLES names, if it names one."""
    if given is not None:
        return Destination(Path(given), given.endswith("/") or Path(given).is_dir())
    named = environment.get(VARIABLE)
    return Destination(Path(named), folder=True) if named else None


def stem(about: str, at: datetime) -> str:
    """The name of a bundle, and of the folder in it: what it is about, and when it was collected."""
    return f"{file_name(about)}-{at:%Y%m%dT%H%M%SZ}"
