"""What a node of the udp backend says beside its lease, at `{prefix}-ext/udp/<subnet key>`. Pure.

The lease itself stays byte for byte as flannel writes it, and a genuine flannel never looks there.
"""

import json
from dataclasses import dataclass
from typing import Final

from flanneld_py.datapath.forward import OVERHEAD
from flanneld_py.kernel.limits import LOWEST_MTU

__all__ = ["Announcement"]

HIGHEST_MTU: Final = 65535
"""Bytes of the longest IPv4 packet (RFC 791), the outer one's; an interface, as lo, may take more."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """`mtu` is the node's own interface's, in bytes, None where it does not say.

    `fast_path`: it takes super-packets in one piece (see `fast_path`), which only its kernel can.
    """

    mtu: int | None = None
    fast_path: bool = False

    def encode(self) -> bytes:
        """As JSON, such as {"MTU":1500,"FastPath":true}."""
        said: dict[str, int | bool] = {}
        if self.mtu is not None:
            said["MTU"] = min(self.mtu, HIGHEST_MTU)
        if self.fast_path:
            said["FastPath"] = True
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Announcement":
        """What is said there; anything that cannot be meant so is as if it were not said."""
        try:
            said = json.loads(text or b"{}")
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(said, dict):
            return cls()
        mtu = said.get("MTU")
        sound = type(mtu) is int and LOWEST_MTU[4] + OVERHEAD <= mtu <= HIGHEST_MTU
        return cls(mtu if sound else None, said.get("FastPath") is True)

    def inner_mtu(self, own: int) -> int:
        """Bytes of the longest inner packet that the way to this node takes; `own` is our interface's."""
        return min(own, (HIGHEST_MTU if self.mtu is None else self.mtu) - OVERHEAD)
