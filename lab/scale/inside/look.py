"""Looks at all nodes at once, and does what has to be done and timed at once. One request on standard input.

Each has "nodes": [{"name": NAMESPACE, "pid": PID, "file": FILE}], of which the file is what the daemon
writes its subnet to, and "backend". Times are seconds of CLOCK_BOOTTIME, which processes' starts are told in.

{"do": "await", "more": [SUBNET], "timeout": S, "still": S} -> {"at": S, "began": S, "looked": S}
    Waits until each node has a route to every other node's subnet and to `more`, and no other. `began` is
    when the first of the nodes' processes began, null without nodes, `looked` how much processor time this
    has taken. Where it is not so in time, or nothing has changed for `still` seconds, {"lacking": {NAME:
    TEXT}}; where a daemon has ended, {"ended": {NAME: PID}}.
{"do": "usage", "etcd": [{"name": NAMESPACE, "pid": PID}]} -> {"used": {NAME: USAGE or null, and of etcd's
    members with "sent" and "requests"}, "neighbours": {"entries": N, "limit": N, "refused": N}}
    USAGE is {"cpu": S with that of programs it has run, "pss": BYTES, "rss": BYTES, "sockets": N,
    "descriptors": N, "threads": N}
{"do": "announce", "etcd": NAMESPACE, "prefix": P, "lease": TEXT} -> {"at": S, "subnet": SUBNET}
    Writes a lease of a subnet that nobody has, as if another machine had come.
{"do": "forget"} -> {"subnets": [SUBNET]}
    Those of these nodes, which have ended and forget them.
{"do": "expire", "etcd": NAMESPACE, "prefix": P, "subnets": [SUBNET]} -> {"at": S}
    Ends the leases of subnets, as etcd does when their time is over.
{"do": "leases", "timeout": S, "still": S} -> {"subnets": [SUBNET]}
    Waits until each node has one; where that is not so in time, or a daemon has ended, as with "await".
{"do": "serves", "etcd": NAMESPACE, "timeout": S} -> {"at": S, "lacking": TEXT}
    Waits until that member answers what it takes a leader for; TEXT is why it has not in time, or "".
{"do": "clock"} -> {"at": S}
"""

import base64
import ctypes
import http.client
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000  # linux/sched.h
RTM_GETNEIGH, RTM_NEWNEIGH, RTM_GETNEIGHTBL, RTM_NEWNEIGHTBL = 30, 28, 66, 64  # linux/rtnetlink.h
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300  # linux/netlink.h
NLMSG_ERROR, NLMSG_DONE = 2, 3
AF_BRIDGE = 7  # linux/socket.h
NUD_PERMANENT = 0x80  # linux/neighbour.h
HAS_IPV4 = struct.pack("=HH", 8, 1)  # what an attribute NDA_DST with an IPv4 address begins with
NDTA_NAME, NDTA_THRESH3, NDTA_CONFIG, NDTA_STATS = 1, 4, 5, 7
# Interface, destination, gateway, flags, three numbers, mask.
OF_24 = re.compile(rb"^\S+\t([0-9A-F]{8})\t[0-9A-F]{8}(?:\t\w+){4}\t00FFFFFF\t", re.MULTILINE)
TICKS = os.sysconf("SC_CLK_TCK")

PAUSE = 0.02  # seconds between looks, at least; and ten times what a look takes
HTTP = 10.0  # seconds for etcd's or a daemon's answer
LISTED = 3  # subnets that a message names
MONITOR = ("127.0.0.1", 9000)
ETCD = ("127.0.0.1", 2379)  # in its own namespace: what is done to its link does not meet who looks
DEVICE = "flannel.1"  # vxlan's, with the VNI that is the default

Node = dict[str, Any]

library = ctypes.CDLL(None, use_errno=True)


def now() -> float:
    """Seconds of the clock that processes' starts are told in (proc(5))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def rest(seconds: float) -> None:
    """Let so much time pass."""
    threading.Event().wait(seconds)


def enter(name: str) -> None:
    """Be in a network namespace."""
    with Path(f"/run/netns/{name}").open() as file:
        if library.setns(file.fileno(), CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, from the third on (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def runs(pid: int) -> bool:
    """Whether it does."""
    try:
        return stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Routes


def own_subnet(node: Node) -> str | None:
    """What its daemon has written, as 10.32.5.0/24; None as long as it has not."""
    with suppress(OSError):
        for line in Path(node["file"]).read_text().splitlines():
            if line.startswith("FLANNEL_SUBNET="):
                return str(IPv4Network(line.partition("=")[2], strict=False))
    return None


def routes(pid: int) -> set[str]:
    """The subnets of length 24 that a process' namespace has routes to, from /proc/PID/net/route."""
    return {subnet(found) for found in OF_24.findall(Path(f"/proc/{pid}/net/route").read_bytes())}


