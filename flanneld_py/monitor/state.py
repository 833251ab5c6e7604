"""Health, readiness and state of the daemon, as text and as JSON data, from its statuses."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flanneld_py.lease.admission import Refusals
from flanneld_py.lease.model import Lease
from flanneld_py.monitor.statistics import Flow
from flanneld_py.monitor.status import NetworkStatus

__all__ = ["health", "readiness", "state"]

SCHEMA_VERSION = 1
"""Of docs/schemas/flanneld-state.json: another one when a key goes, or means something else."""


def health() -> tuple[HTTPStatus, str]:
    """Report that the process is alive, in flannel's own words."""
    return HTTPStatus.OK, "flanneld is running\n"


def readiness(statuses: Sequence[NetworkStatus], now: float) -> tuple[HTTPStatus, str]:
    """Report whether every network has a lease and carries packets; `now` is in the statuses' seconds.

    An unavailable registry, or a machine that lags behind, does not change that: the daemon stays ready, and
    reports that it is degraded and why.
    """
    waiting = [f"{_title(status)}{_waiting(status)}" for status in statuses if not status.ready]
    if waiting:
        return HTTPStatus.SERVICE_UNAVAILABLE, f"flanneld is not ready yet: {'; '.join(waiting)}\n"
    degraded = [f"{_title(status)}{why}" for status in statuses if (why := status.degraded(now))]
    if degraded:
        return HTTPStatus.OK, f"flanneld is ready, degraded: {'; '.join(degraded)}\n"
    return HTTPStatus.OK, "flanneld is ready\n"


def state(statuses: Sequence[NetworkStatus], now: float, version: str) -> dict[str, object]:
    """Return the whole state as JSON data; `now` is in the statuses' seconds."""
    networks = [_network(status, now) for status in statuses]
    return {"schema_version": SCHEMA_VERSION, "version": version, "networks": networks}


def _title(status: NetworkStatus) -> str:
    return f"network {status.name}: " if status.name else ""


def _waiting(status: NetworkStatus) -> str:
    doing = status.doing or status.lacking or "its lease is lost"
    why = "; ".join(filter(None, (status.trouble, status.unfenced)))
    return f"{doing} ({why})" if why else doing


def _network(status: NetworkStatus, now: float) -> dict[str, object]:
    subnet, left = status.subnet, status.expires_at - now  # another thread may reset the subnet
    return {
        "name": status.name,
        "ready": status.ready,
        "degraded": bool(status.degraded(now)),
        "doing": status.doing,
        "trouble": status.trouble,
        "unfenced": status.unfenced,
        "lacking": status.lacking,
        "backend": status.backend,
        "mtu": status.mtu,
        "lease": None
        if subnet is None
        else {
            "subnet": _text(subnet.ipv4),
            "ipv6_subnet": _text(subnet.ipv6),
            "reservation": left == math.inf,
            "seconds_left": None if left == math.inf else round(left, 3),
        },
        "registry_silent_seconds": None if math.isinf(status.heard_at) else round(now - status.heard_at, 3),
        "watch_lag_seconds": round(status.lag(now), 3),
        "counters": {
            "leases_acquired": status.acquired,
            "leases_lost": status.lost,
            "renewals": status.renewed,
            "renewal_failures": status.renewal_failures,
            "watches_begun": status.watches,
            "firewall_repairs": status.filter_repairs,
            "device_and_file_repairs": status.repairs,
        },
        "traffic": _traffic(status),
        "refused_leases": _refused(status.refusals),
        "peers": [_peer(lease) for lease in sorted(status.peers(), key=lambda lease: lease.subnet)],
    }


def _traffic(status: NetworkStatus) -> dict[str, object]:
    try:
        done = status.statistics()
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
    """Return the refused leases: their number by fault, and the first few with the reason."""
    return {
        "by_fault": dict(refusals.counts),
        "some": [{**_peer(lease), "reason": reason} for lease, reason in refusals.some],
    }


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
