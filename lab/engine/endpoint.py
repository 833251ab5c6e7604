"""The address of a Docker engine, as DOCKER_HOST has it. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lab.errors import Unfit

__all__ = ["SOCKET", "Endpoint", "Tls", "parse"]

SOCKET = "/var/run/docker.sock"

PORT, TLS_PORT = 2375, 2376
"""The ports registered with IANA for Docker's API, which its own client uses by default."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings: PEM files, or None if there is none."""

    authorities: Path | None = None
    """The CA of the engine's certificate; None: this machine's CAs."""
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of an engine."""

    scheme: Literal["unix", "tcp", "ssh"]
    host: str = ""
    port: int = 0
    """0: ssh's default."""
    user: str = ""
    path: str = SOCKET
    """The path of the socket; with ssh, on the remote machine."""
    tls: Tls | None = None
    named: str = ""
    """What selected this engine, such as "DOCKER_HOST is tcp://builder:2376"; empty for the local default."""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")
        return f"{self.scheme}://{where}" + (
            self.path if self.scheme == "ssh" and self.path != SOCKET else ""
        )


def parse(text: str, tls: Tls | None = None, *, named: str) -> Endpoint:
    """Parse a DOCKER_HOST; `tls` is used if it is TCP. Raises `Unfit`."""
    # Docker accepts plain HOST:PORT as TCP.
    url = urlsplit(text if "://" in text else f"tcp://{text}")
    try:
        port = url.port
    except ValueError as error:
        raise Unfit(f"{named}: {error}") from error
    if url.scheme == "unix":
        return Endpoint("unix", path=text.removeprefix("unix://") or SOCKET, named=named)
    if url.password is not None or url.query or url.fragment:
        raise Unfit(f"{named}: a password, query or fragment is not allowed")
    if url.scheme == "ssh" and url.hostname:
        path = url.path.rstrip("/") or SOCKET
        return Endpoint("ssh", url.hostname, port or 0, url.username or "", path, named=named)
    if url.scheme in {"tcp", "http", "https"} and not url.path.rstrip("/"):
        if url.scheme == "https":
            tls = tls or Tls()
        default = TLS_PORT if tls else PORT
        return Endpoint("tcp", url.hostname or "127.0.0.1", port or default, tls=tls, named=named)
    raise Unfit(f"{named}: expected unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/SOCKET]")
