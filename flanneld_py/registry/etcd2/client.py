"""A connection to one endpoint of etcd v2: JSON over HTTP (etcd's Documentation/v2/api.md)."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
)

from flanneld_py.registry import AccessRefused, Forbidden, RegistryUnavailable
from flanneld_py.registry.access import Credentials, Endpoint
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.tls import Tls
from flanneld_py.registry.tls_diagnosis import diagnose

__all__ = ["TIMEOUT", "Etcd2Client", "Etcd2Response", "LongPoll", "Node"]

TIMEOUT = 2.0
"""Seconds that one request usually has. A stopped etcd (SIGSTOP) accepts connections and never answers."""

# etcd's members may redirect a client to another one; nothing else is worth retrying here.
REDIRECTS = Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0)

FORM = "application/x-www-form-urlencoded"

NO_V2 = (
    "it has no v2 API: etcd needs --enable-v2=true (3.6 and later have none: "
    "drop -etcd-api v2 on every machine)"
)

# Codes of etcd's v2 API (its Documentation/v2/errorcode.md) that describe a state; all others are failures.
KEY_NOT_FOUND = 100
COMPARE_FAILED = 101
NOT_A_FILE = 102
NODE_EXISTS = 105
EVENT_CLEARED = 401
TELLING = frozenset({KEY_NOT_FOUND, COMPARE_FAILED, NOT_A_FILE, NODE_EXISTS, EVENT_CLEARED})


@dataclass(frozen=True, slots=True)
class Node:
    """A key or a directory in an answer. `modified` is the index of its last change, `created` of its first.

    `ttl` is in seconds, 0 if it does not expire.
    """

    key: str = ""
    value: bytes = b""
    modified: int = 0
    permanent: bool = True
    ttl: int = 0
    nodes: tuple["Node", ...] = ()
    created: int = 0

    @property
    def name(self) -> str:
        """The key's last part."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Etcd2Response:
    """etcd's answer: `error` is 0, or an error code; `index` is etcd's current one."""

    error: int
    index: int
    action: str
    node: Node


def _node(data: object, depth: int = 2) -> Node:
    """A node from any JSON; an empty one if it is not a node. A list of leases has a depth of two."""
    if not isinstance(data, dict):
        return Node()
    below = data.get("nodes")
    return Node(
        str(data.get("key", "")),
        str(data.get("value", "")).encode(errors="replace"),  # JSON can escape what UTF-8 cannot encode
        _number(data.get("modifiedIndex")),
        "expiration" not in data,
        _number(data.get("ttl")),
        tuple(_node(item, depth - 1) for item in below) if depth > 1 and isinstance(below, list) else (),
        _number(data.get("createdIndex")),
    )


