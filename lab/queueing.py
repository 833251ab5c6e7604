"""Queueing disciplines that only queue: a kernel or a distribution sets them by itself. Pure."""

__all__ = ["ONLY_QUEUE"]

ONLY_QUEUE = frozenset({
    "noqueue", "noop", "pfifo_fast", "pfifo", "bfifo", "mq", "fq", "fq_codel", "fq_pie", "cake", "codel",
    "clsact", "ingress",
})  # fmt: skip
"""By their kinds (tc(8)); net.core.default_qdisc may be any of the classless ones."""
