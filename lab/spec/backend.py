"""The part of flannel's configuration that says how packets travel."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from lab.spec.network import lower

__all__ = ["BackendSpec", "backend_of"]

DEFAULT_VNI = 1
"""flannel's, on Linux."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """`Backend` of flannel's network configuration."""

    type: str
    """In lower case, such as vxlan; udp where the configuration names none, as in flannel."""
    vni: int = DEFAULT_VNI
    """vxlan: the network's number, which is part of its device's name."""
    mtu: int | None = None
    """vxlan: of the underlay, where it is not to be taken from the interface."""
    direct_routing: bool = False
    """vxlan and ipip: a peer on the same network is reached without a tunnel."""

    @property
    def bare(self) -> bool:
        """Whether packets from pod to pod cross the machines' network under the pods' own addresses."""
        return self.type in {"host-gw", "alloc", "extension"} or self.direct_routing


def backend_of(config: str) -> BackendSpec:
    """The backend of a network configuration, which must be a JSON object."""
    backend = lower(json.loads(config)).get("backend")
    if not isinstance(backend, Mapping):
        return BackendSpec("udp")
    keys = lower(backend)
    vni, mtu = keys.get("vni", DEFAULT_VNI), keys.get("mtu")
    return BackendSpec(
        type=str(keys.get("type", "")).lower(),
        vni=vni if isinstance(vni, int) else DEFAULT_VNI,
        mtu=mtu if isinstance(mtu, int) and mtu else None,
        direct_routing=keys.get("directrouting") is True,
    )
