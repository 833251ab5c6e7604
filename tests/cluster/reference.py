"""The genuine flannelds that whoever runs the tests has, by way of FLANNELD_REFERENCE.

It holds paths, parted by `:`, of flannelds of any age: those up to 0.17 speak etcd's v2 API, later ones v3.
What each of them is it says itself (`-version`).
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.flannel import EtcdApi, etcd_api_of, parse_version

__all__ = ["VARIABLE", "WITHOUT", "Reference", "references"]

VARIABLE = "FLANNELD_REFERENCE"
WITHOUT = f"{VARIABLE} names no genuine flanneld: PATH, or several as PATH:PATH"


@dataclass(frozen=True)
class Reference:
    path: Path
    version: str

    @property
    def etcd_api(self) -> EtcdApi:
        """The one that a flannel of this version speaks."""
        return etcd_api_of(parse_version(self.version))


def references() -> list[Reference]:
    """Those that are named. A wrong name is an error: tests that somebody asked for are not skipped."""
    return list(_named(os.environ.get(VARIABLE, "")))


def _named(value: str) -> Iterator[Reference]:
    for name in filter(None, value.split(":")):
        path = Path(name).expanduser().resolve()
        try:
            said = subprocess.run([path, "-version"], capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError) as error:
            raise pytest.UsageError(f"{VARIABLE}: asking {path} for its -version: {error}") from error
        lines = (said.stderr + said.stdout).strip().splitlines()
        if not lines:
            raise pytest.UsageError(f"{VARIABLE}: {path} -version prints nothing; it is no flanneld")
        yield Reference(path, lines[-1].removeprefix("v"))
