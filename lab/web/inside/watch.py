"""Counts bytes and sends echo requests from this machine and its pods, for as long as somebody asks.

One process that stays: a command for each number and each second would keep a small machine busy. It reads
and writes lines of JSON:
    <- {"number": N, "probe": BOOL, "ready": URL, "etcd": BOOL, "pods": {POD: PID}, "peers": {NODE: [SUBNET]},
        "pings": {KEY: {"pid": PID, "to": ADDRESS, "source": ADDRESS}}}
    -> {"number": N, "clock": SECONDS, "devices": {NAME: [RECEIVED, SENT]}, "pods": {POD: [RECEIVED, SENT]},
        "peers": {NODE: [RECEIVED, SENT]},
        "answers": {KEY: {"ms": N or null, "age": SECONDS, "error": WORDS}}, "faults": [ID], "marks": [TEXT],
        "ready": {"status": N, "text": TEXT} or null}
A PID of 0 is this machine's own network namespace. With `probe` echo requests are sent; what became of them
is told when it is decided. An empty line, the end of input, or half a minute without a question ends it.

Marks are any texts that become others when a container has come, started, ended or gone here, and, with
`etcd`, when this machine's etcd has written: then it is worth asking Docker and etcd.
"""

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lab.web.inside.flows import Flows

IDLE = 30.0
"""Seconds without a question after which it ends."""

LATE = 0.9
"""Seconds after which an echo request counts as lost."""

AT_ONCE = 0.3
"""Seconds for flanneld's own answer, which comes from this machine."""

FORGOTTEN = 20.0
"""Seconds after which an answer tells nothing of now."""

CLONE_NEWNET = 0x40000000
"""linux/sched.h."""

ECHO, ECHO_REPLY, ECHO6, ECHO_REPLY6 = 8, 0, 128, 129
"""Types of RFC 792 and RFC 4443."""

FAULTS = Path("/var/lib/overlay-lab/faults")

RUNNING = Path("/run/docker/runtime-runc/moby")
"""Has a folder for each container that runs."""

CONTAINERS = Path("/var/lib/docker/containers")
"""Has one for each."""

ETCD = Path("/var/lib/etcd")


def counters(pid: str) -> dict[str, list[int]]:
    """Bytes received and sent by each device of a process's network namespace: proc_net_dev(5)."""
    found = {}
    for line in Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        words = numbers.split()
        found[name.strip()] = [int(words[0]), int(words[8])]
    return found


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Place:
    """A raw socket in one network namespace, for one family of addresses."""

    def __init__(self, pid: int, family: int, source: str) -> None:
        self.family = family
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        with namespace(pid):
            self.socket = socket.socket(socket.AddressFamily(family), socket.SOCK_RAW, protocol)
        self.socket.setblocking(False)
        if source:
            self.socket.bind((source, 0))

    def send(self, to: str, mark: int, number: int) -> None:
        """Send an echo request. Raises `OSError`."""
        kind = ECHO if self.family == socket.AF_INET else ECHO6
        head = struct.pack("!BBHHH", kind, 0, 0, mark, number)
        if self.family == socket.AF_INET:  # for ICMPv6 the kernel does it
            head = struct.pack("!BBHHH", kind, 0, checksum(head), mark, number)
        self.socket.sendto(head, (to, 0))

    def hear(self, mark: int) -> list[int]:
        """The numbers of the answers that have come."""
        numbers = []
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                data = self.socket.recv(2048)
                if self.family == socket.AF_INET:
                    data = data[(data[0] & 15) * 4 :]
                if len(data) >= 8:
                    kind, _, _, own, number = struct.unpack("!BBHHH", data[:8])
                    if kind in (ECHO_REPLY, ECHO_REPLY6) and own == mark:
                        numbers.append(number)
        return numbers


@contextlib.contextmanager
def namespace(pid: int) -> Any:
    """Be in a process's network namespace."""
    if not pid:
        yield
        return
    with Path("/proc/self/ns/net").open() as own, Path(f"/proc/{pid}/ns/net").open() as other:
        enter(other.fileno())
        try:
            yield
        finally:
            enter(own.fileno())


