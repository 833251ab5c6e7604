"""Readiness and state, in words and as JSON data, from what the daemon wrote on its boards."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flanneld_py.lease.admission import Refusals
from flanneld_py.lease.model import Lease
from flanneld_py.monitor.statistics import Flow
from flanneld_py.monitor.status import Board

__all__ = ["health", "readiness", "state"]


def health() -> tuple[HTTPStatus, str]:
    """That the process lives; flannel's own words."""
    return HTTPStatus.OK, "flanneld is running\n"


def readiness(boards: Sequence[Board], now: float) -> tuple[HTTPStatus, str]:
    """Whether every network has a lease and carries packets; `now` in the boards' seconds.

    A registry that is away does not end that, nor does a machine that is late: it is still ready, and says
    that it is degraded and why.
    """
    waiting = [f"{_title(board)}{_waiting(board)}" for board in boards if not board.ready]
    if waiting:
        return HTTPStatus.SERVICE_UNAVAILABLE, f"flanneld is not ready yet: {'; '.join(waiting)}\n"
    degraded = [f"{_title(board)}{why}" for board in boards if (why := board.degraded(now))]
    if degraded:
        return HTTPStatus.OK, f"flanneld is ready, degraded: {'; '.join(degraded)}\n"
    return HTTPStatus.OK, "flanneld is ready\n"


def state(boards: Sequence[Board], now: float, version: str) -> dict[str, object]:
    """Everything, as JSON data; `now` in the boards' seconds."""
    return {"version": version, "networks": [_network(board, now) for board in boards]}


def _title(board: Board) -> str:
    return f"network {board.name}: " if board.name else ""


def _waiting(board: Board) -> str:
    doing = board.doing or board.lacking or "its lease is lost"
    why = "; ".join(filter(None, (board.trouble, board.unfenced)))
    return f"{doing} ({why})" if why else doing


def _network(board: Board, now: float) -> dict[str, object]:
    subnet, left = board.subnet, board.expires_at - now  # another thread may take the subnet away
    return {
        "name": board.name,
        "ready": board.ready,
        "degraded": bool(board.degraded(now)),
        "doing": board.doing,
        "trouble": board.trouble,
        "unfenced": board.unfenced,
        "lacking": board.lacking,
        "backend": board.backend,
        "mtu": board.mtu,
        "lease": None
        if subnet is None
        else {
            "subnet": _text(subnet.ipv4),
            "ipv6_subnet": _text(subnet.ipv6),
            "reservation": left == math.inf,
            "seconds_left": None if left == math.inf else round(left, 3),
        },
        "registry_silent_seconds": None if math.isinf(board.heard_at) else round(now - board.heard_at, 3),
        "watch_lag_seconds": round(board.lag(now), 3),
        "counters": {
            "leases_acquired": board.acquired,
            "leases_lost": board.lost,
            "renewals": board.renewed,
            "renewal_failures": board.renewal_failures,
            "watches_begun": board.watches,
            "firewall_repairs": board.filter_repairs,
            "device_and_file_repairs": board.repairs,
        },
        "traffic": _traffic(board),
        "refused_leases": _refused(board.refusals),
        "peers": [_peer(lease) for lease in sorted(board.peers(), key=lambda lease: lease.subnet)],
    }


def _traffic(board: Board) -> dict[str, object]:
    try:
        done = board.statistics()
    except OSError as error:
        return {"unreadable": error.strerror or str(error)}
    return {
        "sent": _flows(done.sent),
        "received": _flows(done.received),
        "dropped": dict(done.dropped),
        "repairs": done.repairs,
        "ways": dict(done.ways),
    }


def _flows(flows: Mapping[str, Flow]) -> dict[str, object]:
    return {peer: {"packets": flow.packets, "bytes": flow.bytes} for peer, flow in flows.items()}


def _peer(lease: Lease) -> dict[str, object]:
    return {
        "subnet": _text(lease.subnet.ipv4),
        "ipv6_subnet": _text(lease.subnet.ipv6),
        "public_ip": _text(lease.attrs.public.ipv4),
        "public_ipv6": _text(lease.attrs.public.ipv6),
        "backend_type": lease.attrs.backend_type,
    }


def _refused(refusals: Refusals) -> dict[str, object]:
    """Leases that are no peer's: all of them by the fault, and the first few with the reason."""
    return {
        "by_fault": dict(refusals.counts),
        "some": [{**_peer(lease), "reason": reason} for lease, reason in refusals.some],
    }


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
