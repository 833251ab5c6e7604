"""Choice of the engine by the rules of Docker's client: DOCKER_HOST, DOCKER_CONTEXT, current context."""

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.engine.endpoint import SOCKET, Endpoint, Tls, parse
from lab.errors import Unfit
from lab.suggest import suggest

__all__ = ["address_in", "choose", "is_here", "of_host"]


def choose(environment: Mapping[str, str]) -> Endpoint:
    """Return the engine that this environment, and the configuration of Docker's client in it, select.

    Raises `Unfit` if that is malformed, or a context that does not exist.
    """
    if host := environment.get("DOCKER_HOST"):
        return parse(host, _tls_of(environment), named=f"DOCKER_HOST is {host}")
    folder = _folder(environment)
    if context := environment.get("DOCKER_CONTEXT"):
        named = f"DOCKER_CONTEXT is {context}"
    else:
        config = folder / "config.json"
        context = _read(config).get("currentContext") or "default"
        named = f"{config} has the current context {context}"
    if context == "default":
        return Endpoint("unix")
    return _in_context(folder / "contexts", context, named)


def address_in(context: str, environment: Mapping[str, str]) -> str:
    """Return the engine of a context of Docker's client as a DOCKER_HOST. Raises `Unfit`."""
    if context == "default":
        return f"unix://{SOCKET}"
    return str(_in_context(_folder(environment) / "contexts", context, f"its context is {context}"))


def of_host(host: str, environment: Mapping[str, str], *, named: str, context: str = "") -> Endpoint:
    """Return the engine at this DOCKER_HOST, with the environment's certificates if it is TCP.

    If it was found by a context, that has the certificates, as long as it is there and has the same engine.
    """
    contexts = _folder(environment) / "contexts"
    if context and context in _known(contexts):
        found = _in_context(contexts, context, named)
        if str(found) == host:
            return replace(found, named=named)
    return parse(host, _tls_of(environment), named=named)


def is_here(endpoint: Endpoint, info: Mapping[str, Any]) -> bool:
    """Whether an engine's networks are on this very machine; `info` is its own description.

    An engine behind a local socket may be on another machine (a virtual machine of Docker Desktop, or the
    host of a container that has the socket), and a rootless one has a network namespace of its own.
    """
    rootless = any("name=rootless" in option for option in info.get("SecurityOptions") or ())
    return endpoint.scheme == "unix" and info.get("Name") == socket.gethostname() and not rootless


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


def _folder(environment: Mapping[str, str]) -> Path:
    """Where Docker's client has its configuration."""
    home = Path(environment.get("HOME") or "/")
    return Path(environment.get("DOCKER_CONFIG") or home / ".docker")


def _known(contexts: Path) -> tuple[str, ...]:
    """The names of the contexts that are kept there."""
    every = (_read(meta).get("Name") for meta in contexts.glob("meta/*/meta.json"))
    return tuple(sorted(name for name in every if isinstance(name, str)))


def _in_context(contexts: Path, name: str, named: str) -> Endpoint:
    """Read a context from the files of Docker's client."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = contexts / "meta" / identifier / "meta.json"
    if not meta.is_file():
        there = suggest(name, ["default", *_known(contexts)], "there are")
        raise Unfit(f"{named}, but {contexts} has no such context{there}")
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
