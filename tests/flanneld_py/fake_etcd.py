"""An etcd v3 in this process: real gRPC on the loopback device, and as much of etcd as flannel uses."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flanneld_py.registry.etcd_library import etcdrpc, grpc

mvccpb = etcdrpc.rpc_pb2.kv__pb2

DELETE = 1  # mvccpb.Event.EventType


class FakeEtcd(etcdrpc.KVServicer, etcdrpc.LeaseServicer, etcdrpc.WatchServicer):  # type: ignore[misc]
    """Keys with revisions and leases. `hang` makes every call wait, as in a stopped process."""

    def __init__(self) -> None:
        self.revision = 1
        self.keys: dict[bytes, Any] = {}
        self.leases: dict[int, int] = {}
        self.asked: list[Any] = []
        self.watches: list[queue.SimpleQueue[Any]] = []
        self.watched = threading.Semaphore(0)
        self.running = threading.Event()
        self.running.set()
        self.server = grpc.server(ThreadPoolExecutor(max_workers=8))
        etcdrpc.add_KVServicer_to_server(self, self.server)
        etcdrpc.add_LeaseServicer_to_server(self, self.server)
        etcdrpc.add_WatchServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hang(self) -> None:
        self.running.clear()

    def stop(self) -> None:
        self.running.set()
        for watch in self.watches:
            watch.put(None)
        self.server.stop(0).wait()

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        self.revision += 1
        kv = mvccpb.KeyValue(
            key=key.encode(), value=value, mod_revision=self.revision, version=1, lease=lease
        )
        self.keys[kv.key] = kv
        self.tell(etcdrpc.WatchResponse(events=[mvccpb.Event(kv=kv)]))

    def delete(self, key: str) -> None:
        self.revision += 1
        del self.keys[key.encode()]
        kv = mvccpb.KeyValue(key=key.encode(), mod_revision=self.revision)
        self.tell(etcdrpc.WatchResponse(events=[mvccpb.Event(type=DELETE, kv=kv)]))

    def tell(self, message: Any) -> None:
        for watch in self.watches:
            watch.put(message)

    @property
    def header(self) -> Any:
        return etcdrpc.ResponseHeader(revision=self.revision)

    def Range(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.running.wait()
        self.asked.append(request)
        end = request.range_end or request.key + b"\0"
        found = [kv for key, kv in sorted(self.keys.items()) if request.key <= key < end]
        return etcdrpc.RangeResponse(header=self.header, kvs=found, count=len(found))

    def Txn(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.running.wait()
        if not all(self._holds(compare) for compare in request.compare):
            return etcdrpc.TxnResponse(header=self.header, succeeded=False)
        answers = []
        for operation in request.success:
            if operation.WhichOneof("request") == "request_put":
                put = operation.request_put
                self.put(put.key.decode(), put.value, put.lease)
                answers.append(etcdrpc.ResponseOp(response_put=etcdrpc.PutResponse(header=self.header)))
            else:
                self.delete(operation.request_delete_range.key.decode())
                answers.append(etcdrpc.ResponseOp(response_delete_range=etcdrpc.DeleteRangeResponse()))
        return etcdrpc.TxnResponse(header=self.header, succeeded=True, responses=answers)

    def _holds(self, compare: Any) -> bool:
        kv = self.keys.get(compare.key, mvccpb.KeyValue())
        assert compare.result == etcdrpc.Compare.EQUAL
        if compare.target == etcdrpc.Compare.VERSION:
            return bool(kv.version == compare.version)
        assert compare.target == etcdrpc.Compare.MOD
        return bool(kv.mod_revision == compare.mod_revision)

    def LeaseGrant(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.running.wait()
        identifier = len(self.leases) + 1000
        self.leases[identifier] = request.TTL
        return etcdrpc.LeaseGrantResponse(ID=identifier, TTL=request.TTL)

    def LeaseRevoke(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.running.wait()
        del self.leases[request.ID]
        return etcdrpc.LeaseRevokeResponse()

    def Watch(self, requests: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append((next(requests).create_request, dict(context.invocation_metadata())))
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watches.append(messages)
        self.watched.release()
        context.add_callback(lambda: messages.put(None))
        yield etcdrpc.WatchResponse(created=True)
        yield from iter(messages.get, None)
