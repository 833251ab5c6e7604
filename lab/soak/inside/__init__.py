"""The workload, passed as text to the Python of a machine. It uses only the standard library."""

from importlib.resources import files

__all__ = ["program"]


def program(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this folder on a machine."""
    source = files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8")
    return ["/usr/bin/python3", "-c", source, *arguments]
