"""Leases in etcd v3, as flannel since 0.18 keeps them."""

from flanneld_py.options import Options
from flanneld_py.registry.access import credentials_of, prefix_of
from flanneld_py.registry.etcd.registry import EtcdRegistry
from flanneld_py.registry.etcd_common import location

__all__ = ["EtcdRegistry", "location", "open_registry"]


def open_registry(options: Options, network: str = "") -> EtcdRegistry:
    """See `choose.open_registry`."""
    return EtcdRegistry(options.etcd_endpoints, prefix_of(options, network), credentials_of(options))
