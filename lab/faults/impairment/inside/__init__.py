"""The program that impairs packets on a node: a few of our modules, which need Python's library alone."""

from lab.inside import Installed

__all__ = ["PROGRAM"]

CORE = ("evidence", "line", "model", "pipeline", "plan", "seen", "selector", "status", "units", "xdp")
INSIDE = ("bpf", "delay_line", "impair", "kernel", "perform", "records", "tap", "verbs")

PROGRAM = Installed(
    "impair",
    "lab.faults.impairment.inside.impair",
    {
        "lab": ("errors", "suggest", "wait"),
        "lab.bpf": ("call", "code"),
        "lab.faults.impairment": CORE,
        "lab.faults.impairment.inside": INSIDE,
    },
)
