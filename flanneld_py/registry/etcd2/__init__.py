"""Leases in etcd v2, as flannel up to 0.17 keeps them."""

from flanneld_py.options import Options
from flanneld_py.registry.access import credentials_of, prefix_of
from flanneld_py.registry.etcd2.registry import Etcd2Registry
from flanneld_py.registry.etcd_common import location

__all__ = ["Etcd2Registry", "location", "open_registry"]


def open_registry(options: Options, network: str = "") -> Etcd2Registry:
    """See `choose.open_registry`."""
    return Etcd2Registry(options.etcd_endpoints, prefix_of(options, network), credentials_of(options))
