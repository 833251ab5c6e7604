"""Prints the peers of flannel-wg: endpoint, subnets, preshared key. There is no wg(8) on a machine."""

import json
import sys

sys.path.insert(0, "/usr/lib/flanneld")
from flanneld_py.kernel import wireguard

found = wireguard.peers("flannel-wg")
print(
    json.dumps(
        {
            key: {
                "endpoint": f"{peer.endpoint}:{peer.port}",
                "allowed": [str(network) for network in peer.allowed],
                "psk": peer.psk,
            }
            for key, peer in found.items()
        }
    )
)
