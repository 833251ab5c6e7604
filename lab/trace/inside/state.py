"""What a network namespace, and its machine, say of themselves: the kernel's tables by its own tools."""

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lab.packet_filter.questions import COMMANDS

__all__ = ["machine", "mtu", "namespace", "route"]

SECONDS = 20.0
"""For any one command."""

TABLES: Mapping[str, Sequence[str]] = {
    "links": ("ip", "-json", "-details", "address"),
    "neighbours": ("ip", "-json", "neighbour"),
    "fdb": ("bridge", "-json", "fdb"),
    "qdiscs": ("tc", "-json", "qdisc"),
    **COMMANDS,
}

SETTINGS = (
    "ipv4/conf/*/rp_filter",
    "ipv4/conf/*/forwarding",
    "ipv6/conf/*/forwarding",
    "ipv6/conf/*/disable_ipv6",
    "ipv4/icmp_echo_ignore_all",
    "ipv6/icmp/echo_ignore_all",
    "bridge/bridge-nf-call-iptables",
    "bridge/bridge-nf-call-ip6tables",
)

LISTEN, UNCONNECTED = "0A", "07"
"""States in /proc/net: TCP_LISTEN, and of UDP TCP_CLOSE (net/tcp_states.h)."""

TUN = "/dev/net/tun"


def namespace() -> dict[str, Any]:
    """Of the calling thread's."""
    started = {name: _start(argv) for name, argv in TABLES.items()}
    found: dict[str, Any] = {
        "settings": dict(_settings()),
        "listeners": list(_listeners()),
        "inode": Path("/proc/thread-self/ns/net").stat().st_ino,
    }
    missing = {}
    for name, process in started.items():
        out, why = _end(process)
        found[name] = out
        if why:
            missing[name] = why
    queues = json.loads(found["qdiscs"] or "[]")
    found["filters"] = _filters(queues)
    return {**found, "missing": missing}


def _start(argv: Sequence[str]) -> "subprocess.Popen[str] | str":
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        return f"{argv[0]}: {error.strerror}"


def _end(process: "subprocess.Popen[str] | str") -> tuple[str, str]:
    """What it printed, or why that is not known."""
    if isinstance(process, str):
        return "", process
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "", f"no answer within {SECONDS:.0f} s"
    return (out, "") if process.returncode == 0 else ("", err.strip() or f"exit status {process.returncode}")


def _filters(qdiscs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The filters of every place that may have some: a text of JSON each, as tc gives it."""
    places = []
    for item in qdiscs:
        if item["kind"] == "clsact":
            places += [(item["dev"], "ingress"), (item["dev"], "egress")]
        elif item["kind"] == "ingress":
            places.append((item["dev"], "ingress"))
        elif item.get("root") and item["kind"] in ("htb", "hfsc", "prio", "drr", "qfq", "cbq"):
            places.append((item["dev"], "root"))
    asked = [_start(["tc", "-json", "filter", "show", "dev", device, place]) for device, place in places]
    return [
        {"device": device, "place": place, "text": _end(process)[0]}
        for (device, place), process in zip(places, asked, strict=True)
    ]


def _settings() -> Iterator[tuple[str, int]]:
    root = Path("/proc/sys/net")
    for pattern in SETTINGS:
        for path in root.glob(pattern):
            with contextlib.suppress(OSError, ValueError):  # a device that goes, a text that is no number
                yield str(path.relative_to(root)), int(path.read_text())


def _listeners() -> Iterator[dict[str, Any]]:
    """The sockets that take what is sent to a port; a connected one only takes what its peer sends."""
    for protocol, state in (("tcp", LISTEN), ("udp", UNCONNECTED)):
        for suffix in ("", "6"):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/thread-self/net/{protocol}{suffix}").read_text().splitlines()[1:]
                for line in lines:
                    words = line.split()
                    if words[3] == state:
                        address, port = words[1].split(":")
                        yield {"protocol": protocol, "address": _address(address), "port": int(port, 16)}


def _address(text: str) -> str:
    """As /proc/net has it: words of 32 bits in this machine's order."""
    raw = b"".join(int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8))
    return str(ip_address(raw))


def machine() -> dict[str, Any]:
    """What is the same in all of a machine's namespaces."""
    return {
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "host": socket.gethostname(),
        "holders": list(_holders()),
    }


def _holders() -> Iterator[dict[str, Any]]:
    """The processes that hold TUN and TAP devices."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended
            for descriptor in (folder / "fd").iterdir():
                if str(descriptor.readlink()) != TUN:
                    continue
                # tun_chr_show_fdinfo of drivers/net/tun.c
                text = (folder / "fdinfo" / descriptor.name).read_text()
                if device := re.search(r"^iff:\s*(\S+)$", text, re.MULTILINE):
                    stat = (folder / "stat").read_text()
                    name, state = (
                        stat.partition("(")[2].rpartition(")")[0],
                        stat.rpartition(")")[2].split()[0],
                    )
                    yield {"device": device[1], "pid": int(folder.name), "name": name, "state": state}


def route(to: str, source: str, device: str) -> dict[str, Any]:
    """What the kernel would do with a packet (RTM_GETROUTE): its answer, or its error in words."""
    argv = ["ip", "-json", "route", "get", to]
    argv += ["from", source] if source else []
    argv += ["iif", device] if device else []
    out, why = _end(_start(argv))
    return {"error": why.removeprefix("RTNETLINK answers: ")} if why else {"route": json.loads(out)[0]}


def mtu(to: str) -> int:
    """The MTU of the device by which the calling thread's namespace sends there; 0 if there is none."""
    found = route(to, "", "").get("route", {})
    out, _ = (
        _end(_start(["ip", "-json", "link", "show", "dev", found["dev"]])) if "dev" in found else ("", "")
    )
    return int(json.loads(out)[0]["mtu"]) if out else 0
