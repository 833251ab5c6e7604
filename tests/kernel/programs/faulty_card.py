"""Two network cards that offer more than they do, and the cable between them. Arguments: the cable's ends.

A frame whose checksum the kernel left to the card comes with a struct virtio_net_hdr (linux/virtio_net.h)
that says where it is. These cards fill in what stands behind an IPv4 header of 20 bytes, as cards do, and
not what is deeper inside, where an encapsulated packet has it: the fault of flannel #1279.
"""

import select
import socket
import struct
import sys

ETH_P_ALL = 3  # linux/if_ether.h
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # linux/socket.h, linux/if_packet.h
PACKET_OUTGOING = 4  # linux/if_packet.h
HEADER = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
VIRTIO_NET_HDR_F_NEEDS_CSUM = 1
OUTER = 14 + 20  # Ethernet and IPv4


def filled(frame: bytes, start: int, offset: int) -> bytes:
    """With the checksum (RFC 1071) from `start` to the end; the field holds that of the pseudo header."""
    data = frame[start:] + b"\0" * (len(frame) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    where = start + offset
    return frame[:where] + struct.pack("!H", ~total & 0xFFFF or 0xFFFF) + frame[where + 2 :]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def card(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.bind((name, ETH_P_ALL))
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    return made


def main() -> None:
    a, b = map(card, sys.argv[1:])
    other = {a: b, b: a}
    say("plugged in")
    while True:
        ready, _, _ = select.select([a, b], [], [])
        for one in ready:
            data, address = one.recvfrom(65536 + HEADER.size)
            if address[2] == PACKET_OUTGOING:
                continue
            flags, gso, _, _, start, offset = HEADER.unpack_from(data)
            frame = data[HEADER.size :]
            if gso:
                say(f"a frame of {len(frame)} bytes is lost: cannot segment")
                continue
            if flags & VIRTIO_NET_HDR_F_NEEDS_CSUM and start <= OUTER:
                frame = filled(frame, start, offset)
            other[one].send(HEADER.pack(0, 0, 0, 0, 0, 0) + frame)


if __name__ == "__main__":
    main()
