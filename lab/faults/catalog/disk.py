"""Faults of disks: a folder of a machine is full, or read-only."""

from lab.faults.catalog.kernel import on_each
from lab.faults.options import Option, path
from lab.faults.plan import Ask, Plan
from lab.faults.registry import state
from lab.faults.targets import nodes

PATH = Option("path", path, "Which folder.", "PATH", "/run/flannel")
SAID = "flanneld says that it cannot write subnet.env, and the file is never half written"


@state(
    "disk-full", nodes(), does="A folder, by default that of subnet.env, is full", holds=SAID, options=[PATH]
)
def disk_full(ask: Ask) -> Plan:
    """A small tmpfs over it, with what was in it; ended, the folder is as it was before."""
    return on_each(ask, "disk-full", path=ask.options["path"])


@state(
    "disk-read-only",
    nodes(),
    does="A folder, by default that of subnet.env, cannot be written",
    holds=SAID,
    options=[PATH],
)
def disk_read_only(ask: Ask) -> Plan:
    """Mounted over itself; what has a file open for writing keeps it."""
    return on_each(ask, "disk-read-only", path=ask.options["path"])
