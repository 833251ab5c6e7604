"""A peer of a wireguard device, as it is set and as the kernel lists it (wg(8)). Pure."""

from dataclasses import dataclass

from flanneld_py.subnet import Address, Network

__all__ = ["WgPeer"]


@dataclass(frozen=True, slots=True)
class WgPeer:
    """Its public key, where it is sent to, and the subnets behind it; keys in base64, `keepalive` in seconds.

    One that is listed may have no `endpoint` yet. With `remove` only the key counts.
    """

    key: str
    endpoint: Address | None = None
    port: int = 0
    allowed: tuple[Network, ...] = ()
    psk: str = ""
    keepalive: int = 0
    remove: bool = False
