"""What v0.5.5's server does, in this process: no revisions, no limits, and renewals that compare nothing."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXPIRATION = "2026-11-24T09:14:16.200679459Z"


@dataclass
class V055Server:
    """`leases` by subnet, each with its PublicIP; every change makes the cursor larger."""

    leases: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self}))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def cursor(self) -> int:
        return len(self.events)

    def put(self, subnet: str, address: str) -> None:
        with self.changed:
            self.leases[subnet] = address
            self.events.append({"type": "added", "lease": self.lease(subnet)})
            self.changed.notify_all()

    def delete(self, subnet: str) -> None:
        with self.changed:
            del self.leases[subnet]
            gone = {"Subnet": subnet, "Attrs": None, "Expiration": "0001-01-01T00:00:00Z"}
            self.events.append({"type": "removed", "lease": gone})
            self.changed.notify_all()

    def lease(self, subnet: str) -> dict[str, Any]:
        return {"Subnet": subnet, "Attrs": {"PublicIP": self.leases[subnet]}, "Expiration": EXPIRATION}

    def stop(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: V055Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?next=")
        if path.endswith("/config"):
            backend = {"Network": "10.2.0.0/16", "SubnetMin": "10.2.1.0", "SubnetMax": "10.2.255.0"}
            self._answer(backend | {"SubnetLen": 24})
            return
        with self.state.changed:
            if not query:
                listed = [self.state.lease(subnet) for subnet in self.state.leases]
                self._answer({"events": None, "snapshot": listed, "cursor": str(self.state.cursor)})
                return
            after = int(query)
            if not self.state.changed.wait_for(lambda: self.state.ended or self.state.cursor > after, 60):
                raise TimeoutError(f"nothing has happened after {after}")
            if self.state.ended:
                self.close_connection = True
                return
            events = [self.state.events[after]]
        self._answer({"events": events, "snapshot": None, "cursor": str(after + 1)})

    def do_POST(self) -> None:
        address = self._body()["PublicIP"]
        free = (f"10.2.{n}.0/24" for n in range(1, 256) if f"10.2.{n}.0/24" not in self.state.leases)
        ours = next((subnet for subnet, holder in self.state.leases.items() if holder == address), None)
        subnet = ours or next(free)
        self.state.put(subnet, address)
        self._answer(self.state.lease(subnet))

    def do_PUT(self) -> None:
        lease = self._body()
        self.state.written.append(lease["Subnet"])
        self.state.put(lease["Subnet"], lease["Attrs"]["PublicIP"])
        self._answer(lease)

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
