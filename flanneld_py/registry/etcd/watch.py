"""One watch of etcd v3: a stream of gRPC messages, read in a thread of its own.

Not etcd3's Watcher: that restarts a stream by itself, even on a closed channel, and says nothing when the
server ends a watch for any other reason than compaction.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flanneld_py.registry.etcd.library import etcdrpc, grpc

__all__ = ["EtcdWatch", "words"]

# A member that lost its leader ends the stream instead of staying silent (etcd's clientv3.WithRequireLeader).
REQUIRE_LEADER = (("hasleader", "true"),)


class EtcdWatch:
    """Everything that happens to keys in ranges [first, end) from `revision` on, in order within each.

    `metadata` is what authenticates us to the server. `on_events` gets the mvccpb.Events of each message;
    `on_end` gets the reason, once, as the last thing. Both are called in the watch's own thread, and neither
    after `close`.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        metadata: Sequence[tuple[str, str]],
        ranges: Sequence[tuple[bytes, bytes]],
        revision: int,
        *,
        on_events: Callable[[list[Any]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._on_events = on_events
        self._on_end = on_end
        self._closed = False
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for first, end in ranges:
            create = etcdrpc.WatchCreateRequest(key=first, range_end=end, start_revision=revision)
            self._requests.put(etcdrpc.WatchRequest(create_request=create))
        self._stream: Any = etcdrpc.WatchStub(channel).Watch(
            iter(self._requests.get, None), metadata=(*REQUIRE_LEADER, *metadata)
        )
        threading.Thread(target=self._read, name="watch", daemon=True).start()

    def close(self) -> None:
        """End the watch. Does not wait for its thread."""
        self._closed = True
        self.cut()

    def cut(self) -> None:
        """Break the connection: `on_end` will be called, as if the server had broken it."""
        self._requests.put(None)
        self._stream.cancel()

    def _read(self) -> None:
        reason = "the server closed it"
        try:
            for events in self._messages():
                if events and not self._closed:
                    self._on_events(events)
        except _Ended as error:
            reason = str(error)
        except grpc.RpcError as error:
            reason = words(error)
        except Exception as error:  # noqa: BLE001 -- a watch that ends silently would never be restarted
            reason = f"unexpected {type(error).__name__}: {error}"
        if not self._closed:
            self._on_end(reason)

    def _messages(self) -> Iterator[list[Any]]:
        for message in self._stream:
            if message.compact_revision:
                raise _Ended(f"history before revision {message.compact_revision} was compacted")
            if message.canceled:
                raise _Ended(f"the server cancelled it: {message.cancel_reason or 'no reason given'}")
            yield list(message.events)


class _Ended(Exception):
    """The server ended the watch, and said why."""


def words(error: grpc.RpcError) -> str:
    """A failure of gRPC in one line."""
    if not isinstance(error, grpc.Call):
        return str(error) or type(error).__name__
    code = error.code().name.lower().replace("_", " ")
    details = (error.details() or "").strip()
    return " ".join(f"{code}: {details}".split()) if details else code
