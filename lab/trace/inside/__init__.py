"""The program that a machine is asked with while a way is traced: the modules here."""

from lab.inside import Installed

__all__ = ["PROGRAM"]

PROGRAM = Installed(
    "trace",
    "lab.trace.inside.main",
    {
        "lab.packet_filter": ("questions",),
        "lab.bpf": ("call", "code"),
        "lab.trace.inside": (
            "btf", "drop_program", "drops", "main", "namespaces", "probes", "rules", "state", "taps",
        ),
    },
)  # fmt: skip
