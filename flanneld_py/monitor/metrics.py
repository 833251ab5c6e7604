"""The status as Prometheus metrics (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from flanneld_py.monitor.statistics import Statistics
from flanneld_py.monitor.status import NetworkStatus

__all__ = ["CONTENT_TYPE", "text"]

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Name, help text and getter; a counter's name gets the suffix _total.
_GAUGES: tuple[tuple[str, str, Callable[[NetworkStatus, float], float]], ...] = (
    ("flanneld_ready", "1 while a lease is held and packets are carried.", lambda b, _: b.ready),
    (
        "flanneld_degraded",
        "1 while the registry does not answer, or lease changes wait for more than 2 s.",
        lambda b, now: bool(b.degraded(now)),
    ),
    (
        "flanneld_unfenced",
        "1 while something of a lost lease is still in place because it cannot be removed.",
        lambda b, _: bool(b.unfenced),
    ),
    ("flanneld_peers", "Leases of other machines.", lambda b, _: len(b.peers())),
    ("flanneld_mtu_bytes", "MTU of inner packets, in bytes.", lambda b, _: b.mtu),
    (
        "flanneld_lease_seconds_left",
        "Seconds until our lease expires; +Inf for a reservation, 0 without a lease.",
        lambda b, now: max(0.0, b.expires_at - now) if b.ready else 0.0,
    ),
    (
        "flanneld_registry_silent_seconds",
        "Seconds since the last answer or event from the registry.",
        lambda b, now: math.nan if math.isinf(b.heard_at) else now - b.heard_at,
    ),
    (
        "flanneld_watch_lag_seconds",
        "Seconds that the oldest pending lease change has waited; if none is pending, that the last one did.",
        lambda b, now: b.lag(now),
    ),
)
_COUNTERS: tuple[tuple[str, str, Callable[[NetworkStatus], int]], ...] = (
    ("flanneld_leases_acquired", "Leases acquired.", lambda b: b.acquired),
    ("flanneld_leases_lost", "Leases deleted, taken, or not renewed in time.", lambda b: b.lost),
    ("flanneld_lease_renewals", "Lease renewals.", lambda b: b.renewed),
    (
        "flanneld_lease_renewal_failures",
        "Lease renewals that failed and are retried.",
        lambda b: b.renewal_failures,
    ),
    ("flanneld_watches", "Watches started.", lambda b: b.watches),
    ("flanneld_device_repairs", "Repairs of devices and files.", lambda b: b.repairs),
    (
        "flanneld_firewall_repairs",
        "Repairs of filter rules, blackhole routes.",
        lambda b: b.filter_repairs,
    ),
)


def text(statuses: Sequence[NetworkStatus], now: float, version: str) -> bytes:
    """Render all metrics of all networks; the label `network` is a network's name, empty for the only one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(statuses, now, version))
    return generate_latest(registry)


class _StatusCollector(Collector):
    """Collects the metrics once."""

    def __init__(self, statuses: Sequence[NetworkStatus], now: float, version: str) -> None:
        self._statuses = statuses
        self._now = now
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield InfoMetricFamily("flanneld_build", "This flanneld.", {"version": self._version})
        lease = InfoMetricFamily("flanneld_lease", "Our lease.", labels=["network"])
        for status in self._statuses:
            if status.subnet is not None:
                lease.add_metric([status.name], {"subnet": str(status.subnet), "backend": status.backend})
        yield lease
        for name, words, gauge in _GAUGES:
            family = GaugeMetricFamily(name, words, labels=["network"])
            for status in self._statuses:
                family.add_metric([status.name], float(gauge(status, self._now)))
            yield family
        for name, words, counter in _COUNTERS:
            count = CounterMetricFamily(name, words, labels=["network"])
            for status in self._statuses:
                count.add_metric([status.name], counter(status))
            yield count
        refused = GaugeMetricFamily(
            "flanneld_refused_leases",
            "Leases of other machines that are refused, by fault.",
            labels=["network", "fault"],
        )
        for status in self._statuses:
            for fault, number in status.refusals.counts.items():
                refused.add_metric([status.name, fault], number)
        yield refused
        yield from _traffic(
            [(status.name, done) for status in self._statuses if (done := _statistics(status)) is not None]
        )


def _statistics(status: NetworkStatus) -> Statistics | None:
    """Read the backend's statistics; None if that fails (no free descriptor, say): the rest is reported."""
    try:
        return status.statistics()
    except OSError as error:
        logger.debug("Cannot read the statistics of a backend: %s", error)
        return None


def _traffic(networks: Sequence[tuple[str, Statistics]]) -> Iterator[Metric]:
    """Yield the metrics of the networks' backends."""
    ways = InfoMetricFamily("flanneld_backend", "How the backend carries packets.", labels=["network"])
    repairs = CounterMetricFamily(
        "flanneld_kernel_repairs",
        "Repairs of routes, neighbours and FDB entries.",
        labels=["network"],
    )
    labels = ["network", "direction", "peer"]
    packets = CounterMetricFamily(
        "flanneld_packets", "Packets carried, by peer; empty: all that are not current peers.", labels=labels
    )
    octets = CounterMetricFamily("flanneld_bytes", "Bytes carried, by peer, as for packets.", labels=labels)
    dropped = CounterMetricFamily(
        "flanneld_dropped_packets", "Packets dropped, by reason.", labels=["network", "reason"]
    )
    for name, done in networks:
        if done.ways:
            ways.add_metric([name], dict(done.ways))
        repairs.add_metric([name], done.repairs)
        for direction, flows in (("sent", done.sent), ("received", done.received)):
            for peer, flow in flows.items():
                packets.add_metric([name, direction, peer], flow.packets)
                octets.add_metric([name, direction, peer], flow.bytes)
        for reason, number in done.dropped.items():
            dropped.add_metric([name, reason], number)
    yield from (ways, repairs, packets, octets, dropped)
