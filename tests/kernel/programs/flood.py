"""Sends 25,600 datagrams, 64 with each call (UDP_SEGMENT of linux/udp.h).

They are short: it is their number that is paced, and taking them in costs little. 400 calls, so that all
have a place in flannel0's own queue: TUN_READQ_SIZE of drivers/net/tun.c.
"""

import socket
import struct
import sys

segment = [(socket.IPPROTO_UDP, 103, struct.pack("=H", 100))]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(400):
        sender.sendmsg([bytes(6_400)], segment, 0, (sys.argv[1], 4242))