def enter(descriptor: int) -> None:
    """setns(2)."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Pings:
    """Echo requests that are under way, and what became of the last one to each place."""

    def __init__(self) -> None:
        self.mark = os.getpid() & 0xFFFF
        self.number = 0
        self.places: dict[tuple[int, int, str], Place] = {}
        self.waiting: dict[int, tuple[str, float]] = {}
        self.answers: dict[str, tuple[float | None, float, str]] = {}
        """Milliseconds, when it was sent, and why there is no answer."""

    @property
    def sockets(self) -> list[socket.socket]:
        """Those where answers come."""
        return [place.socket for place in self.places.values()]

    def send(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Send one to each; sockets of containers that are gone are closed."""
        where = {key: (it["pid"], _family(it["to"]), it["source"]) for key, it in wanted.items()}
        for gone in self.places.keys() - set(where.values()):
            self.places.pop(gone).socket.close()
        for key, it in wanted.items():
            now = time.monotonic()
            self.number = self.number % 0xFFFF + 1
            try:
                place = self.places.get(where[key])
                if place is None:
                    place = self.places[where[key]] = Place(*where[key])
                place.send(it["to"], self.mark, self.number)
            except OSError as error:
                self.answers[key] = (None, now, error.strerror or str(error))
            else:
                self.waiting[self.number] = (key, now)

    def hear(self) -> None:
        """Take the answers that have come."""
        now = time.monotonic()
        for place in self.places.values():
            for number in place.hear(self.mark):
                key, sent = self.waiting.pop(number, ("", 0.0))
                if key:
                    self.answers[key] = ((now - sent) * 1000, sent, "")

    def told(self, wanted: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What is decided of those that are still wanted."""
        now = time.monotonic()
        for number, (key, sent) in list(self.waiting.items()):
            if now - sent >= LATE:
                del self.waiting[number]
                self.answers[key] = (None, sent, f"no answer in {LATE:g} s")
        self.answers = {
            key: it for key, it in self.answers.items() if key in wanted and now - it[1] < FORGOTTEN
        }
        return {
            key: {"ms": ms if ms is None else round(ms, 3), "age": round(now - sent, 1), "error": error}
            for key, (ms, sent, error) in self.answers.items()
        }


def readiness(url: str) -> dict[str, Any]:
    """What flanneld itself says at /readyz; a status of 0 where it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=AT_ONCE) as answer:  # noqa: S310 - the lab's own
            return {"status": answer.status, "text": answer.read(2000).decode(errors="replace")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "text": error.read(2000).decode(errors="replace")}
    except (OSError, ValueError) as error:
        return {"status": 0, "text": str(error)}


def marks(*, etcd: bool) -> list[str]:
    """What changes with the containers of this machine, and with what its etcd holds."""
    found = sorted(str(path) for path in CONTAINERS.glob("*"))
    changing = sorted((*RUNNING.glob("*"), *(ETCD.glob("*/member/wal/*.wal") if etcd else ())))
    for path in changing:
        with contextlib.suppress(OSError):  # it has just gone
            found.append(f"{path} {path.stat().st_mtime_ns}")
    return found


def look(asked: dict[str, Any], pings: Pings, flows: Flows) -> dict[str, Any]:
    """Answer one question."""
    pods = {}
    for name, pid in asked["pods"].items():
        with contextlib.suppress(OSError):  # it has ended
            pods[name] = counters(str(pid)).get("eth0", [0, 0])
    flows.want(asked["peers"])
    faults = sorted(path.stem for path in FAULTS.glob("*.json"))
    answers = pings.told(asked["pings"])
    if asked["probe"]:
        pings.send(asked["pings"])
    return {
        "number": asked["number"],
        "clock": time.monotonic(),
        "devices": counters("self"),
        "pods": pods,
        "peers": flows.told(),
        "answers": answers,
        "faults": faults,
        "marks": marks(etcd=asked["etcd"]),
        "ready": readiness(asked["ready"]) if asked["ready"] else None,
    }


def main(_arguments: list[str]) -> int:
    """Answer until nobody asks any more."""
    pings, flows, read, heard = Pings(), Flows(), b"", time.monotonic()
    while (left := heard + IDLE - time.monotonic()) > 0:
        ready: list[Any] = select.select([sys.stdin, *pings.sockets, *flows.waits_for], [], [], left)[0]
        pings.hear()
        flows.hear()
        if sys.stdin not in ready:
            continue
        data = os.read(0, 65536)
        read += data
        while b"\n" in read:
            line, _, read = read.partition(b"\n")
            if not line.strip():
                return 0
            sys.stdout.write(json.dumps(look(json.loads(line), pings, flows)) + "\n")
            sys.stdout.flush()
            heard = time.monotonic()
        if not data:
            return 0
    return 0
