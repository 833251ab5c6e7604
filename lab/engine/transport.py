"""How requests reach an engine: always over a connected stream socket, whatever lies behind it.

So the HTTP client meets one kind of connection only, none of its settings for the web apply (proxies, netrc,
other certificates), and a command's input can end before its output does.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol, cast

import docker
import requests
import urllib3
from docker.constants import MINIMUM_DOCKER_API_VERSION

from lab.engine import tls
from lab.engine.endpoint import SOCKET, Endpoint
from lab.engine.ssh import Forwarding
from lab.errors import Unfit

__all__ = ["CONNECTIONS", "Transport", "client", "transport_to"]

CONNECTIONS = 32
"""That are kept."""


class Transport(Protocol):
    """The way to one engine."""

    def dial(self, timeout: float | None) -> socket.socket:
        """A new connection. Raises `OSError`, or `LabError` that says more."""

    def said(self) -> str:
        """What is known here of why there is no answer; else empty."""

    def close(self) -> None:
        """End what was started for it."""


class _Direct:
    """A socket of this machine, or a port without encryption."""

    def __init__(self, connect: Callable[[float | None], socket.socket]) -> None:
        self.dial = connect

    def said(self) -> str:
        return ""

    def close(self) -> None:
        pass


class _Encrypted:
    """TCP with TLS."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self._address, self._context = address, context
        self._failure = ""

    def dial(self, timeout: float | None) -> socket.socket:
        return tls.connect(self._address, self._context, timeout, self._failed)

    def _failed(self, error: OSError) -> None:
        self._failure = str(error)

    def said(self) -> str:
        return self._failure

    def close(self) -> None:
        pass


class _Forwarded(Forwarding):
    """A socket of another machine, by ssh."""

    def dial(self, timeout: float | None) -> socket.socket:
        return _unix(str(self.socket()), timeout)


def _unix(path: str, timeout: float | None) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(timeout)
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made


def transport_to(endpoint: Endpoint) -> Transport:
    """The way to an engine; nothing is started yet. Raises `Unfit` for certificates that cannot be used."""
    if endpoint.scheme == "unix":
        return _Direct(lambda timeout: _unix(endpoint.path, timeout))
    if endpoint.scheme == "ssh":
        return _Forwarded(endpoint)
    address = (endpoint.host, endpoint.port)
    if endpoint.tls is None:
        return _Direct(lambda timeout: socket.create_connection(address, timeout))
    try:
        return _Encrypted(address, tls.client_context(endpoint.tls))
    except OSError as error:  # ssl.SSLError is one
        files = (endpoint.tls.authorities, endpoint.tls.certificate, endpoint.tls.key)
        shown = ", ".join(str(file) for file in files if file)
        raise Unfit(f"{endpoint.named}: these cannot be used for TLS: {shown}: {error}") from error


def client(transport: Transport, timeout: float) -> docker.DockerClient:
    """The SDK's client of the engine there, in the newest version of the API that both know.

    `timeout` is how long the engine may take to answer, in seconds. Raises what the SDK raises.
    """
    adapter = _Adapter(transport)

    def made(version: str) -> docker.DockerClient:
        # Any socket will do: the adapter takes its place.
        found = docker.DockerClient(base_url=f"unix://{SOCKET}", version=version, timeout=cast(int, timeout))
        found.api.mount("http+docker://", adapter)
        found.api.trust_env = False
        return found

    told = made(MINIMUM_DOCKER_API_VERSION).version(api_version=False)
    if not isinstance(told, dict) or "ApiVersion" not in told:
        raise docker.errors.DockerException(
            "what answers is no Docker engine: it tells no version of its API"
        )
    return made(told["ApiVersion"])


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, transport: Transport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.dial(self.timeout)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(requests.adapters.HTTPAdapter):
    """All requests to one pool of connections."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._pool = _Pool("localhost", maxsize=CONNECTIONS, transport=transport)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()
