"""Transport of requests to an engine: always over a connected stream socket, whatever is behind it.

So an HTTP client deals with only one kind of connection, none of its settings for the web apply (proxies,
netrc, other certificates), and a command's input can end before its output does.
"""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from lab.engine.endpoint import Endpoint
from lab.errors import Unfit

if TYPE_CHECKING:
    import ssl

    from lab.engine.ssh import Forwarding

__all__ = ["CONNECTIONS", "Transport", "transport_to"]

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

    def __init__(self, address: tuple[str, int], context: "ssl.SSLContext") -> None:
        self._address, self._context = address, context
        self._failure = ""

    def dial(self, timeout: float | None) -> socket.socket:
        from lab.engine import tls

        return tls.connect(self._address, self._context, timeout, self._failed)

    def _failed(self, error: OSError) -> None:
        self._failure = str(error)

    def said(self) -> str:
        return self._failure

    def close(self) -> None:
        pass


class _Forwarded:
    """A socket of another machine, through ssh."""

    def __init__(self, forwarding: "Forwarding") -> None:
        self._forwarding = forwarding
        self.said, self.close = forwarding.said, forwarding.close

    def dial(self, timeout: float | None) -> socket.socket:
        return _unix(str(self._forwarding.socket()), timeout)


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
    # What the others need is imported for them alone: most engines are local.
    if endpoint.scheme == "ssh":
        from lab.engine.ssh import Forwarding

        return _Forwarded(Forwarding(endpoint))
    address = (endpoint.host, endpoint.port)
    if endpoint.tls is None:
        return _Direct(lambda timeout: socket.create_connection(address, timeout))
    from lab.engine import tls

    try:
        return _Encrypted(address, tls.client_context(endpoint.tls))
    except OSError as error:  # includes ssl.SSLError
        files = (endpoint.tls.authorities, endpoint.tls.certificate, endpoint.tls.key)
        shown = ", ".join(str(file) for file in files if file)
        raise Unfit(f"{endpoint.named}: cannot use these files for TLS: {shown}: {error}") from error
