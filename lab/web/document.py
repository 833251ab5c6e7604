"""The document of `/api/state`: everything that the page shows of a lab at one moment. Pure."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lab.observe.model import Lease, Observation
from lab.render import faults as render_faults
from lab.render.documents import Document, pod_state, status, versioned
from lab.render.shapes import ShownNode
from lab.web.links import links
from lab.web.model import Link, Rate, Seen

__all__ = ["state"]


NOWHERE = (None, "", "0.0.0.0", "::")  # noqa: S104 - an overlay of the other family alone has these
"""What a lease names where it has no address of a family."""


def state(seen: Seen, nodes: Iterable[ShownNode]) -> Document:
    """`nodes` are those of `lab status`, from the same observation."""
    observation = seen.observation
    told = status(seen.lab, seen.complete, nodes, ())
    traffic = {name: devices for name, devices, _ in seen.rates()}
    faults = render_faults.document_of_status(seen.lab, seen.faults) if seen.faults is not None else None
    return versioned(
        {
            "lab": seen.lab,
            "at": seen.at.isoformat(),
            "problem": seen.problem or None,
            "complete": seen.complete,
            "overlay": _overlay(observation),
            "segments": _segments(observation),
            "nodes": [_node(seen, node, traffic.get(node["name"], {})) for node in told["nodes"]],
            "pods": [pod_state(pod) for pod in seen.pods],
            "leases": _leases(observation),
            "leasesAt": _time(seen.leases_at),
            "faults": faults["faults"] if faults is not None else None,
            "faultsSilent": faults["silent"] if faults is not None else [],
            "faultsAt": _time(seen.faults_at),
            "links": [_link(link) for link in links(seen)],
        }
    )


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _overlay(seen: Observation | None) -> Document | None:
    if seen is None:
        return None
    networks = [str(network) for network in seen.spec.networks.values()]
    return {"networks": networks, "backend": seen.spec.backend_config.type if seen.spec.minions else None}


def _segments(seen: Observation | None) -> list[Document]:
    if seen is None:
        return []
    return [
        {"name": name, "subnets": [str(network) for network in subnets.every]}
        for name, subnets in seen.segments.items()
    ]


def _node(seen: Seen, node: Mapping[str, Any], traffic: Mapping[str, Rate]) -> Document:
    """That of `lab status`, with what else is known of the machine."""
    name = node["name"]
    spec = seen.observation.node_spec(name) if seen.observation is not None else None
    watched = seen.watched.get(name)
    ready = watched.ready if watched is not None else None
    return {
        **node,
        "router": spec.router if spec is not None else False,
        "segments": [place.segment for place in spec.attachments] if spec is not None else [],
        "readiness": {"status": ready[0], "text": ready[1].strip()} if ready is not None else None,
        "devices": [{"name": device, **_rate(rate)} for device, rate in sorted(traffic.items())],
    }


def _rate(rate: Rate | None) -> Document:
    return {
        "receivedPerSecond": round(rate.received) if rate is not None else None,
        "sentPerSecond": round(rate.sent) if rate is not None else None,
    }


def _leases(seen: Observation | None) -> list[Document] | None:
    """None where no etcd has answered."""
    if seen is None or seen.leases is None:
        return None
    return [_lease(seen, lease) for lease in seen.leases]


def _lease(seen: Observation, lease: Lease) -> Document:
    try:
        value = json.loads(lease.value)
    except ValueError:
        value = {}
    told = value if isinstance(value, dict) else {}
    public = [str(told[key]) for key in ("PublicIP", "PublicIPv6") if told.get(key) not in NOWHERE]
    holders = {str(address): node.name for node in seen.minions for address in (node.address, node.address6)}
    return {
        "key": lease.key,
        "subnet": str(lease.subnet) if lease.subnet is not None else None,
        "subnet6": str(lease.subnet6) if lease.subnet6 is not None else None,
        "publicAddress": public[0] if public else None,
        "node": next((holders[address] for address in public if address in holders), None),
        "secondsLeft": lease.ttl if lease.ttl >= 0 else None,
    }


def _link(link: Link) -> Document:
    return {
        "id": link.id,
        "kind": link.kind,
        "from": link.one,
        "to": link.other,
        "state": link.state,
        "words": link.words,
        "ms": round(link.ms, 3) if link.ms is not None else None,
        "ageSeconds": link.age,
        **_rate(link.rate),
    }
