"""A program that machines have, on this one."""

from pathlib import Path

from lab.inside import Installed

__all__ = ["installed"]


def installed(program: Installed, folder: Path) -> Path:
    """Its own folder, below this one."""
    for path, text in program.texts().items():
        file = folder / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / program.folder.removeprefix("/")
