"""Pods, as kubectl lists them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lab.pods import RunningPod
from lab.render.text import table

__all__ = ["age", "pods"]


def age(created: datetime, now: datetime) -> str:
    """How long ago, as kubectl writes it: 45s, 3m20s, 10m, 5h, 2d3h, 9d."""
    seconds = max(0, int((now - created) / timedelta(seconds=1)))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m" + (f"{seconds % 60}s" if seconds % 60 else "")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")
    return f"{days}d"


def pods(
    found: Sequence[RunningPod],
    *,
    wide: bool = False,
    now: datetime | None = None,
    width: int | None = None,
) -> str:
    """`kubectl get pods`, with `-o wide` if `wide`."""
    if not found:
        return "No pods."
    now = now or datetime.now(UTC)
    header = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"] + (["IP", "NODE"] if wide else [])
    rows = [
        [pod.name, pod.ready, pod.status, str(pod.restarts), age(pod.created, now)]
        + ([_addresses(pod), pod.node] if wide else [])
        for pod in found
    ]
    return table(header, rows, width)


def _addresses(pod: RunningPod) -> str:
    """Those that it has."""
    found = [str(address) for address in (pod.address, pod.address6) if address is not None]
    return "\n".join(found) or "<none>"
