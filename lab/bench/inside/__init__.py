"""Programs that run inside the container. Each is one file of the standard library alone."""

__all__ = ["FILES"]

FILES = {name: f"/usr/local/lib/lab-bench/{name}.py" for name in ("agent", "probe", "stream")}
"""Name of a module here -> its path in the container."""
