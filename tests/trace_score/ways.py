"""The labs that faults are started in: one of each kind."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lab import spec
from lab.flannel import EtcdApi
from tests.cluster.reference import Reference
from tests.trace_score.cases import ETCD, ONE, TWO

__all__ = ["PODS", "WAYS", "Way", "of_genuine"]

PODS = ("mysql02", "mysql01")
"""Who sends probes to whom: the first is on the first minion."""

OWN_DAEMON = Path(__file__).parents[2] / "examples" / "own-daemon"

UDP: Mapping[str, Any] = {}
VXLAN: Mapping[str, Any] = {"Backend": {"Type": "vxlan"}}
HOST_GW: Mapping[str, Any] = {"Backend": {"Type": "host-gw"}}


@dataclass(frozen=True)
class Way:
    """A kind of lab, and by which version of IP is traced there."""

    title: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of flannel's configuration, what differs."""
    family: Literal[4, 6] = 4
    options: Sequence[str] = ("-healthz-port=8290",)
    """flanneld's, besides its interface."""
    binary: Path | None = None
    """A flanneld that is not ours."""
    etcd_api: EtcdApi = "v3"
    flannel: bool = True
    """Whether there is one: without, a script sets up static routes (examples/own-daemon)."""
    members: bool = False
    """Whether all three machines are members of etcd, and not the first one alone."""

    @property
    def lab(self) -> spec.LabSpec:
        """As a lab file has it."""
        if not self.flannel:
            return spec.load(json.dumps(_without_flannel()), OWN_DAEMON / "lab.yaml")
        network: dict[str, Any] = {"Network": "10.2.0.0/16", **self.config}
        if self.family == 6:
            network |= {"EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56"}
        minion: dict[str, Any] = {"role": "minion"}
        if self.members:
            minion = {"services": ["etcd", "flanneld", "docker"]}
        if self.binary is not None:
            minion["flanneld"] = {"binary": str(self.binary)}
        nodes = [{"name": ETCD, "role": "master", "host": 51}]
        nodes += [{"name": name, "host": 52 + number, **minion} for number, name in enumerate((ONE, TWO))]
        flannel = {"config": network, "options": ["-iface=eth0", *self.options], "etcdApi": self.etcd_api}
        underlay = {"ipv6": self.family == 6}
        described = {"name": "score", "underlay": underlay, "nodes": nodes, "flannel": flannel}
        return spec.load(json.dumps(described), "score.yaml")


def _without_flannel() -> Mapping[str, Any]:
    """The example's cluster, with the names that the cases have, and pods."""
    unit = f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/{SCRIPT}\n"
    node = {
        "services": ["docker"],
        "docker": {"bip": "from-subnet-env"},
        "files": [{"path": f"/usr/local/bin/{SCRIPT}", "from": SCRIPT, "mode": "0755"}],
        "units": {f"{SCRIPT}.service": unit},
    }
    nodes = [{"name": name, "host": 52 + number, **node} for number, name in enumerate((ONE, TWO))]
    return {"name": "score", "nodes": nodes, "flannel": {"config": {"Network": "10.7.0.0/16"}}}


SCRIPT = "static-routes"

FAST_PATH = "-udp-fast-path"

WAYS = (
    Way("udp", UDP, options=("-healthz-port=8290", f"{FAST_PATH}=auto")),
    Way("udp, no fast path", UDP, options=("-healthz-port=8290", f"{FAST_PATH}=off")),
    Way("vxlan", VXLAN),
    Way("host-gw", HOST_GW),
    Way("vxlan, IPv6", VXLAN, family=6),
    Way("host-gw, IPv6", HOST_GW, family=6),
    Way("vxlan, three members of etcd", VXLAN, members=True),
    Way("no flannel", flannel=False),
)


def of_genuine(reference: Reference) -> Iterator[Way]:
    """The labs of a genuine flanneld: those of its age were of udp and host-gw, later ones of vxlan."""
    api = reference.etcd_api
    backends = {"udp": UDP, "host-gw": HOST_GW} if api == "v2" else {"vxlan": VXLAN}
    for name, config in backends.items():
        title = f"flannel {reference.version}, {name}"
        yield Way(title, config, options=(), binary=reference.path, etcd_api=api)
