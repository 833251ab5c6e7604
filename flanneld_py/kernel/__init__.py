"""The kernel's network: devices, addresses, routes, neighbours, FDB. Nothing else speaks with it.

It is rtnetlink by a codec of our own: a general library takes longer for a message than the kernel does, and
0.1 s and 20 MB to import, which every machine of a cluster pays at boot. Only WireGuard, which few machines
ask for, is left to that library.
"""

from flanneld_py.kernel.privileges import require_net_admin

__all__ = ["require_net_admin"]
