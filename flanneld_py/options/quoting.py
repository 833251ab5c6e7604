"""Values in messages, as Go writes them."""

__all__ = ["quote"]


def quote(value: str) -> str:
    """Go's %q, as far as a command line needs it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
