"""Prints what this machine's Docker says of all its containers, as `docker inspect` does.

A Docker that does not run, or hangs, has left most of it in files, under the same names. Arguments: the
seconds that it has for an answer, and the folder of its files.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def docker(*words: str, within: float) -> str:
    """What it prints. Raises `subprocess.SubprocessError`."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=within)
    return done.stdout


def inspected(within: float) -> Any:
    """What Docker itself says. Raises `subprocess.SubprocessError`."""
    identifiers = docker("ps", "--all", "--quiet", "--no-trunc", within=within).split()
    return json.loads(docker("inspect", *identifiers, within=within)) if identifiers else []


def kept(folder: Path) -> list[Any]:
    """What Docker has written down of each container, those that are just being made left out."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*/config.v2.json"))]


def main() -> None:
    """Print it as JSON."""
    try:
        told = inspected(float(sys.argv[1]))
    except subprocess.SubprocessError:
        told = kept(Path(sys.argv[2]))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
