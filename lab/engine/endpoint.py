"""Which engine is meant, by the rules of Docker's client: DOCKER_HOST, DOCKER_CONTEXT, current context."""

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from lab.errors import Unfit

__all__ = ["SOCKET", "Endpoint", "Tls", "choose", "is_here", "parse"]

SOCKET = "/var/run/docker.sock"

PORT, TLS_PORT = 2375, 2376
"""What IANA has registered for Docker's API, and what its own client takes when none is named."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is spoken: files in PEM, each None where there is none."""

    authorities: Path | None = None
    """Who may have signed the engine's certificate; None: whom this machine trusts."""
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine answers."""

    scheme: Literal["unix", "tcp", "ssh"]
    host: str = ""
    port: int = 0
    """0: what ssh takes when none is named."""
    user: str = ""
    path: str = SOCKET
    """The socket, with ssh on the machine at the far end."""
    tls: Tls | None = None
    named: str = ""
    """Who has named it, such as "DOCKER_HOST is tcp://builder:2376"; empty for the local default."""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")
        return f"{self.scheme}://{where}" + (
            self.path if self.scheme == "ssh" and self.path != SOCKET else ""
        )


def choose(environment: Mapping[str, str]) -> Endpoint:
    """The engine that this environment, and the configuration of Docker's client in it, mean.

    Raises `Unfit` where they name one that cannot be understood, or a context that is not there.
    """
    if host := environment.get("DOCKER_HOST"):
        return parse(host, _tls_of(environment), named=f"DOCKER_HOST is {host}")
    home = Path(environment.get("HOME") or "/")
    folder = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    if context := environment.get("DOCKER_CONTEXT"):
        named = f"DOCKER_CONTEXT is {context}"
    else:
        config = folder / "config.json"
        context = _read(config).get("currentContext") or "default"
        named = f"{config} has the current context {context}"
    if context == "default":
        return Endpoint("unix")
    return _in_context(folder / "contexts", context, named)


def is_here(endpoint: Endpoint, info: Mapping[str, Any]) -> bool:
    """Whether an engine makes its networks on this very machine; `info` is what it says of itself.

    One behind a socket may be another machine's (a virtual one of Docker Desktop, a container's that has the
    socket of its host), and a rootless one has a network namespace of its own.
    """
    rootless = any("name=rootless" in option for option in info.get("SecurityOptions") or ())
    return endpoint.scheme == "unix" and info.get("Name") == socket.gethostname() and not rootless


def parse(text: str, tls: Tls | None = None, *, named: str) -> Endpoint:
    """What a DOCKER_HOST means; `tls` is how TLS is spoken where that is TCP. Raises `Unfit`."""
    # Docker takes HOST:PORT alone for TCP.
    url = urlsplit(text if "://" in text else f"tcp://{text}")
    try:
        port = url.port
    except ValueError as error:
        raise Unfit(f"{named}: {error}") from error
    if url.scheme == "unix":
        return Endpoint("unix", path=text.removeprefix("unix://") or SOCKET, named=named)
    if url.password is not None or url.query or url.fragment:
        raise Unfit(f"{named}: a password, a query or a fragment has no place there")
    if url.scheme == "ssh" and url.hostname:
        path = url.path.rstrip("/") or SOCKET
        return Endpoint("ssh", url.hostname, port or 0, url.username or "", path, named=named)
    if url.scheme in {"tcp", "http", "https"} and not url.path.rstrip("/"):
        if url.scheme == "https":
            tls = tls or Tls()
        default = TLS_PORT if tls else PORT
        return Endpoint("tcp", url.hostname or "127.0.0.1", port or default, tls=tls, named=named)
    raise Unfit(f"{named}: expected unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/SOCKET]")


def _tls_of(environment: Mapping[str, str]) -> Tls | None:
    """TLS is spoken when any of these is set. Only the first makes it verify the engine's certificate."""
    names = ("DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH")
    if not any(environment.get(name) for name in names):
        return None
    given = environment.get("DOCKER_CERT_PATH")
    folder = Path(given) if given else Path(environment.get("HOME") or "/") / ".docker"
    return _tls_in(folder, verify=bool(environment.get("DOCKER_TLS_VERIFY")))


def _tls_in(folder: Path, *, verify: bool) -> Tls:
    def there(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    return Tls(there("ca.pem"), there("cert.pem"), there("key.pem"), verify)


def _in_context(contexts: Path, name: str, named: str) -> Endpoint:
    """What the files of Docker's client say of a context."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = contexts / "meta" / identifier / "meta.json"
    if not meta.is_file():
        raise Unfit(f"{named}, and there is no such context", hint=f"Contexts are kept in {contexts}")
    try:
        docker = _read(meta)["Endpoints"]["docker"]
        host, verify = docker.get("Host") or f"unix://{SOCKET}", not docker.get("SkipTLSVerify")
    except (KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"{named}, and {meta} tells of no Docker engine") from error
    certificates = contexts / "tls" / identifier / "docker"
    tls = _tls_in(certificates, verify=verify) if certificates.is_dir() or not verify else None
    return replace(parse(host, tls, named=named), named=f"{named}, which means {host}")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit(f"{path}, the configuration of Docker's client, cannot be read: {error}") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unfit(f"{path}, the configuration of Docker's client, is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}
