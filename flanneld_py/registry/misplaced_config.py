"""A network configuration that is missing where we look, but is in etcd somewhere else.

Each of etcd's APIs has its own store: what `etcdctl set` writes through v2 cannot be seen through v3. And in
v3 `coreos.com/network` and `/coreos.com/network` are different keys.
"""

from dataclasses import replace
from typing import Final

from flanneld_py.errors import Fatal
from flanneld_py.options import Options
from flanneld_py.registry import RegistryUnavailable
from flanneld_py.registry.access import prefix_of
from flanneld_py.registry.choose import open_store

__all__ = ["advice"]

_OTHER: Final = {"v3": "v2", "v2": "v3"}

_GET: Final = {"v2": "ETCDCTL_API=2 etcdctl get {}", "v3": "ETCDCTL_API=3 etcdctl get --print-value-only {}"}
_SET: Final = {"v2": "ETCDCTL_API=2 etcdctl set {}", "v3": "ETCDCTL_API=3 etcdctl put {}"}
"""Without a value both read one from standard input."""


def advice(options: Options, network: str = "") -> str:
    """What to do about it; empty if it is not there either, or if that API does not answer.

    `network` is one of -networks, empty for the only one. Takes a few seconds where nobody answers.
    """
    ours, other = options.etcd_api, _OTHER[options.etcd_api]
    with_slash = replace(options, etcd_prefix=f"/{options.etcd_prefix.lstrip('/')}")
    usual = f"{prefix_of(with_slash, network)}/config"
    if _exists(replace(with_slash, etcd_api=other), network):
        wanted = f"{prefix_of(options, network)}/config"
        copy = f"{_GET[other].format(usual)} | {_SET[ours].format(wanted)}"
        return (
            f"it is in etcd's {other} API, and we look in {ours} (-etcd-api): "
            f"start flanneld with -etcd-api={other}, or copy it: {copy}"
        )
    if options != with_slash and _exists(with_slash, network):
        return f"it is at {usual}: start flanneld with -etcd-prefix={with_slash.etcd_prefix}"
    return ""


def _exists(options: Options, network: str) -> bool:
    """Whether there is a configuration where these options look for it."""
    try:
        store = open_store(options, network)
    except Fatal:  # this API is not available at such an endpoint
        return False
    try:
        return store.config() is not None
    except RegistryUnavailable:  # today's etcd mostly has no v2 API
        return False
    finally:
        store.close()
