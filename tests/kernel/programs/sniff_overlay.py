"""Prints time, source and destination of each of the overlay's packets that a machine sends by udp."""

import socket
import sys
import time

ETH_P_ALL = 3  # linux/if_ether.h
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
sniffer.bind((sys.argv[1], ETH_P_ALL))
print("listening", flush=True)
while True:
    frame = sniffer.recv(65536)
    if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == (8285).to_bytes(2):
        inner = frame[42:]
        print(time.time(), *map(socket.inet_ntoa, (inner[12:16], inner[16:20])), flush=True)
