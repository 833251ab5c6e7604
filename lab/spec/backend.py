"""The backend part of flannel's configuration."""

import json
from collections.abc import Mapping

from lab.backends import BackendConfig
from lab.backends.model import DEFAULT_VNI
from lab.spec.network import lower

__all__ = ["backend_of"]


def backend_of(config: str) -> BackendConfig:
    """Return the backend of a network configuration, which must be a JSON object."""
    backend = lower(json.loads(config)).get("backend")
    if not isinstance(backend, Mapping):
        return BackendConfig("udp")
    keys = lower(backend)
    port = keys.get("port") or keys.get("listenport")  # wireguard's name for it
    vni, mtu = keys.get("vni", DEFAULT_VNI), keys.get("mtu")
    return BackendConfig(
        type=str(keys.get("type", "")).lower(),
        vni=vni if isinstance(vni, int) else DEFAULT_VNI,
        mtu=mtu if isinstance(mtu, int) and mtu else None,
        direct_routing=keys.get("directrouting") is True,
        mode=str(keys.get("mode") or "separate"),
        port=port if isinstance(port, int) else None,
    )
