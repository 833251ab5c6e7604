"""The kernel's network: devices, addresses, routes, neighbours; the only package that imports `pyroute2`."""

from flanneld_py.kernel.external import Interface, external_interface
from flanneld_py.kernel.links import configure
from flanneld_py.kernel.privileges import require_net_admin

__all__ = ["Interface", "configure", "external_interface", "require_net_admin"]