@cache
def subnet(digits: bytes) -> str:
    """As 10.32.5.0/24."""
    return f"{socket.inet_ntoa(struct.pack('=I', int(digits, 16)))}/24"


def told(node: Node) -> set[str]:
    """The subnets of the peers that a daemon itself tells of, by its /state."""
    enter(node["name"])
    with closing(http.client.HTTPConnection(*MONITOR, timeout=HTTP)) as connection:
        connection.request("GET", "/state")
        networks = json.loads(connection.getresponse().read())["networks"]
    return {peer["subnet"] for network in networks for peer in network["peers"]}


def reached(node: Node, backend: str) -> set[str]:
    """The subnets that a node sends packets to."""
    if backend != "udp":
        return routes(node["pid"])
    try:
        return told(node)
    except OSError:  # it does not listen yet
        return set()


def dump(family: int, kind: int, answer: int) -> Iterator[bytes]:
    """What the kernel lists, each without its netlink header."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as channel:
        body = struct.pack("=BxxxiHBB", family, 0, 0, 0, 0)  # struct ndmsg; a struct ndtmsg begins as it does
        flags = NLM_F_REQUEST | NLM_F_DUMP
        channel.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        while True:
            data = channel.recv(1 << 18)
            while data:
                length, found = struct.unpack_from("=IH", data)
                if found == NLMSG_DONE:
                    return
                if found == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", data, 16)[0], "netlink")
                if found == answer:
                    yield data[16:length]
                data = data[(length + 3) & ~3 :]


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def permanent(family: int) -> int:
    """How many neighbours, or entries of the FDB with a destination, vxlan's device has for good."""
    device, count = socket.if_nametoindex(DEVICE), 0
    for body in dump(family, RTM_GETNEIGH, RTM_NEWNEIGH):
        index, state = struct.unpack_from("=iH", body, 4)
        if index == device and state & NUD_PERMANENT:
            # Without one are addresses of the device's own, in the FDB.
            count += HAS_IPV4 in body
    return count


def lacks(node: Node, backend: str, wanted: set[str]) -> str:
    """What a node lacks, or has beyond what is wanted; "" if nothing."""
    subnet = own_subnet(node)
    if subnet is None:
        return "a lease"
    seen, wanted = reached(node, backend), wanted - {subnet}
    if missing := sorted(wanted - seen):
        return f"{len(missing)} of {len(wanted)} routes: {some(missing)}"
    if extra := sorted(seen - wanted):
        return f"news of {len(extra)} that are gone: {some(extra)}"
    return ""


def some(subnets: Sequence[str]) -> str:
    """The first few."""
    return ", ".join(subnets[:LISTED]) + (", ..." if len(subnets) > LISTED else "")


def lacks_entries(node: Node, backend: str, wanted: set[str]) -> str:
    """The same, and what vxlan needs besides routes."""
    lacking = lacks(node, backend, wanted)
    if lacking or backend != "vxlan":
        return lacking
    enter(node["name"])
    for family, what in ((socket.AF_INET, "neighbours"), (AF_BRIDGE, "FDB entries")):
        if (count := permanent(family)) < len(wanted) - 1:
            return f"{len(wanted) - 1 - count} of {len(wanted) - 1} {what}"
    return ""


class Late(Exception):
    """The deadline is over, or nothing changes any more."""


class Patience:
    """How long to wait: until the deadline, and as long as anything changes on any node."""

    def __init__(self, nodes: Sequence[Node], deadline: float, still: float) -> None:
        self._nodes = nodes
        self._deadline = deadline
        self._still = still
        self._lack = ""
        self._since = now()
        self._all: list[str] = []

    def spend(self, lack: str, check: Callable[[Node], str]) -> None:
        """The node that is waited for still lacks this. Raises `Late`."""
        if now() > self._deadline:
            raise Late
        if lack != self._lack:
            self._lack, self._since = lack, now()
        elif now() - self._since > self._still:
            before, self._all = self._all, [check(node) for node in self._nodes]
            if self._all == before:
                raise Late
            self._since = now()


