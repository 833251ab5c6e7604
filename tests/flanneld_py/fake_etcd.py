"""An etcd v3 in this process: real gRPC on the loopback device, and as much of etcd as flannel uses."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from flanneld_py.registry.etcd.library import etcdrpc, grpc

mvccpb = etcdrpc.rpc_pb2.kv__pb2

DELETE = 1  # mvccpb.Event.EventType


class FakeEtcd(etcdrpc.KVServicer, etcdrpc.LeaseServicer, etcdrpc.WatchServicer, etcdrpc.AuthServicer):  # type: ignore[misc]
    """Keys with revisions, history and leases. `hang` makes every call wait, as in a stopped process.

    What is below `forbidden` nobody may read, or write with `read_only` alone.

    With `passwords` (of users) set, a call needs the token of one that is `allowed`. What is taken out of
    `tokens` is unknown from then on, as etcd's simple tokens are after a time.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.revision = 1
        self.keys: dict[bytes, Any] = {}
        self.leases: dict[int, int] = {}
        self.last_lease = 1000
        self.asked: list[Any] = []
        self.history: list[Any] = []
        self.compacted = 0
        self.watches: list[tuple[Any, queue.SimpleQueue[Any]]] = []
        self.watched = threading.Semaphore(0)
        self.passwords: dict[str, str] = {}
        self.allowed: set[str] = set()
        self.tokens: dict[str, str] = {}
        self.authentications = 0
        self.forbidden = b"\xff"  # no key begins with it
        self.read_only = False
        self.scheme = "https" if credentials else "http"
        self.lock = threading.RLock()
        self.running = threading.Event()
        self.running.set()
        self.server = grpc.server(ThreadPoolExecutor(max_workers=16))
        etcdrpc.add_KVServicer_to_server(self, self.server)
        etcdrpc.add_LeaseServicer_to_server(self, self.server)
        etcdrpc.add_WatchServicer_to_server(self, self.server)
        etcdrpc.add_AuthServicer_to_server(self, self.server)
        if credentials:
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def hang(self) -> None:
        self.running.clear()

    def stop(self) -> None:
        self.running.set()
        self.break_watches()
        self.server.stop(0).wait()

    def break_watches(self) -> None:
        with self.lock:
            for _, watch in self.watches:
                watch.put(None)
            self.watches.clear()

    def compact(self) -> None:
        self.compacted = self.revision

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        with self.lock:
            self.revision += 1
            known = self.keys.get(key.encode())
            created = self.revision if known is None else known.create_revision
            kv = mvccpb.KeyValue(
                key=key.encode(), value=value, mod_revision=self.revision, create_revision=created,
                version=1, lease=lease,
            )  # fmt: skip
            self.keys[kv.key] = kv
            self._happened(mvccpb.Event(kv=kv))

    def delete(self, key: str) -> None:
        with self.lock:
            self.revision += 1
            del self.keys[key.encode()]
            kv = mvccpb.KeyValue(key=key.encode(), mod_revision=self.revision)
            self._happened(mvccpb.Event(type=DELETE, kv=kv))

    def lease(self, ttl: int) -> int:
        with self.lock:
            self.last_lease += 1
            identifier = self.last_lease
            self.leases[identifier] = ttl
            return identifier

    def end_leases(self, seconds: int) -> None:
        """Have leases of up to so many seconds run out, and all that is tied to them."""
        with self.lock:
            for lease in [lease for lease, ttl in self.leases.items() if ttl <= seconds]:
                del self.leases[lease]
                for key in [key for key, kv in self.keys.items() if kv.lease == lease]:
                    self.delete(key.decode())

    def tell(self, message: Any) -> None:
        with self.lock:
            for _, watch in self.watches:
                watch.put(message)

    def _happened(self, event: Any) -> None:
        self.history.append(event)
        for create, watch in self.watches:
            if create.key <= event.kv.key < create.range_end:
                watch.put(etcdrpc.WatchResponse(events=[event]))

    @property
    def header(self) -> Any:
        return etcdrpc.ResponseHeader(revision=self.revision)

    def _admit(self, context: Any) -> None:
        """As etcd's server/etcdserver/api/v3rpc: a code and a text for each refusal."""
        self.running.wait()
        if not self.passwords:
            return
        token = dict(context.invocation_metadata()).get("token")
        if token is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty")
        elif token not in self.tokens:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
        elif self.tokens[token] not in self.allowed:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")

    def _allow(self, key: bytes, context: Any) -> None:
        if key.startswith(self.forbidden):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")

    def Authenticate(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.running.wait()
        if not self.passwords:
            text = "etcdserver: authentication is not enabled"
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        if self.passwords.get(request.name) != request.password:
            text = "etcdserver: authentication failed, invalid user ID or password"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        self.authentications += 1
        token = f"token.{self.authentications}"
        self.tokens[token] = request.name
        return etcdrpc.AuthenticateResponse(token=token)

    def Range(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        if not self.read_only:
            self._allow(request.key, context)
        with self.lock:
            self.asked.append(request)
            end = request.range_end or request.key + b"\0"
            found = [kv for key, kv in sorted(self.keys.items()) if request.key <= key < end]
            return etcdrpc.RangeResponse(header=self.header, kvs=found, count=len(found))

    def Txn(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        for operation in request.success:
            self._allow(operation.request_put.key, context)
        with self.lock:
            if not all(self._holds(compare) for compare in request.compare):
                return etcdrpc.TxnResponse(header=self.header, succeeded=False)
            answers = [self._perform(operation) for operation in request.success]
            return etcdrpc.TxnResponse(header=self.header, succeeded=True, responses=answers)

    def _perform(self, operation: Any) -> Any:
        if operation.WhichOneof("request") == "request_put":
            put = operation.request_put
            self.put(put.key.decode(), put.value, put.lease)
            return etcdrpc.ResponseOp(response_put=etcdrpc.PutResponse(header=self.header))
        self.delete(operation.request_delete_range.key.decode())
        return etcdrpc.ResponseOp(response_delete_range=etcdrpc.DeleteRangeResponse())

    def _holds(self, compare: Any) -> bool:
        kv = self.keys.get(compare.key, mvccpb.KeyValue())
        assert compare.result == etcdrpc.Compare.EQUAL
        if compare.target == etcdrpc.Compare.VERSION:
            return bool(kv.version == compare.version)
        assert compare.target == etcdrpc.Compare.MOD
        return bool(kv.mod_revision == compare.mod_revision)

    def LeaseGrant(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        return etcdrpc.LeaseGrantResponse(ID=self.lease(request.TTL), TTL=request.TTL)

    def LeaseRevoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        del self.leases[request.ID]
        return etcdrpc.LeaseRevokeResponse()

    def Watch(self, requests: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context.add_callback(lambda: messages.put(None))
        metadata = dict(context.invocation_metadata())

        def begin() -> None:
            with suppress(grpc.RpcError):  # the client has gone
                for request in requests:
                    self._begin_watch(request.create_request, metadata, messages)

        threading.Thread(target=begin, daemon=True).start()
        yield from iter(messages.get, None)

    def _begin_watch(self, create: Any, metadata: dict[str, str], messages: "queue.SimpleQueue[Any]") -> None:
        messages.put(etcdrpc.WatchResponse(created=True))
        with self.lock:
            self.asked.append((create, metadata))
            if create.start_revision < self.compacted:
                refusal = etcdrpc.WatchResponse(compact_revision=self.compacted, canceled=True)
                messages.put(refusal)
            missed = [
                event
                for event in self.history
                if event.kv.mod_revision >= create.start_revision
                and create.key <= event.kv.key < create.range_end
            ]
            if missed:
                messages.put(etcdrpc.WatchResponse(events=missed))
            self.watches.append((create, messages))
        self.watched.release()
