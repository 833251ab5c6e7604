"""The devices of a network namespace, and news of them."""

import json
import socket
import subprocess
from dataclasses import dataclass

__all__ = ["Device", "News", "devices"]

ETHERNET, RAW = 1, 101
"""Link types of pcap."""

WITH_ETHERNET = ("ether", "loopback")
"""What `ip` calls devices whose packets begin with an Ethernet header; of others they begin with IP's."""

RTMGRP_LINK = 1
"""linux/rtnetlink.h."""


@dataclass(frozen=True)
class Device:
    """One of them."""

    index: int
    name: str
    link_type: int
    words: str
    """What it is: its kind, addresses, MTU."""
    rank: int
    """What stands on other devices sees a packet that comes after them, at times in the same moment."""


def devices() -> list[Device]:
    """Those of the calling thread's namespace."""
    listed = subprocess.run(
        ["ip", "-json", "-details", "address", "show"], capture_output=True, text=True, check=False
    )
    # One that is gone in the middle of it is an error to ip, which prints the others all the same.
    return [_device(item) for item in json.loads(listed.stdout or "[]") if "ifname" in item]


def _device(item: dict[str, object]) -> Device:
    info = item.get("linkinfo")
    kind = str(info.get("info_kind", "")) if isinstance(info, dict) else ""
    addresses = item.get("addr_info")
    held = addresses if isinstance(addresses, list) else []
    told = [
        kind or str(item["link_type"]),
        *(f"{it['local']}/{it['prefixlen']}" for it in held if "local" in it),
    ]
    return Device(
        index=int(str(item["ifindex"])),
        name=str(item["ifname"]),
        link_type=ETHERNET if item["link_type"] in WITH_ETHERNET else RAW,
        words=", ".join([*told, f"MTU {item['mtu']}"]),
        rank=0 if kind == "veth" or not kind else 1,
    )


class News:
    """A netlink socket, which tells that a device has come, gone or changed."""

    def __init__(self) -> None:
        """In the calling thread's namespace."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, RTMGRP_LINK))

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all of it."""
        while True:
            try:
                self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:  # too much came at once (ENOBUFS): something has changed, in any case
                continue

    def close(self) -> None:
        """End it."""
        self._socket.close()
