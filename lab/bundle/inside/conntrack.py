"""Prints the connections that this machine's kernel tracks, one a line, as /proc/net/nf_conntrack does.

Asked by netlink, because not every kernel has that file (CONFIG_NF_CONNTRACK_PROCFS). Constants are those of
linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h, messages those of linux/netlink.h and
linux/netfilter/nfnetlink.h.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

NETLINK_NETFILTER = 12
NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET = 1
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_TYPE_MASK = 0x3FFF

CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO, CTA_TIMEOUT, CTA_MARK = 1, 2, 3, 4, 7, 8
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_SRC, CTA_IP_DST = (1, 3), (2, 4)
"""For IPv4 and for IPv6."""
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_PROTO_ICMP = {5: "type", 6: "code", 4: "id", 8: "type", 9: "code", 7: "id"}
"""For ICMP and for ICMPv6, in the order in which the kernel's own list has them."""
CTA_PROTOINFO_TCP = 1
CTA_PROTOINFO_TCP_STATE = 1

IPS_SEEN_REPLY, IPS_ASSURED = 1 << 1, 1 << 2

TCP_STATES = (
    *("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"),
    *("CLOSE", "SYN_SENT2"),
)
"""enum tcp_conntrack of linux/netfilter/nf_conntrack_tcp.h."""

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}

HEADER = struct.Struct("=IHHII")
NFGENMSG = struct.Struct("=BBH")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in a part of a message, by type."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def direction(data: bytes) -> tuple[int, str]:
    """The protocol of one direction of a connection, and its addresses and ports in words."""
    parts = attributes(data)
    addresses, protocol = attributes(parts[CTA_TUPLE_IP]), attributes(parts[CTA_TUPLE_PROTO])
    words = [
        f"{name}={ip_address(addresses[kind])}"
        for name, kinds in (("src", CTA_IP_SRC), ("dst", CTA_IP_DST))
        for kind in kinds
        if kind in addresses
    ]
    for name, kind in (("sport", CTA_PROTO_SRC_PORT), ("dport", CTA_PROTO_DST_PORT)):
        if kind in protocol:
            words.append(f"{name}={int.from_bytes(protocol[kind], 'big')}")
    words += [
        f"{name}={int.from_bytes(protocol[kind], 'big')}"
        for kind, name in CTA_PROTO_ICMP.items()
        if kind in protocol
    ]
    return protocol[CTA_PROTO_NUM][0], " ".join(words)


def line(data: bytes) -> str:
    """One connection, from its attributes."""
    found = attributes(data)
    number, original = direction(found[CTA_TUPLE_ORIG])
    _, reply = direction(found[CTA_TUPLE_REPLY])
    status = int.from_bytes(found[CTA_STATUS], "big")
    words = [PROTOCOLS.get(number, str(number))]
    if CTA_TIMEOUT in found:
        words.append(str(int.from_bytes(found[CTA_TIMEOUT], "big")))
    if tcp := attributes(found.get(CTA_PROTOINFO, b"")).get(CTA_PROTOINFO_TCP):
        words.append(TCP_STATES[attributes(tcp)[CTA_PROTOINFO_TCP_STATE][0]])
    words.append(original)
    if not status & IPS_SEEN_REPLY:
        words.append("[UNREPLIED]")
    words.append(reply)
    if status & IPS_ASSURED:
        words.append("[ASSURED]")
    if CTA_MARK in found:
        words.append(f"mark={int.from_bytes(found[CTA_MARK], 'big')}")
    return " ".join(words)


def messages() -> Iterator[bytes]:
    """The attributes of every connection. Raises `OSError`."""
    request = NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
    kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
    header = HEADER.pack(HEADER.size + len(request), kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.send(header + request)
        while True:
            data = kernel.recv(1 << 20)
            while data:
                length, kind, *_ = HEADER.unpack_from(data)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", data, HEADER.size)
                    raise OSError(-error, os.strerror(-error))
                yield data[HEADER.size + NFGENMSG.size : length]
                data = data[(length + 3) & ~3 :]


def main() -> None:
    """Print them all."""
    try:
        for data in messages():
            sys.stdout.write(f"{line(data)}\n")
    except OSError as error:
        sys.exit(f"asking the kernel for its connections: {error.strerror}")


if __name__ == "__main__":
    main()
