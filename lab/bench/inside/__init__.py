"""Programs that run inside the container. Each is a single file that uses only the standard library."""

from collections.abc import Mapping
from importlib.resources import files

from lab.engine import FileContent

__all__ = ["FILES", "programs"]

FILES = {name: f"/usr/local/lib/lab-bench/{name}.py" for name in ("probe", "stream")}
"""Name of a module here -> its path in the container."""


def programs() -> Mapping[str, FileContent]:
    """All of them, by their paths."""
    here = files(__name__)
    return {path: FileContent(here.joinpath(f"{name}.py").read_bytes()) for name, path in FILES.items()}
