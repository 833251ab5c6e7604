"""The kernel's network stack: devices, addresses, routes, neighbours, FDB. Only this package talks to it.

It uses rtnetlink through a codec of our own: a general library takes longer per message than the kernel does,
and 0.1 s and 20 MB to import, on every machine of a cluster at boot. Only WireGuard, which few machines use,
is left to that library.
"""

from flanneld_py.kernel.privileges import require_net_admin

__all__ = ["require_net_admin"]
