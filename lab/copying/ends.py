"""Machines and pods as the one end of a copy: what is asked there, and what reads and writes there. Pure."""

import base64
import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.copying.paths import Kind

__all__ = ["End", "InPod", "OnMachine"]

# The engine's archive interface does not see what systemd has mounted: /run and /tmp, so no subnet.env. So it
# is the machine's own tar that reads and writes.
LOOK = """\
if [ -d "$0" ]; then echo folder; elif [ -e "$0" ] || [ -L "$0" ]; then echo file; fi
"""
LOOK_AT_LINKS = f'if [ -L "$0" ]; then echo link; exit; fi; {LOOK}'

LOOK_IN_POD = """\
for path; do
    curl --silent --head --get --unix-socket /run/docker.sock --data-urlencode "path=$path" "$0"
done
"""
STAT = re.compile(r"(?im)^X-Docker-Container-Path-Stat:\s*(\S+)")
IS_FOLDER, IS_LINK = 1 << 31, 1 << 27
"""ModeDir and ModeSymlink of Go's io/fs, in which Docker tells modes."""


class End(Protocol):
    """A machine's files, or a pod's, by commands on the machine."""

    @property
    def copied_while_changing(self) -> int:
        """The exit status of what reads where a file has changed meanwhile; 0 if that is not told."""

    def look(self, path: str, *, follow: bool) -> Sequence[str]:
        """The command whose output `kind` reads."""

    def kind(self, output: str) -> Kind:
        """What a path leads to."""

    def read(self, path: str) -> Sequence[str]:
        """The command that prints a file or folder as a tar, below its own name."""

    def write(self, folder: str) -> Sequence[str]:
        """The command that writes what is in a tar into a folder."""


@dataclass(frozen=True, slots=True)
class OnMachine:
    """A machine's own files."""

    copied_while_changing: int = 1

    def look(self, path: str, *, follow: bool) -> Sequence[str]:
        """By its shell."""
        return ["sh", "-c", LOOK if follow else LOOK_AT_LINKS, path]

    def kind(self, output: str) -> Kind:
        """The word that was printed, if any."""
        word = output.strip()
        return word if word in ("file", "folder", "link") else "absent"  # type: ignore[return-value]

    def read(self, path: str) -> Sequence[str]:
        """By tar."""
        folder, name = posixpath.split(path)
        return ["tar", "--create", "--file=-", f"--directory={folder}", "--", name or "."]

    def write(self, folder: str) -> Sequence[str]:
        """By tar."""
        return ["tar", "--extract", "--file=-", f"--directory={folder}", "--same-permissions"]


@dataclass(frozen=True, slots=True)
class InPod:
    """The files of a pod's container, by the machine's Docker: the container needs no program for it."""

    container: str
    copied_while_changing: int = 0

    def look(self, path: str, *, follow: bool) -> Sequence[str]:
        """By Docker's interface: its own program does not tell."""
        url = f"http://docker/containers/{self.container}/archive"
        # What is no folder has nothing below it: then it is asked for itself.
        asked = [f"{path.rstrip('/')}/.", path] if follow else [path]
        return ["sh", "-c", LOOK_IN_POD, url, *asked]

    def kind(self, output: str) -> Kind:
        """By the first answer that tells a mode."""
        if (found := STAT.search(output)) is None:
            return "absent"
        mode = json.loads(base64.b64decode(found[1]))["mode"]
        if mode & IS_LINK:
            return "link"
        return "folder" if mode & IS_FOLDER else "file"

    def read(self, path: str) -> Sequence[str]:
        """By Docker's own program."""
        return ["docker", "cp", f"{self.container}:{path}", "-"]

    def write(self, folder: str) -> Sequence[str]:
        """By Docker's own program."""
        return ["docker", "cp", "-", f"{self.container}:{folder}"]