class Etcd2Client:
    """See `failover.Connection`. `prefix`, for messages: what the user must be allowed to read and write."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, tls: Tls | None, prefix: str, deadline: Deadline
    ) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        self._user = credentials.username
        self._tls = tls
        self._prefix = prefix
        self._deadline = deadline
        self._headers: dict[str, str] = {}
        if credentials.username:
            # In UTF-8, as Go's net/http; urllib3's own function accepts Latin-1 only.
            user = f"{credentials.username}:{credentials.password}".encode()
            self._headers["Authorization"] = f"Basic {b64encode(user).decode()}"
        try:
            context = None if tls is None else tls.context()
        except OSError as error:  # the files were fine at the start
            names = ", ".join(filter(None, (tls.cafile, tls.certfile, tls.keyfile))) if tls else ""
            raise RegistryUnavailable(f"{names} can no longer be used: {error}") from error
        self._pool = PoolManager(headers=self._headers, retries=REDIRECTS, ssl_context=context, maxsize=2)

    def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Etcd2Response:
        """One request, and etcd's answer. Raises `RegistryUnavailable` if there is none, or not in time."""
        timeout = Timeout(connect=self._deadline.usual, read=self._deadline.seconds)
        try:
            body = None if form is None else urlencode(sorted(form.items()))
            headers = self._headers | ({"Content-Type": FORM} if form else {})
            response = self._pool.request(
                method, self._url(key, query), body=body, headers=headers, timeout=timeout
            )
            return self._answer(response)
        except HTTPError as error:
            raise self._failure(error) from error

    def wait(self, key: str, index: int, timeout: float) -> "LongPoll":
        """Ask for the first event below a key from an index on. Raises as `ask`.

        etcd sends the header of its answer at once, and the event when there is one, up to `timeout` seconds
        later (not less than the time for the header).
        """
        query = {"wait": "true", "recursive": "true", "waitIndex": str(index)}
        limits = Timeout(connect=self._deadline.usual, read=timeout)
        try:
            response = self._pool.request("GET", self._url(key, query), timeout=limits, preload_content=False)
        except HTTPError as error:
            raise self._failure(error) from error
        return LongPoll(response, self._answer)

    def close(self) -> None:
        """See `Connection`."""
        self._pool.clear()

    def _url(self, key: str, query: Mapping[str, str] | None) -> str:
        words = urlencode(sorted((query or {}).items()))  # in Go's order
        return f"{self.url}/v2/keys{quote(key)}{'?' if words else ''}{words}"

    def _answer(self, response: BaseHTTPResponse) -> Etcd2Response:
        """Read an answer to its end."""
        try:
            body = json.loads(response.data)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            if response.status == 404:
                raise AccessRefused(NO_V2)
            if not response.data:
                raise RegistryUnavailable("the server closed the connection")
            text = " ".join(response.data[:80].decode(errors="replace").split())
            raise RegistryUnavailable(f"HTTP status {response.status}, and no JSON: {text!r}")
        code = _number(body.get("errorCode"))
        if response.status in (401, 403):
            raise Forbidden(self._refusal())  # or wrong credentials: the answer is the same for both
        if (code and code not in TELLING) or (response.status >= 400 and not code):
            text = " ".join(str(body.get(name, "")) for name in ("message", "cause")).strip()
            raise RegistryUnavailable(f"HTTP status {response.status}: {text or body}")
        index = response.headers.get("X-Etcd-Index") or body.get("index")
        return Etcd2Response(code, _number(index), str(body.get("action", "")), _node(body.get("node")))

    def _refusal(self) -> str:
        if not self._user:
            return "it requires a user: give -etcd-username and -etcd-password"
        attempt = f"it does not let the user {self._user!r} read and write {self._prefix}"
        return f"{attempt}: check -etcd-password, and the user's roles"

    def _failure(self, error: HTTPError) -> RegistryUnavailable:
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(cause, NewConnectionError):
            return RegistryUnavailable(str(cause.__cause__ or cause))
        if isinstance(cause, ConnectTimeoutError | ReadTimeoutError):
            connects = isinstance(cause, ConnectTimeoutError)
            seconds = self._deadline.usual if connects else self._deadline.seconds
            return RegistryUnavailable(f"no answer within {seconds:g} s")
        if trouble := diagnose(self._endpoint, self._tls, self._deadline.usual):
            return AccessRefused(trouble)
        return RegistryUnavailable(f"{type(cause).__name__}: {cause}")


class LongPoll:
    """A request for an event that may take long to happen.

    `index` is etcd's index when it began to wait: every event before that is known.
    """

    def __init__(self, response: BaseHTTPResponse, read: Callable[[BaseHTTPResponse], Etcd2Response]) -> None:
        self.index = _number(response.headers.get("X-Etcd-Index"))
        self._response = response
        self._read = read

    def answer(self) -> Etcd2Response | None:
        """The event; None if none came in time. Raises `RegistryUnavailable` if the connection fails."""
        try:
            return self._read(self._response)
        except ReadTimeoutError:
            return None
        except HTTPError as error:
            raise RegistryUnavailable(f"{type(error).__name__}: {error}") from error

    def cut(self) -> None:
        """End it; for a thread other than the one that waits."""
        # What urllib3 raises for a connection that has ended, and the kernel for one that ends just now.
        with suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()


def _number(text: object) -> int:
    """An index from a header or JSON; 0 for anything else."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else 0
