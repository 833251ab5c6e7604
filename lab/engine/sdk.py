"""Docker's SDK, for what makes and removes things. To be imported on first use: most verbs do without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException

from lab.engine.api import Refused, Unanswered
from lab.engine.endpoint import SOCKET
from lab.engine.transport import CONNECTIONS, Transport

__all__ = ["client", "errors"]


def client(transport: Transport, version: str, timeout: float) -> docker.DockerClient:
    """Create the SDK's client for a version of the API; `timeout` is the limit in seconds for each answer.

    Raises what the SDK raises.
    """
    # The socket does not matter: the adapter replaces it.
    made = docker.DockerClient(base_url=f"unix://{SOCKET}", version=version, timeout=cast(int, timeout))
    made.api.mount("http+docker://", _Adapter(transport))
    made.api.trust_env = False
    return made


@contextmanager
def errors() -> Iterator[None]:
    """Turn the SDK's errors into those of `lab.engine.api`."""
    try:
        yield
    except APIError as error:
        raise Refused(error.status_code or 0, str(error.explanation or error)) from error
    except (DockerException, requests.RequestException) as error:
        raise Unanswered(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the innermost cause: the SDK wraps "No such file or directory" in four layers."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)


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
