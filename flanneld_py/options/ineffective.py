"""Warnings about flags and variables that do nothing, or not what one might think."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flanneld_py.options.flags import IDLE

__all__ = ["sentences"]

_TLS = ("etcd-cafile", "etcd-certfile", "etcd-keyfile")


def sentences(given: Mapping[str, Sequence[str]], unknown: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each, in a fixed order. `unknown` are variables that belong to no flag."""
    last = {name: values[-1] for name, values in given.items() if values and values[-1]}
    return (*_notices(last), *(f"{name} has no effect: no flag has this variable" for name in unknown))


def _notices(last: Mapping[str, str]) -> Iterator[str]:
    for name, (_, instead) in IDLE.items():
        if name in last and instead:
            yield f"-{name} has no effect: {instead}"
    if last.get("logtostderr") == "false":
        yield "-logtostderr=false has no effect: the log goes to standard error"
    endpoints = last.get("etcd-endpoints", "http://").lower()
    if all(part.strip().startswith(("http://", "unix:")) for part in endpoints.split(",")):
        for name in (name for name in _TLS if name in last):
            yield f"-{name} has no effect: no endpoint of -etcd-endpoints begins with https://"
    if "http://" in endpoints and "etcd-password" in last:
        yield "-etcd-password is sent unencrypted: give endpoints that begin with https://"
    if "networks" in last and "subnet-file" in last:
        yield "-subnet-file has no effect: with -networks, each network has a file in -subnet-dir"
    if "networks" not in last and "subnet-dir" in last:
        yield "-subnet-dir has no effect: it is for -networks"
