"""Hands so many bytes of TCP over in one super-packet with headers of 40.

struct virtio_net_hdr of linux/virtio_net.h: a checksum to be computed, VIRTIO_NET_HDR_GSO_TCPV4;
PACKET_VNET_HDR of packet(7).
"""

import socket
import struct
import sys

source, target, mac, length = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), int(sys.argv[4])
ends = socket.inet_aton(source) + socket.inet_aton(target)


def folded(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


head = struct.pack("!BBHHHBBH", 0x45, 0, 40 + length, 1, 0x4000, 64, 6, 0) + ends
head = head[:10] + struct.pack("!H", folded(head) ^ 0xFFFF) + head[12:]
pseudo = folded(ends + struct.pack("!BBH", 0, 6, 20 + length))
tcp = struct.pack("!HHIIBBHHH", 4246, 4246, 1, 1, 0x50, 0x10, 1000, pseudo, 0)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
wire.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE
wire.bind(("eth0", 0))
own = wire.getsockname()[4]
virtio = struct.pack("=BBHHHH", 1, 1, 54, 1400, 34, 16)
wire.send(virtio + mac + own + struct.pack("!H", 0x0800) + head + tcp + bytes(length))
