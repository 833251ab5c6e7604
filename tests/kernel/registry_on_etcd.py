"""The contract of registries, with a real etcd. `test_registries` runs this where there is one."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.etcd.library import etcd3
from flanneld_py.registry.etcd2 import Etcd2Registry
from flanneld_py.registry.lease_store import LeaseStore
from tests.flanneld_py.announcements_conformance import BesideContract
from tests.flanneld_py.registry_conformance import ANSWERED, DAY, DualStackContract, StoreContract, Stored

PORT = 22379


class Server:
    """An etcd of one member, that may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worlds = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "etcd", f"--data-dir={self.folder}", "--enable-v2=true", "--log-level=error",
                f"--listen-client-urls=http://127.0.0.1:{PORT}",
                f"--advertise-client-urls=http://127.0.0.1:{PORT}",
                f"--listen-peer-urls=http://127.0.0.1:{PORT + 1}",
                "--heartbeat-interval=20", "--election-timeout=200",
            ],
        )  # fmt: skip
        until(self._is_healthy, "etcd to be ready")

    def _is_healthy(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
            connection.request("GET", "/health")
            answer = json.loads(connection.getresponse().read())
            connection.close()
        except (OSError, ValueError):
            return False
        return bool(answer["health"] == "true")

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        # Signals are delivered when the process runs next.
        state = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: state.read_text().rpartition(") ")[2].startswith("T"), "etcd to be stopped")

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def until(probe: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline, f"waited 20 s for {what}"
        threading.Event().wait(0.05)


class Etcd:
    """See `World`: a prefix of its own in the server, by etcd's v3 API."""

    kind: type[EtcdRegistry] | type[Etcd2Registry] = EtcdRegistry

    def __init__(self, server: Server) -> None:
        server.worlds += 1
        self.server = server
        self.prefix = f"/networks/{server.worlds}-{self.kind.__name__}"
        self.connected: list[LeaseStore] = []

    def close(self) -> None:
        self.resume()
        for registry in self.connected:
            registry.close()

    def connect(self, timeout: float = ANSWERED) -> LeaseStore:
        self.connected.append(self.kind([f"http://127.0.0.1:{PORT}"], self.prefix, timeout=timeout))
        return self.connected[-1]

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b","PublicIPv6":null}' % address.encode()

    def configure(self, text: bytes) -> None:
        with self._client() as client:
            client.put(f"{self.prefix}/config", text)

    def put(self, name: str, value: bytes, *, permanent: bool = False, ttl: int = DAY) -> int:
        with self._client() as client:
            lease = None if permanent else client.lease(ttl)
            return int(client.put(self._key(name), value, lease=lease).header.revision)

    def put_brief(self, name: str, value: bytes) -> None:
        self.put(name, value, ttl=1)

    def put_for(self, seconds: int, name: str, value: bytes) -> int:
        return self.put(name, value, ttl=seconds)

    def let_pass(self, seconds: int) -> None:
        """It does."""

    def delete(self, name: str) -> None:
        with self._client() as client:
            assert client.delete(self._key(name))

    def stored(self, name: str) -> Stored | None:
        return self._stored(self._key(name))

    def say(self, kind: str, name: str, value: bytes) -> None:
        with self._client() as client:
            client.put(f"{self.prefix}-ext/{kind}/{name}", value)

    def unsay(self, kind: str, name: str) -> None:
        with self._client() as client:
            assert client.delete(f"{self.prefix}-ext/{kind}/{name}")

    def said(self, kind: str, name: str) -> Stored | None:
        return self._stored(f"{self.prefix}-ext/{kind}/{name}")

    def _stored(self, key: str) -> Stored | None:
        with self._client() as client:
            value, about = client.get(key)
            if value is None:
                return None
            ttl = client.get_lease_info(about.lease_id).TTL if about.lease_id else None
            return Stored(value, about.mod_revision, ttl)

    def forget(self) -> None:
        with self._client() as client:
            # What happened at the revision of a compaction stays known.
            client.compact(client.put("/elsewhere", "").header.revision)

    def break_connections(self) -> None:
        self.server.restart()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def _client(self) -> Any:
        return etcd3.client("127.0.0.1", PORT, timeout=5)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/subnets/{name}"


class Etcd2(Etcd):
    """See `World`: by etcd's v2 API."""

    kind = Etcd2Registry

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b"}' % address.encode()

    def configure(self, text: bytes) -> None:
        self._ask("PUT", f"{self.prefix}/config", {"value": text.decode()})

    def put(self, name: str, value: bytes, *, permanent: bool = False, ttl: int = DAY) -> int:
        form = {"value": value.decode()} | ({} if permanent else {"ttl": str(ttl)})
        return int(self._ask("PUT", self._key(name), form)["node"]["modifiedIndex"])

    def delete(self, name: str) -> None:
        assert self._ask("DELETE", self._key(name))["action"] == "delete"

    def say(self, kind: str, name: str, value: bytes) -> None:
        self._ask("PUT", f"{self.prefix}-ext/{kind}/{name}", {"value": value.decode()})

    def unsay(self, kind: str, name: str) -> None:
        assert self._ask("DELETE", f"{self.prefix}-ext/{kind}/{name}")["action"] == "delete"

    def _stored(self, key: str) -> Stored | None:
        answer = self._ask("GET", key)
        if "errorCode" in answer:
            assert answer["errorCode"] == 100
            return None
        node = answer["node"]
        return Stored(node["value"].encode(), node["modifiedIndex"], node.get("ttl"))

    def forget(self) -> None:
        for number in range(1001):  # etcd keeps the last thousand events
            self._ask("PUT", "/elsewhere", {"value": str(number)})

    def _ask(self, method: str, key: str, form: dict[str, str] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, f"/v2/keys{quote(key)}", urlencode(form or {}), headers)
        assert isinstance(connection.sock, socket.socket)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(f"/run/registry-{os.getpid()}")
    made = Server(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture
def world(request: pytest.FixtureRequest, server: Server) -> Iterator[Etcd]:
    made: Etcd = request.cls.kind(server)
    yield made
    made.close()


class TestEtcd(StoreContract, DualStackContract):
    kind = Etcd


class TestEtcd2(StoreContract):
    kind = Etcd2


class TestBesideInEtcd(BesideContract):
    kind = Etcd


class TestBesideInEtcd2(BesideContract):
    kind = Etcd2
