"""Choice of the engine by the rules of Docker's client: DOCKER_HOST, DOCKER_CONTEXT, current context."""

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


def choose(environment: Mapping[str, str]) -> Endpoint:
    """Return the engine that this environment, and the configuration of Docker's client in it, select.

    Raises `Unfit` if that is malformed, or a context that does not exist.
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
    """Whether an engine's networks are on this very machine; `info` is its own description.

    An engine behind a local socket may be on another machine (a virtual machine of Docker Desktop, or the
    host of a container that has the socket), and a rootless one has a network namespace of its own.
    """
    rootless = any("name=rootless" in option for option in info.get("SecurityOptions") or ())
    return endpoint.scheme == "unix" and info.get("Name") == socket.gethostname() and not rootless


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


def _tls_of(environment: Mapping[str, str]) -> Tls | None:
    """Return TLS settings if any of these is set. Only the first enables verification of the engine."""
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
    """Read a context from the files of Docker's client."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = contexts / "meta" / identifier / "meta.json"
    if not meta.is_file():
        raise Unfit(f"{named}, but there is no such context", hint=f"Contexts are kept in {contexts}")
    try:
        docker = _read(meta)["Endpoints"]["docker"]
        host, verify = docker.get("Host") or f"unix://{SOCKET}", not docker.get("SkipTLSVerify")
    except (KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"{named}, but {meta} contains no Docker engine") from error
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
        raise Unfit(f"{path}, the configuration of Docker's client, is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
