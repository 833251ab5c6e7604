"""Loading a program for XDP, and attaching it to a device so that it stays: bpf(2) and rtnetlink(7)."""

import ctypes
import errno
import os
import socket
import struct

from lab.bpf.call import bpf
from lab.errors import LabError

__all__ = ["attach", "detach", "load"]

# linux/bpf.h.
BPF_PROG_LOAD = 5
BPF_PROG_TYPE_XDP = 6
BPF_XDP = 37
LOG_SIZE = 1 << 16

# linux/netlink.h, linux/rtnetlink.h and linux/if_link.h.
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
RTM_SETLINK = 19
NLA_F_NESTED = 1 << 15
IFLA_XDP, IFLA_XDP_FD, IFLA_XDP_FLAGS = 43, 1, 3
XDP_FLAGS_SKB_MODE = 1 << 1
"""Generic: a driver's own would see packets before GRO, and lose what the kernel knows of their checksums."""


def load(code: bytes, name: str) -> int:
    """Load a program; its descriptor. Raises `LabError`."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    log = ctypes.create_string_buffer(LOG_SIZE)
    # union bpf_attr, as of BPF_PROG_LOAD. Without BPF_F_XDP_HAS_FRAGS, though the kernel then copies every
    # super-packet into one piece: with it, what udp's fast path carries past the program has lost its inner
    # checksum (Linux 6.18).
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        BPF_PROG_TYPE_XDP, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(licence),
        1, LOG_SIZE, ctypes.addressof(log), 0, 0, name.encode(), 0, BPF_XDP,
    )  # fmt: skip
    try:
        return bpf(BPF_PROG_LOAD, attributes)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise LabError(
                f"cannot load an XDP program: {error.strerror}", hint="impair what goes out"
            ) from error
        said = log.value.decode(errors="replace").strip().splitlines()
        hint = "what comes in needs an engine that may load BPF programs, which a rootless one may not"
        words = "; ".join([f"cannot load the XDP program for incoming packets: {error.strerror}", *said[-3:]])
        raise LabError(words, hint=hint) from error


def attach(ifindex: int, descriptor: int) -> None:
    """Have a program see a device's packets, in place of the one before. Raises `LabError`."""
    inner = _attribute(IFLA_XDP_FD, struct.pack("=i", descriptor))
    inner += _attribute(IFLA_XDP_FLAGS, struct.pack("=I", XDP_FLAGS_SKB_MODE))
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, ifindex, 0, 0)  # struct ifinfomsg
    body += _attribute(IFLA_XDP | NLA_F_NESTED, inner)
    head = struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(head + body)
        answer = netlink.recv(1 << 16)
    (kind,) = struct.unpack_from("=H", answer, 4)
    (error,) = struct.unpack_from("=i", answer, 16)
    if kind != NLMSG_ERROR or error:
        what = "attach the XDP program to" if descriptor >= 0 else "take the XDP program from"
        raise LabError(f"cannot {what} device {ifindex}: {os.strerror(-error)}")


def detach(ifindex: int) -> None:
    """Have no program see a device's packets. Raises `LabError`."""
    attach(ifindex, -1)


def _attribute(kind: int, payload: bytes) -> bytes:
    """struct nlattr; what is here is a multiple of four bytes long."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload
