"""A connection to one endpoint of etcd v3: TLS, a user's token, and failures in words."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from flanneld_py.registry import AccessRefused, Forbidden, RegistryUnavailable
from flanneld_py.registry.access import Credentials, Endpoint
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.etcd.library import etcd3, etcdrpc, grpc
from flanneld_py.registry.etcd.watch import words
from flanneld_py.registry.tls import Tls
from flanneld_py.registry.tls_diagnosis import diagnose

__all__ = ["TIMEOUT", "EtcdClient"]

logger = logging.getLogger(__name__)

TIMEOUT = 2.0
"""Seconds that one call usually has. A stopped etcd (SIGSTOP) accepts connections and never answers."""

CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # time to connect; the underlay may be slow
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),  # 4 MiB by default: 15,000 leases in one list
    ("grpc.enable_http_proxy", 0),  # http_proxy is not meant for the cluster's own etcd
)

NO_USER = "user name is empty"
# Errors of a server that wants a new token, or wants one from now on (etcd's api/v3rpc/rpctypes/error.go).
# Simple tokens expire when they are not used for --auth-token-ttl, and when the server restarts.
STALE_TOKEN = ("invalid auth token", "revision of auth store is old", NO_USER)
ASK_FOR_USER = "it requires a user: give -etcd-username and -etcd-password"

T = TypeVar("T")


class EtcdClient:
    """See `failover.Connection`. `prefix`, for messages: what the user must be allowed to read and write."""

    def __init__(
        self, endpoint: Endpoint, credentials: Credentials, tls: Tls | None, prefix: str, deadline: Deadline
    ) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        self._tls = tls
        self._credentials = credentials
        self._prefix = prefix
        self._deadline = deadline
        self._authenticated = not credentials.username
        host, _, port = endpoint.authority.rpartition(":")
        if endpoint.path:  # gRPC's target is HOST:PORT, and unix:PATH
            host, port = "unix", endpoint.path
        files = {}
        if tls is not None and endpoint.tls:
            files = {"ca_cert": tls.cafile, "cert_cert": tls.certfile, "cert_key": tls.keyfile}
        try:
            self._etcd = etcd3.client(host, port, grpc_options=CHANNEL, **files)
        except OSError as error:  # the files were readable at the start
            raise RegistryUnavailable(f"{error.filename} can no longer be read: {error.strerror}") from error

    def run(self, action: Callable[[Any], T]) -> T:
        """Do something with etcd3's client. An expired token is not a failure: the user logs in again."""
        try:
            return self._run(action)
        except _StaleTokenError:
            self._authenticated = False
        try:
            return self._run(action)
        except _StaleTokenError as error:
            raise RegistryUnavailable(str(error)) from error

    def close(self) -> None:
        """See `Connection`."""
        self._etcd.close()

    def _run(self, action: Callable[[Any], T]) -> T:
        self._etcd.timeout = self._deadline.seconds
        try:
            if not self._authenticated:
                self._authenticate()
            return action(self._etcd)
        except (etcd3.Etcd3Exception, grpc.RpcError) as error:
            raise self._failure(error) from error

    def _authenticate(self) -> None:
        """Get a token. An etcd without users needs none; flannel's own client goes on there, too."""
        request = etcdrpc.AuthenticateRequest(
            name=self._credentials.username, password=self._credentials.password
        )
        try:
            answer = etcdrpc.AuthStub(self._etcd.channel).Authenticate(request, self._deadline.seconds)
        except grpc.RpcError as error:
            if "authentication is not enabled" not in words(error):
                raise
            logger.debug("etcd has no users: -etcd-username has no effect")
            self._etcd.metadata = None
        else:
            self._etcd.metadata = (("token", answer.token),)
        self._authenticated = True

    def _failure(self, error: BaseException) -> Exception:
        """What a failed call means, in one line: etcd3's own exceptions are empty, their causes are not."""
        cause = error.__context__ if isinstance(error.__context__, grpc.RpcError) else error
        if not (isinstance(cause, grpc.RpcError) and isinstance(cause, grpc.Call)):
            return RegistryUnavailable(str(error) or type(error).__name__)
        text = words(cause)
        user = self._credentials.username
        if user and any(stale in text for stale in STALE_TOKEN):
            return _StaleTokenError(text)
        if NO_USER in text:
            return AccessRefused(ASK_FOR_USER)
        if "authentication failed" in text:
            return AccessRefused(f"it rejects the user {user!r} or its password: check -etcd-password")
        if "permission denied" in text:
            who = f"the user {user!r}" if user else "our certificate's user"
            return Forbidden(f"{who} may not read and write {self._prefix}: give it a role that may")
        if cause.code() == grpc.StatusCode.UNAVAILABLE and (
            trouble := diagnose(self._endpoint, self._tls, self._deadline.usual)
        ):
            return AccessRefused(trouble)
        return RegistryUnavailable(text)


class _StaleTokenError(Exception):
    """The server no longer accepts our token."""
