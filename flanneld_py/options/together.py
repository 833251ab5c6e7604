"""What depends on several options, and which of them cannot stand together."""

from dataclasses import replace

from flanneld_py.options.model import Options
from flanneld_py.options.values import wrong

__all__ = ["settled"]


def settled(options: Options) -> Options:
    """The options, each of which is right by itself, made to fit the others. Raises `Fatal`."""
    _check_remote(options)
    _check_pairs(options)
    return replace(options, etcd_endpoints=_endpoints(options), etcd_prefix=_prefix(options))


def _endpoints(options: Options) -> tuple[str, ...]:
    """One without a scheme is encrypted if there is a file to encrypt with, as etcd's own client does."""
    files = (options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile)
    scheme = "https" if any(files) else "http"
    found = dict.fromkeys(each if "://" in each else f"{scheme}://{each}" for each in options.etcd_endpoints)
    if options.etcd_api == "v2" and any(each.startswith("unix:") for each in found):
        raise wrong("-etcd-endpoints: unix:// works with etcd's v3 API only: give http://HOST:PORT")
    return tuple(found)


def _prefix(options: Options) -> str:
    """In etcd's v3 API a leading slash is part of the key's name; in v2 every name has one."""
    return f"/{options.etcd_prefix.lstrip('/')}" if options.etcd_api == "v2" else options.etcd_prefix


def _check_remote(options: Options) -> None:
    if options.listen and options.remote:
        raise wrong("--listen and --remote are mutually exclusive")
    if options.listen and options.remote_cafile and not options.remote_certfile:
        text = "-remote-cafile is given and -remote-certfile is not: a server needs its own certificate"
        raise wrong(f"{text} and -remote-keyfile")


def _check_pairs(options: Options) -> None:
    for first, second in (
        ("etcd-certfile", "etcd-keyfile"),
        ("etcd-keyfile", "etcd-certfile"),
        ("remote-certfile", "remote-keyfile"),
        ("remote-keyfile", "remote-certfile"),
        ("etcd-password", "etcd-username"),
    ):
        if _is_given(options, first) and not _is_given(options, second):
            raise wrong(f"-{first} has no effect alone: give -{second}, too")


def _is_given(options: Options, flag: str) -> bool:
    return bool(getattr(options, flag.replace("-", "_")))
