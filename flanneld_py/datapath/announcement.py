"""What a node of the udp backend announces besides its lease, at `{prefix}-ext/udp/<subnet key>`. Pure.

The lease itself stays byte for byte as flannel writes it, and genuine flannel never reads this key.
"""

import json
from dataclasses import dataclass
from typing import Final

from flanneld_py.datapath.forward import OVERHEAD
from flanneld_py.kernel.limits import LOWEST_MTU

__all__ = ["Announcement"]

HIGHEST_MTU: Final = 65535
"""Maximum length in bytes of an IPv4 packet, here the outer one (RFC 791). The MTU of lo, say, may be larger.
"""


@dataclass(frozen=True, slots=True)
class Announcement:
    """The announced capabilities of a node.

    `mtu` is the MTU in bytes of the node's external interface, or None if it announces none. `fast_path` says
    whether it accepts super-packets whole (see `fast_path`), which requires support in its kernel.
    """

    mtu: int | None = None
    fast_path: bool = False

    def encode(self) -> bytes:
        """Encode as JSON, such as {"MTU":1500,"FastPath":true}."""
        said: dict[str, int | bool] = {}
        if self.mtu is not None:
            said["MTU"] = min(self.mtu, HIGHEST_MTU)
        if self.fast_path:
            said["FastPath"] = True
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Announcement":
        """Decode an announcement; a malformed or implausible value counts as not announced."""
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
        """Return the inner MTU, in bytes, of the path to this node; `own` is that of our interface."""
        return min(own, (HIGHEST_MTU if self.mtu is None else self.mtu) - OVERHEAD)
