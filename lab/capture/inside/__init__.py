"""The program that sees packets on a machine: the modules here. Its argument says what and where, as JSON."""

from lab.inside import Installed

__all__ = ["PROGRAM"]

PROGRAM = Installed(
    "capture",
    "lab.capture.inside.main",
    {
        "lab": ("labels",),
        "lab.capture.inside": ("devices", "happenings", "main", "pods", "tap"),
        "lab.soak.inside": ("record",),
        "lab.trace.inside": ("namespaces",),
    },
)
