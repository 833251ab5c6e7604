"""How etcd is reached: its endpoints, and what a client shows and believes. No file is read here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flanneld_py.errors import Exit, Fatal

__all__ = ["NO_CREDENTIALS", "Credentials", "Endpoint", "endpoints"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves to etcd who we are, and to us that it is etcd.

    `cafile`, `certfile` and `keyfile` are paths of PEM files, as of flannel's -etcd-cafile, -etcd-certfile
    and -etcd-keyfile; what was not given is empty.
    """

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    username: str = ""
    password: str = field(default="", repr=False)


NO_CREDENTIALS = Credentials()


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
        """An endpoint such as `https://etcd-1:2379` or `unix:///run/etcd`; ValueError for what is none."""
        if url.startswith("unix:///"):
            return cls(url, False, "", 0, url.removeprefix("unix://"))
        try:
            parts = urlsplit(url.rstrip("/"))
            host, port = parts.hostname, parts.port
        except ValueError:  # brackets around what is no IPv6 address, a port of a million
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
    """Those of -etcd-endpoints; raises `Fatal` for what is none."""
    try:
        return tuple(Endpoint.of(url) for url in urls)
    except ValueError as error:
        raise Fatal(f"-etcd-endpoints: {error}", code=Exit.USAGE) from error