def until_all(nodes: Sequence[Node], check: Callable[[Node], str], patience: Patience) -> None:
    """Wait for one node after another, so that most looks are at one that is known not to be done yet.

    Raises `Late`, and `ChildProcessError` as soon as the one that is waited for has ended.
    """
    for node in nodes:
        began = now()
        while lack := check(node):
            if not runs(node["pid"]):
                raise ChildProcessError
            patience.spend(lack, check)
            rest(max(PAUSE, 10 * (now() - began)))
            began = now()


def await_all(request: dict[str, Any]) -> dict[str, Any]:
    """Until all nodes know exactly those that there are."""
    nodes, backend, more = request["nodes"], request["backend"], set(request["more"])
    patience = Patience(nodes, now() + request["timeout"], request["still"])

    def wanted() -> set[str]:
        return more | {subnet for node in nodes if (subnet := own_subnet(node))}

    def all_lack() -> dict[str, str]:
        those = wanted()
        found = {node["name"]: lacks_entries(node, backend, those) for node in nodes}
        return {name: text for name, text in found.items() if text}

    try:
        while True:
            until_all(nodes, lambda node: "" if own_subnet(node) else "a lease", patience)
            until_all(nodes, partial(lacks, backend=backend, wanted=wanted()), patience)
            at = now()
            # What one had when it was looked at first, it may have lost since.
            if not (lacking := all_lack()):
                break
            patience.spend(str(lacking), partial(lacks_entries, backend=backend, wanted=wanted()))
    except ChildProcessError:
        return {"ended": {node["name"]: node["pid"] for node in nodes if not runs(node["pid"])}}
    except Late:
        return {"lacking": all_lack()}
    began = [int(stat(node["pid"])[19]) / TICKS for node in nodes]
    return {"at": at, "began": min(began, default=None), "looked": time.process_time()}


def await_leases(request: dict[str, Any]) -> dict[str, Any]:
    """Until all nodes have one."""
    nodes = request["nodes"]
    patience = Patience(nodes, now() + request["timeout"], request["still"])

    def lacking(node: Node) -> str:
        return "" if own_subnet(node) else "a lease"

    try:
        until_all(nodes, lacking, patience)
    except ChildProcessError:
        return {"ended": {node["name"]: node["pid"] for node in nodes if not runs(node["pid"])}}
    except Late:
        return {"lacking": {node["name"]: text for node in nodes if (text := lacking(node))}}
    return {"subnets": [subnet for node in nodes if (subnet := own_subnet(node))]}


# Processes


def usage(request: dict[str, Any]) -> dict[str, Any]:
    """What they all take."""
    return {
        "used": {
            **{node["name"]: used_if_it_runs(node["pid"]) for node in request["nodes"]},
            **{each["name"]: used(each["pid"]) | counted(each["name"]) for each in request["etcd"]},
        },
        "neighbours": table(),
    }


def used_if_it_runs(pid: int) -> dict[str, float] | None:
    """The same of a daemon, which may have ended."""
    try:
        return used(pid) if runs(pid) else None
    except (FileNotFoundError, ProcessLookupError):
        return None


def used(pid: int) -> dict[str, float]:
    """What a process takes."""
    fields = stat(pid)
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        sizes[name] = int(value) * 1024
    targets = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            targets.append(str(descriptor.readlink()))
    return {
        "cpu": sum(int(field) for field in fields[11:15]) / TICKS,
        "pss": sizes["Pss:"],
        "rss": sizes["Rss:"],
        "sockets": sum(target.startswith("socket:") for target in targets),
        "descriptors": len(targets),
        "threads": int(fields[17]),
    }


