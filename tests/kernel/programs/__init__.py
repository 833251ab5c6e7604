"""Programs that run in the container; each is a file of its own, by which they see each other not at all."""

from collections.abc import Mapping
from pathlib import Path

from lab.engine import FileContent

__all__ = ["files", "program"]

FOLDER = "/usr/local/lib/test-programs"


def program(name: str) -> str:
    """Where the container has it."""
    return f"{FOLDER}/{name}.py"


def files() -> Mapping[str, FileContent]:
    """All of them, by where the container has them."""
    here = Path(__file__).parent
    found = [path for path in here.glob("*.py") if path.stem != "__init__"]
    return {program(path.stem): FileContent(path.read_bytes()) for path in found}
