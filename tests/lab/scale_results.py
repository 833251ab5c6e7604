"""What a run of `lab scale` may have found."""

from collections.abc import Sequence

from lab.scale.figures import Measured, Moment, Phase, Results, Usage
from lab.scale.plan import Program, Settings

__all__ = ["measured", "scale_results", "usage"]


def usage(**members: float) -> Usage:
    """What a process takes, but for what is said otherwise."""
    usual = {"cpu": 0.1, "pss": 11e6, "rss": 55e6, "sockets": 5, "descriptors": 16, "threads": 12}
    return Usage(**{**usual, **members})  # type: ignore[arg-type]


def measured(nodes: int, seconds: float = 10.0, cpu: float = 0.1, **members: float) -> Measured:
    """A cluster that was measured to the end; `members` are of every node's usage."""
    return Measured(
        nodes,
        tuple(Phase(moment, seconds, cpu, 2.0, 5e6, 700.0, {"nodes that died": 3}) for moment in Moment),
        usage=(usage(**members),) * nodes,
        etcd=(usage(),),
    )


def scale_results(*found: Measured, settings: Settings | None = None, forks: bool = True) -> Results:
    """Of these; else of one that was measured to the end, and one that was not."""
    failed = Measured(4, (), usage=(usage(),) * 4, etcd=(usage(),), failure="n2 lacks a lease", refused=7)
    these: Sequence[Measured] = found or (measured(3), failed)
    return Results(
        settings or Settings(tuple(item.nodes for item in these)),
        Program() if forks else Program("/opt/flanneld", "flannel 0.20.2", forks=False),
        tuple(these),
        {"kernel": "Linux 6.18", "load before": "1.0"},
    )
