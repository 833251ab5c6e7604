"""etcd on this machine, over HTTP: its v2 store, and its v3 store through the JSON gateway.

Both look the same from here: keys with values, each with the seconds that it has left, if it has a lease.
"""

import base64
import contextlib
import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import http.client

from lab.faults.inside.kinds import Failed, Refused, until

__all__ = ["V3", "Entry", "Store", "only_v3", "open_store"]

ADDRESS = ("127.0.0.1", 2379)

FOLDER = Path("/etc/overlay-lab/etcd")
"""Has the CA's certificate, and this machine's own with its key, where etcd asks for them."""

CLIENT = Path("/etc/overlay-lab/etcdctl.env")
"""Has the name and password of etcd's root, where etcd has users."""

PATIENCE = 2.0
"""Seconds for etcd to answer: one that is paused never does."""

MANY = 100
"""Operations in a transaction; etcd takes 128 (--max-txn-ops)."""


class Silent(Failed):
    """etcd does not answer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: str
    value: str
    ttl: int | None
    """Seconds; None for a key without a lease."""
    lease: int = 0
    """v3: the identifier of its etcd lease; 0 for none."""


class Store(Protocol):
    """One of etcd's two stores."""

    def get(self, key: str) -> Entry | None:
        """A key, if it is there."""

    def listing(self, prefix: str) -> Sequence[Entry]:
        """The keys below PREFIX/."""

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Set a key; with a lease of its own if it is to have a time to live."""

    def put_all(self, values: Mapping[str, str]) -> None:
        """Set many keys, none with a lease."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete these, as far as they are there."""

    def put_back(self, entry: Entry) -> None:
        """Set a key to what it was, under the lease that it had, or under one with what that had left."""


def _connection() -> "http.client.HTTPConnection":
    """To etcd, with TLS where this machine has certificates for it.

    What that takes is imported only now: it would be a third of the time in which any fault begins or ends.
    """
    import http.client

    if not FOLDER.is_dir():
        return http.client.HTTPConnection(*ADDRESS, timeout=PATIENCE)
    import ssl

    context = ssl.create_default_context(cafile=str(FOLDER / "ca.pem"))
    context.load_cert_chain(FOLDER / "node.pem", FOLDER / "node-key.pem")
    return http.client.HTTPSConnection(*ADDRESS, timeout=PATIENCE, context=context)


def root() -> tuple[str, str] | None:
    """The name and password of etcd's root, where it has users."""
    if not CLIENT.exists():
        return None
    lines = CLIENT.read_text(encoding="utf-8").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return (found["ETCDCTL_USER"], found["ETCDCTL_PASSWORD"]) if "ETCDCTL_USER" in found else None


def _ask(
    path: str, *, method: str = "GET", data: bytes | None = None, kind: str = "", authorization: str = ""
) -> dict[str, Any]:
    """The JSON that etcd answers, also with an error of its own."""
    from http.client import HTTPException

    headers = {"Content-Type": kind} if kind else {}
    if authorization:
        headers["Authorization"] = authorization
    try:
        with contextlib.closing(_connection()) as connection:
            connection.request(method, path, data, headers)
            text = connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise Silent(f"etcd on this machine does not answer: {error}") from None
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Failed(f"etcd answered no JSON to {path}: {text[:100]!r}") from None
    return found


