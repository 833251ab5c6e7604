"""How etcd is reached: its endpoints, and what a client shows and believes. No file is read here."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["NO_CREDENTIALS", "Credentials", "Endpoint"]


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
    """Where one member of etcd answers. `host` of an IPv6 address is without brackets."""

    url: str
    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """An endpoint such as `https://etcd-1:2379`; ValueError for what is none."""
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None:
            raise ValueError(f"{url!r} is not an endpoint: give http://HOST:PORT or https://HOST:PORT")
        return cls(url.rstrip("/"), parts.scheme == "https", parts.hostname, parts.port)

    @property
    def authority(self) -> str:
        """`HOST:PORT`, with the brackets that an IPv6 address needs there."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
