"""Transport of requests to an engine: always over a connected stream socket, whatever is behind it.

So the HTTP client deals with only one kind of connection, none of its settings for the web apply (proxies,
netrc, other certificates), and a command's input can end before its output does.
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
"""Maximum number of connections to keep open."""


class Transport(Protocol):
    """The transport to one engine."""

    def dial(self, timeout: float | None) -> socket.socket:
        """Open a new connection. Raises `OSError`, or a more specific `LabError`."""

    def said(self) -> str:
        """Return what the transport knows about why there is no answer; else ""."""

    def close(self) -> None:
        """Stop what was started for the transport."""


class _Direct:
    """A local socket, or a TCP port without encryption."""

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
    """A socket of another machine, through ssh."""

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
    """Return the transport to an engine; starts nothing yet. Raises `Unfit` for unusable certificates."""
    if endpoint.scheme == "unix":
        return _Direct(lambda timeout: _unix(endpoint.path, timeout))
    if endpoint.scheme == "ssh":
        return _Forwarded(endpoint)
    address = (endpoint.host, endpoint.port)
    if endpoint.tls is None:
        return _Direct(lambda timeout: socket.create_connection(address, timeout))
    try:
        return _Encrypted(address, tls.client_context(endpoint.tls))
    except OSError as error:  # includes ssl.SSLError
        files = (endpoint.tls.authorities, endpoint.tls.certificate, endpoint.tls.key)
        shown = ", ".join(str(file) for file in files if file)
        raise Unfit(f"{endpoint.named}: cannot use these files for TLS: {shown}: {error}") from error


def client(transport: Transport, timeout: float) -> docker.DockerClient:
    """Create the SDK's client with the newest API version that both sides support.

    `timeout` is the limit in seconds for each answer. Raises what the SDK raises.
    """
    adapter = _Adapter(transport)

    def made(version: str) -> docker.DockerClient:
        # The socket does not matter: the adapter replaces it.
        found = docker.DockerClient(base_url=f"unix://{SOCKET}", version=version, timeout=cast(int, timeout))
        found.api.mount("http+docker://", adapter)
        found.api.trust_env = False
        return found

    answer = made(MINIMUM_DOCKER_API_VERSION).version(api_version=False)
    if not isinstance(answer, dict) or "ApiVersion" not in answer:
        raise docker.errors.DockerException("what answers is not a Docker engine: it reports no API version")
    return made(answer["ApiVersion"])


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, transport: Transport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.dial(self.timeout)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(requests.adapters.HTTPAdapter):
    """Sends all requests through one connection pool."""

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
