"""What a person reads: values in, text out. Plain aligned columns.

`width` is that of the terminal; None, as in a pipe, lets lines be as long as they are.
"""

from lab.render.bundle import bundle
from lab.render.listings import images, labs, plan, status
from lab.render.pods import age, pods
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
