"""Every flag by its name: those of the options, and those of flannel that do nothing here; the commands."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from flanneld_py.options.model import Options
from flanneld_py.options.option import Flag, Kind, declared

__all__ = ["ALL_OPTIONS", "COMMANDS", "FLAGS", "IDLE", "KUBERNETES", "flags_of", "variable"]

ALL_OPTIONS: Final = declared(fields(Options))
"""In the order of the declarations."""

FLAGS: Final[Mapping[str, Flag]] = {
    name: flag for name, flag in sorted(ALL_OPTIONS.items()) if not flag.command
}
"""Those that may stand anywhere, in the order of -help."""

IDLE: Final[Mapping[str, tuple[Kind, str]]] = {
    "alsologtostderr": ("bool", ""),
    "log_backtrace_at": ("string", "-v=1 shows where an error came from"),
    "log_dir": ("string", "the log goes to standard error: redirect that"),
    "logtostderr": ("bool", ""),
    "stderrthreshold": ("string", "the whole log goes to standard error"),
    "vmodule": ("string", "-v is for all modules"),
}
"""glog's own flags, which old unit files have: accepted, with what to use instead.

Two of them need no replacement: the log goes to standard error anyway.
"""

KUBERNETES: Final[Mapping[str, tuple[Kind, str]]] = {
    "kube-annotation-prefix": ("string", "leases are keys in etcd: use -etcd-prefix"),
    "kube-api-url": ("string", "leases are kept in etcd: use -etcd-endpoints"),
    "kube-subnet-mgr": (
        "bool", "leases are kept in etcd, not in Kubernetes: leave it out and use -etcd-endpoints",
    ),
    "kubeconfig-file": (
        "string", "to get into etcd, use -etcd-certfile and -etcd-keyfile, or -etcd-username",
    ),
    "net-config-path": (
        "string", "the network configuration is the key config below -etcd-prefix in etcd",
    ),
    "set-node-network-unavailable": (
        "bool", "there is no Kubernetes node to mark: use -healthz-port and ask for /readyz",
    ),
}  # fmt: skip
"""Flags of flannel's Kubernetes mode, which is not supported: refused, with what to use instead."""

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "check-config": ("FILE|-", "validate a network configuration and show what it results in"),
    "leases": ("[--json]", "list the leases"),
    "cleanup": ("", "remove the devices, routes and rules that flanneld left behind"),
}
"""The commands, with their arguments and what they do."""


def flags_of(command: str) -> Mapping[str, Flag]:
    """The flags that only this command takes."""
    return {name: flag for name, flag in ALL_OPTIONS.items() if command and flag.command == command}


def variable(name: str) -> str:
    """The environment variable of a flag."""
    return "FLANNELD_" + name.upper().replace("-", "_")
