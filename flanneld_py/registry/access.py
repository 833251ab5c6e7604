"""How a registry is reached: endpoints, credentials and, in etcd, the prefix. No file is read here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flanneld_py.errors import Exit, Fatal
from flanneld_py.options import Options

__all__ = ["NO_CREDENTIALS", "Credentials", "Endpoint", "credentials_of", "endpoints", "prefix_of"]
__all__ += ["remote_credentials_of"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves to the other side who we are, and to us who it is.

    `cafile`, `certfile` and `keyfile` are paths of PEM files, as of flannel's -etcd-cafile, -etcd-certfile
    and -etcd-keyfile; what was not given is empty. `certfile` and `keyfile` are both given or neither, and a
    `password` has its `username`: the options are checked for that.
    """

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    username: str = ""
    password: str = field(default="", repr=False)


NO_CREDENTIALS = Credentials()


def credentials_of(options: Options) -> Credentials:
    """Those for etcd."""
    return Credentials(
        options.etcd_cafile,
        options.etcd_certfile,
        options.etcd_keyfile,
        options.etcd_username,
        options.etcd_password,
    )


def remote_credentials_of(options: Options) -> Credentials:
    """Those between a lease server and its clients, for either side."""
    return Credentials(options.remote_cafile, options.remote_certfile, options.remote_keyfile)


def prefix_of(options: Options, network: str = "") -> str:
    """What a network's keys in etcd begin with: `/coreos.com/network/blue` for -networks=blue."""
    return f"{options.etcd_prefix}/{network}" if network else options.etcd_prefix


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one member of etcd answers. `host` of an IPv6 address is without brackets.

    A socket in the file system has its `path`, and neither host nor port.
    """

    url: str
    tls: bool
    host: str
    port: int
    path: str = ""

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """An endpoint such as `https://etcd-1:2379` or `unix:///run/etcd`; ValueError for anything else."""
        if url.startswith("unix:///"):
            return cls(url, False, "", 0, url.removeprefix("unix://"))
        try:
            parts = urlsplit(url.rstrip("/"))
            host, port = parts.hostname, parts.port
        except ValueError:  # no IPv6 address in the brackets, or a port of a million
            host = port = None
        if host is None or port is None or parts.scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is not an endpoint: give http://HOST:PORT or https://HOST:PORT")
        return cls(url.rstrip("/"), parts.scheme == "https", host, port)

    @property
    def authority(self) -> str:
        """`HOST:PORT`, with the brackets that an IPv6 address needs there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoints(urls: Iterable[str]) -> tuple[Endpoint, ...]:
    """The endpoints of -etcd-endpoints; raises `Fatal` for a URL that cannot be one."""
    try:
        return tuple(Endpoint.of(url) for url in urls)
    except ValueError as error:
        raise Fatal(f"-etcd-endpoints: {error}", code=Exit.USAGE) from error
