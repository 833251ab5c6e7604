"""Programs of a folder `inside`, passed as text to a machine's Python; they use only its library."""

from importlib.resources import files
from types import ModuleType

__all__ = ["program"]


def program(folder: ModuleType, name: str, *arguments: str) -> list[str]:
    """The command that runs a module of that folder on a machine."""
    source = files(folder).joinpath(f"{name}.py").read_text(encoding="utf-8")
    return ["/usr/bin/python3", "-c", source, *arguments]
