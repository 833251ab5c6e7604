"""Leases of a `flanneld -listen`."""

from flanneld_py.options import Options
from flanneld_py.registry.access import remote_credentials_of
from flanneld_py.registry.location import Location
from flanneld_py.registry.remote.registry import RemoteRegistry, url_of

__all__ = ["RemoteRegistry", "location", "open_registry"]


def open_registry(options: Options, network: str = "") -> RemoteRegistry:
    """See `choose.open_registry`."""
    return RemoteRegistry(options.remote, network, remote_credentials_of(options))


def location(options: Options, network: str = "") -> Location:
    """See `choose.location`. Where the server keeps its keys is not known here; it looks at etcd itself."""
    return Location(
        keys=url_of(options.remote, network, remote_credentials_of(options)),
        absent="the lease server has no {} yet: write the network's configuration into its etcd",
        urls=(options.remote,),
        announcements=False,  # flannel's protocol knows of none
    )