def counted(netns: str) -> dict[str, float]:
    """What a member of etcd has counted since its start: bytes sent to clients, requests from them."""
    enter(netns)
    with closing(http.client.HTTPConnection(*ETCD, timeout=HTTP)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    sums = {"etcd_network_client_grpc_sent_bytes_total": 0.0, "grpc_server_started_total": 0.0}
    for line in text.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name in sums:
            sums[name] += float(line.rpartition(" ")[2])
    sent, requests = sums.values()
    return {"sent": sent, "requests": requests}


def table() -> dict[str, int]:
    """The kernel's table of IPv4 neighbours, which all namespaces share."""
    for body in dump(socket.AF_INET, RTM_GETNEIGHTBL, RTM_NEWNEIGHTBL):
        found = dict(attributes(body[4:]))
        if found.get(NDTA_NAME, b"").rstrip(b"\0") == b"arp_cache" and NDTA_STATS in found:
            # struct ndt_config: two u16, then ndtc_entries. struct ndt_stats: its twelfth is table_fulls.
            (entries,) = struct.unpack_from("=I", found[NDTA_CONFIG], 4)
            (limit,) = struct.unpack("=I", found[NDTA_THRESH3])
            values = struct.unpack_from(f"={len(found[NDTA_STATS]) // 8}Q", found[NDTA_STATS])
            return {"entries": entries, "limit": limit, "refused": values[10] if len(values) > 10 else 0}
    raise LookupError("the kernel has no table of neighbours arp_cache")


# etcd, by its gateway: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/


def gateway(request: dict[str, Any]) -> http.client.HTTPConnection:
    """A connection to it."""
    enter(request["etcd"])
    return http.client.HTTPConnection(*ETCD, timeout=HTTP)


def ask(connection: http.client.HTTPConnection, what: str, request: dict[str, Any]) -> Any:
    """One request."""
    connection.request("POST", f"/v3/{what}", json.dumps(request))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != http.client.OK:
        raise OSError(f"etcd: {what}: {answer.status} {text.decode(errors='replace')}")
    return json.loads(text)


def coded(text: str) -> str:
    """As the gateway wants bytes."""
    return base64.b64encode(text.encode()).decode()


def place(prefix: str, subnet: str) -> str:
    """The key of a lease."""
    return f"{prefix}/subnets/{subnet.replace('/', '-')}"


def leases(connection: http.client.HTTPConnection, prefix: str) -> dict[str, str]:
    """Each lease's key, and the etcd lease that it ends with."""
    first = f"{prefix}/subnets/"
    end = first[:-1] + chr(ord(first[-1]) + 1)
    request = {"key": coded(first), "range_end": coded(end), "keys_only": True}
    found = ask(connection, "kv/range", request).get("kvs", [])
    return {base64.b64decode(item["key"]).decode(): item.get("lease", "0") for item in found}


def announce(request: dict[str, Any]) -> dict[str, Any]:
    """One lease more, of the last subnet that is free."""
    network = IPv4Network(request["network"])
    with closing(gateway(request)) as connection:
        taken = leases(connection, request["prefix"])
        subnets: Iterable[str] = (str(each) for each in reversed(list(network.subnets(new_prefix=24))))
        subnet = next(each for each in subnets if place(request["prefix"], each) not in taken)
        lease = ask(connection, "lease/grant", {"TTL": 86400})["ID"]
        at = now()
        key = coded(place(request["prefix"], subnet))
        ask(connection, "kv/put", {"key": key, "value": coded(request["lease"]), "lease": lease})
    return {"at": at, "subnet": subnet}


def forget(request: dict[str, Any]) -> dict[str, Any]:
    """The nodes' subnets, which they are not to take again."""
    subnets = [subnet for node in request["nodes"] if (subnet := own_subnet(node))]
    for node in request["nodes"]:
        Path(node["file"]).unlink(missing_ok=True)
    return {"subnets": subnets}


def expire(request: dict[str, Any]) -> dict[str, Any]:
    """End leases."""
    with closing(gateway(request)) as connection:
        held = leases(connection, request["prefix"])
        at = now()
        for subnet in request["subnets"]:
            ask(connection, "lease/revoke", {"ID": held[place(request["prefix"], subnet)]})
    return {"at": at}


def serves(request: dict[str, Any]) -> dict[str, Any]:
    """Until etcd has a leader, and this member knows it."""
    deadline, lacking = now() + request["timeout"], "an answer"
    while lacking and now() < deadline:
        try:
            with closing(gateway(request)) as connection:
                ask(connection, "kv/range", {"key": coded("/"), "count_only": True})
            lacking = ""
        except (OSError, http.client.HTTPException) as error:
            lacking = str(error)
            rest(PAUSE)
    return {"at": now(), "lacking": lacking}


def clock(_request: dict[str, Any]) -> dict[str, Any]:
    """The time."""
    return {"at": now()}


ACTS = {
    "clock": clock, "await": await_all, "usage": usage, "announce": announce, "expire": expire,
    "forget": forget, "leases": await_leases, "serves": serves,
}  # fmt: skip

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(ACTS[asked["do"]](asked)))
