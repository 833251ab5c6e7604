"""The table of the lab files in examples/, for its README.md: what each says of itself."""

from pathlib import Path
from typing import Final

__all__ = ["table"]

FOLDER: Final = Path(__file__).parents[2] / "examples"


def table() -> str:
    """A row for each lab file."""
    files = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("*/lab.yaml")])
    lines = [f"| [{_name(path)}]({_name(path)}) | {_about(path)} |" for path in files]
    return "\n".join(["| lab file | what it is |", "|---|---|", *lines]) + "\n"


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def _about(path: Path) -> str:
    """The comment that a file begins with, without the line for editors."""
    _editors, _empty, *lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("# "))
    return " ".join(line.removeprefix("# ") for line in lines[:end])
