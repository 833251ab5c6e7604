"""An etcd v2 in this process: real HTTP on the loopback device, and as much of etcd's v2 API as flannel uses.

Answers, codes and headers as in etcd's Documentation/v2/api.md and errorcode.md.
"""

import base64
import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Stored:
    value: str
    created: int
    modified: int
    ttl: int | None


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: str
    form: str
    authorization: str


class FakeEtcd2:
    """Keys with indexes and history. `hang` makes every request wait, as in a stopped process.

    What is below `forbidden` nobody may read, or write with `read_only` alone.

    `users` are "NAME:PASSWORD"; where there are any, others are not let in. `redirect` is where every
    request is sent on to. With `babbles` it is something else than etcd, that says this.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.index = 1
        self.keys: dict[str, Stored] = {}
        self.history: list[dict[str, Any]] = []
        self.cleared = 0
        self.asked: list[Asked] = []
        self.users: set[str] = set()
        self.redirect = ""
        self.forbidden = "nothing"
        self.read_only = False
        self.enabled = True
        self.babbles = ""
        self.refuse_deletions = False
        self.changed = threading.Condition()
        self.generation = 0
        self.waiting = 0
        self.running = threading.Event()
        self.running.set()

        class Handler(_Handler):
            etcd = self

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            # The hand is shaken by the thread that answers, so that nobody holds up the others.
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}"

    def hang(self) -> None:
        self.running.clear()

    def stop(self) -> None:
        self.running.set()
        self.break_watches()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def break_watches(self) -> None:
        """End every answer that waits for an event with an empty one, as an etcd that ends does."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def await_watch(self) -> None:
        """Wait until somebody waits for an event; between two of them a watch asks for nothing."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.waiting, 10)

    def clear_history(self) -> None:
        self.cleared = self.index

    def write(self, key: str, value: str, ttl: int | None = None, action: str = "set") -> dict[str, Any]:
        with self.changed:
            self.index += 1
            before = self.keys.get(key)
            # As in etcd only compareAndSwap and update keep the index of creation.
            kept = action == "compareAndSwap" and before is not None
            created = before.created if kept and before else self.index
            self.keys[key] = Stored(value, created, self.index, ttl)
            return self._happened(action, key, before)

    def delete(self, key: str, action: str = "delete") -> dict[str, Any]:
        with self.changed:
            self.index += 1
            before = self.keys.pop(key)
            return self._happened(action, key, before)

    def delete_directory(self, key: str) -> None:
        with self.changed:
            self.index += 1
            self.keys = {name: item for name, item in self.keys.items() if not name.startswith(f"{key}/")}
            node = {"key": key, "dir": True, "modifiedIndex": self.index, "createdIndex": 1}
            self.history.append({"action": "delete", "node": node})
            self.changed.notify_all()

    def _happened(self, action: str, key: str, before: Stored | None) -> dict[str, Any]:
        if key in self.keys:
            node = _node(key, self.keys[key])
        else:
            assert before is not None
            node = {"key": key, "modifiedIndex": self.index, "createdIndex": before.created}
        event = {"action": action, "node": node}
        if before is not None:
            event["prevNode"] = _node(key, before)
        self.history.append(event)
        self.changed.notify_all()
        return event


def _node(key: str, stored: Stored) -> dict[str, Any]:
    node = {"key": key, "modifiedIndex": stored.modified, "createdIndex": stored.created}
    if stored.value:  # encoding/json's omitempty
        node["value"] = stored.value
    if stored.ttl is not None:
        node |= {"ttl": stored.ttl, "expiration": "2099-01-02T03:04:05.678Z"}
    return node


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_args: Any) -> None:
        """Whoever asked has gone, or a test has failed already."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    etcd: FakeEtcd2

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._begin()

    def do_PUT(self) -> None:
        self._begin()

    def do_DELETE(self) -> None:
        self._begin()

    def _begin(self) -> None:
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parts = urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        self.etcd.asked.append(Asked(self.command, parts.path, parts.query, form, authorization))
        self.etcd.running.wait()
        if self.etcd.redirect:
            self.send_response(307)
            self.send_header("Location", self.etcd.redirect + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        known = {f"Basic {base64.b64encode(user.encode()).decode()}" for user in self.etcd.users}
        refused = parts.path.startswith(f"/v2/keys{self.etcd.forbidden}")
        if self.command == "GET" and self.etcd.read_only:
            refused = False
        if refused or (known and authorization not in known):
            self._send(401, {"message": "Insufficient credentials"})
        elif self.etcd.babbles:
            self._send(200, self.etcd.babbles)
        elif not self.etcd.enabled:
            self._send(404, "404 page not found\n")
        else:
            self._answer(unquote(parts.path).removeprefix("/v2/keys"), _flat(parts.query), _flat(form))

    def _answer(self, key: str, query: dict[str, str], form: dict[str, str]) -> None:
        if query.get("wait") == "true":
            self._wait(key, int(query["waitIndex"]))
            return
        with self.etcd.changed:
            if self.command == "GET":
                self._get(key)
            else:
                self._write(key, query, form)

    def _get(self, key: str) -> None:
        below = {name: item for name, item in self.etcd.keys.items() if name.startswith(f"{key}/")}
        if key in self.etcd.keys:
            self._send(200, {"action": "get", "node": _node(key, self.etcd.keys[key])})
        elif below:
            nodes = [_node(name, item) for name, item in below.items()]
            self._send(200, {"action": "get", "node": {"key": key, "dir": True, "nodes": nodes}})
        else:
            self._error(404, 100, "Key not found", key)

    def _write(self, key: str, query: dict[str, str], form: dict[str, str]) -> None:
        stored = self.etcd.keys.get(key)
        if query.get("prevExist") == "false" and stored is not None:
            self._error(412, 105, "Key already exists", key)
            return
        previous = query.get("prevIndex")
        if (previous is not None or self.command == "DELETE") and stored is None:
            self._error(404, 100, "Key not found", key)
            return
        if previous is not None and stored is not None and int(previous) != stored.modified:
            self._error(412, 101, "Compare failed", f"[{previous} != {stored.modified}]")
            return
        if self.command == "DELETE" and self.etcd.refuse_deletions:
            self._error(500, 300, "Raft Internal Error", "etcdserver: request timed out")
        elif self.command == "DELETE":
            self._send(200, self.etcd.delete(key, "compareAndDelete" if previous else "delete"))
        else:
            ttl = int(form["ttl"]) if "ttl" in form else None
            action = "compareAndSwap" if previous else "create" if "prevExist" in query else "set"
            event = self.etcd.write(key, form["value"], ttl, action)
            self._send(201 if action == "create" else 200, event)

    def _wait(self, key: str, first: int) -> None:
        etcd = self.etcd
        with etcd.changed:
            if first <= etcd.cleared:
                cause = f"the requested history has been cleared [{etcd.cleared + 1}/{first}]"
                self._error(400, 401, "The event in requested index is outdated and cleared", cause)
                return
            self._head(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            generation = etcd.generation
            etcd.waiting += 1
            etcd.changed.notify_all()
            etcd.changed.wait_for(lambda: etcd.generation != generation or self._first(key, first))
            etcd.waiting -= 1
            event = self._first(key, first) if etcd.generation == generation else None
        body = b"" if event is None else json.dumps(event).encode() + b"\n"
        try:
            if body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def _first(self, key: str, first: int) -> dict[str, Any] | None:
        for event in self.etcd.history:
            name = f"{event['node']['key']}/"
            if event["node"]["modifiedIndex"] >= first and (
                name.startswith(f"{key}/") or (event["node"].get("dir") and f"{key}/".startswith(name))
            ):
                return event
        return None

    def _error(self, status: int, code: int, message: str, cause: str) -> None:
        error = {"errorCode": code, "message": message, "cause": cause, "index": self.etcd.index}
        self._send(status, error)

    def _head(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Etcd-Index", str(self.etcd.index))

    def _send(self, status: int, body: object) -> None:
        data = (body if isinstance(body, str) else json.dumps(body) + "\n").encode()
        self._head(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
