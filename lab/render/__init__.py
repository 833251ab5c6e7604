"""What a person reads: values in, text out. Plain aligned columns.

`width` is that of the terminal; None, as in a pipe, lets lines be as long as they are.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.render.bundle_end import bundle
    from lab.render.listings import images, labs, plan, status
    from lab.render.pod_table import age, pods
    from lab.render.replay import replay_summary, step
    from lab.render.report import findings, up
    from lab.render.text import table

__all__ = [
    "age",
    "bundle",
    "findings",
    "images",
    "labs",
    "plan",
    "pods",
    "replay_summary",
    "status",
    "step",
    "table",
    "up",
]

HOMES = {
    "bundle_end": ("bundle",),
    "listings": ("images", "labs", "plan", "status"),
    "pod_table": ("age", "pods"),
    "replay": ("replay_summary", "step"),
    "report": ("findings", "up"),
    "text": ("table",),
}
HOME = {name: module for module, names in HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """What writes it, on first use: most verbs write one thing, and need not know what others write about."""
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lab.render.{HOME[name]}"), name)
