"""Removes the peer with this key from flannel-wg, as somebody with wg(8) could."""

import sys

sys.path.insert(0, "/usr/lib/flanneld")
from pyroute2 import WireGuard

with WireGuard() as wg:
    wg.set("flannel-wg", peer={"public_key": sys.argv[1], "remove": True})
