"""The registry that the options ask for; its module is imported only then."""

from flanneld_py.options import Options
from flanneld_py.registry import Registry
from flanneld_py.registry.access import Credentials
from flanneld_py.registry.store import Store

__all__ = ["open_registry", "open_store", "prefix_of"]


def open_registry(options: Options, network: str = "") -> Registry:
    """The registry of one network, by its name in -networks; empty for the only one. Raises `Fatal`."""
    if options.remote:
        from flanneld_py.registry.remote import RemoteRegistry

        files = Credentials(options.remote_cafile, options.remote_certfile, options.remote_keyfile)
        return RemoteRegistry(options.remote, network, files)
    return open_store(options, network)


def open_store(options: Options, network: str = "") -> Store:
    """Likewise, of etcd itself."""
    credentials = Credentials(
        options.etcd_cafile,
        options.etcd_certfile,
        options.etcd_keyfile,
        options.etcd_username,
        options.etcd_password,
    )
    prefix = prefix_of(options, network)
    if options.etcd_api == "v2":
        from flanneld_py.registry.etcd2 import Etcd2Registry

        return Etcd2Registry(options.etcd_endpoints, prefix, credentials)
    from flanneld_py.registry.etcd import EtcdRegistry

    return EtcdRegistry(options.etcd_endpoints, prefix, credentials)


def prefix_of(options: Options, network: str = "") -> str:
    """Where the network's keys are: `/coreos.com/network/blue` for -networks=blue."""
    return f"{options.etcd_prefix}/{network}" if network else options.etcd_prefix