class V2:
    """The store that flannel up to 0.17 uses."""

    def _keys(self, key: str, *, method: str = "GET", **form: object) -> dict[str, Any]:
        query = "?recursive=true&quorum=true" if method == "GET" else ""
        data = urllib.parse.urlencode(form).encode() if form else None
        kind = "application/x-www-form-urlencoded"
        path = f"/v2/keys{urllib.parse.quote(key)}{query}"
        user = root()
        basic = f"Basic {_coded(':'.join(user))}" if user else ""
        return _ask(path, method=method, data=data, kind=kind, authorization=basic)

    def get(self, key: str) -> Entry | None:
        """See `Store`."""
        answer = self._keys(key)
        return _of_v2(answer["node"]) if "value" in answer.get("node", {}) else None

    def listing(self, prefix: str) -> Sequence[Entry]:
        """See `Store`."""
        return list(_leaves(self._keys(prefix).get("node", {})))

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """See `Store`."""
        answer = self._keys(key, method="PUT", value=value, **({} if ttl is None else {"ttl": ttl}))
        if "errorCode" in answer:
            raise Failed(f"etcd did not set {key}: {answer['message']}")

    def put_all(self, values: Mapping[str, str]) -> None:
        """See `Store`."""
        for key, value in values.items():
            self.put(key, value)

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store`."""
        for key in keys:
            self._keys(key, method="DELETE")

    def put_back(self, entry: Entry) -> None:
        """See `Store`."""
        self.put(entry.key, entry.value, entry.ttl)


def _leaves(node: Mapping[str, Any]) -> Iterator[Entry]:
    if "value" in node:
        yield _of_v2(node)
    for below in node.get("nodes", ()):
        yield from _leaves(below)


def _of_v2(node: Mapping[str, Any]) -> Entry:
    return Entry(node["key"], node["value"], node.get("ttl"))


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(coded: str) -> str:
    return base64.b64decode(coded).decode(errors="replace")


def _post(path: str, body: Mapping[str, Any], token: str = "") -> dict[str, Any]:
    data = json.dumps(body).encode()
    return _ask(f"/v3/{path}", method="POST", data=data, kind="application/json", authorization=token)


@cache
def _token() -> str:
    """What etcd wants to see of root, where it has users; it takes its time for it, so once is enough."""
    if (user := root()) is None:
        return ""
    name, password = user
    answer = _post("auth/authenticate", {"name": name, "password": password})
    if "token" not in answer:
        raise Failed(f"etcd did not let root in: {answer.get('message', answer)}")
    return str(answer["token"])


class V3:
    """The store that flannel uses today."""

    def call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of the gateway's methods, which have the names of etcd's gRPC API. Raises `Failed`."""
        answer = _post(path, body, _token())
        if "error" in answer:
            raise Failed(f"etcd refused {path}: {answer.get('message') or answer['error']}")
        return answer

    def get(self, key: str) -> Entry | None:
        """See `Store`."""
        found = self._range({"key": _coded(key)})
        return found[0] if found else None

    def listing(self, prefix: str) -> Sequence[Entry]:
        """See `Store`."""
        return self._range(_below(prefix))

    def _range(self, wanted: Mapping[str, Any]) -> list[Entry]:
        found = self.call("kv/range", wanted).get("kvs", ())
        return [self._entry(item) for item in found]

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        lease = int(item.get("lease", 0))
        left = None
        if lease:
            left = int(self.call("lease/timetolive", {"ID": str(lease)}).get("TTL", -1))
        return Entry(_text(item["key"]), _text(item.get("value", "")), left, lease)

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """See `Store`."""
        lease = "0" if ttl is None else str(self.call("lease/grant", {"TTL": str(ttl)})["ID"])
        self.call("kv/put", {"key": _coded(key), "value": _coded(value), "lease": lease})

    def put_all(self, values: Mapping[str, str]) -> None:
        """See `Store`."""
        self._all(
            {"requestPut": {"key": _coded(key), "value": _coded(value)}} for key, value in values.items()
        )

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store`."""
        self._all({"requestDeleteRange": {"key": _coded(key)}} for key in keys)

    def _all(self, operations: Iterable[Mapping[str, Any]]) -> None:
        every = list(operations)
        for first in range(0, len(every), MANY):
            self.call("kv/txn", {"success": every[first : first + MANY]})

    def put_back(self, entry: Entry) -> None:
        """See `Store`."""
        if entry.ttl is None:
            self.put(entry.key, entry.value)
            return
        lives = int(self.call("lease/timetolive", {"ID": str(entry.lease)}).get("TTL", -1)) > 0
        if not lives:
            self.put(entry.key, entry.value, max(entry.ttl, 1))
            return
        own = {"key": _coded(entry.key), "value": _coded(entry.value), "lease": str(entry.lease)}
        self.call("kv/put", own)


def _below(prefix: str) -> Mapping[str, str]:
    """The range of keys that begin with PREFIX/; 0 comes after / in ASCII."""
    return {"key": _coded(f"{prefix}/"), "range_end": _coded(f"{prefix}0")}


def open_store(api: str, *, patient: bool = False) -> Store:
    """The store that a lab uses, v2 or v3; with `patient` once etcd, which may just have started, answers."""
    store: Store = V2() if api == "v2" else V3()

    def silent() -> str:
        try:
            store.get("/")
        except Silent as error:
            return str(error)
        return ""

    if patient:
        until(silent, "etcd to answer", 10.0)
    return store


def only_v3(api: str, what: str) -> V3:
    """The v3 store. Raises `Refused` where the lab uses the other one."""
    if api == "v2":
        raise Refused(f"{what} is of etcd's v3 store, and this lab uses v2")
    return V3()
