"""What runs inside the container: one file of the standard library alone, handed to its Python as text."""

from importlib.resources import files

__all__ = ["agent"]


def agent() -> list[str]:
    """The command that runs the agent; isolated, as `flanneld` is, which it may become."""
    source = files(__name__).joinpath("agent.py").read_text(encoding="utf-8")
    return ["/usr/bin/python3", "-I", "-c", source]
