"""A cable that harms frames, in place of netem where the kernel has none. Arguments: its two ends, and JSON.

The JSON names what happens to a frame: "loss", "duplicate" and "corrupt" as probabilities, "delay" and
"jitter" in seconds; frames whose delays differ overtake each other. What happened is counted and told at
the end. Frames must be whole: neither checksums nor segments may be left to a card.

ARP is never corrupted, since it has no checksum (RFC 826) but Ethernet's, which a card adds and this cable
has not: the kernel would believe a wrong address for up to 45 s (base_reachable_time_ms), whoever sends.
"""

import heapq
import json
import random
import select
import socket
import sys
import time
from collections import Counter

ETH_P_ALL = 3  # linux/if_ether.h
ETH_P_ARP = 0x0806  # linux/if_ether.h
ETH_HLEN = 14  # linux/if_ether.h
PACKET_OUTGOING = 4  # linux/if_packet.h
SOCKET_BUFFER = 4 << 20


def end(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    made.bind((name, ETH_P_ALL))
    return made


def corrupted(frame: bytes, chance: random.Random) -> bytes:
    """With one bit of what is behind the Ethernet header turned over."""
    at = chance.randrange(ETH_HLEN, len(frame))
    return frame[:at] + bytes([frame[at] ^ 1 << chance.randrange(8)]) + frame[at + 1 :]


def main() -> None:
    a, b = map(end, sys.argv[1:3])
    other = {a: b, b: a}
    harm = json.loads(sys.argv[3])
    chance = random.Random(1)  # the same in every run, as far as the frames are
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    done: Counter[str] = Counter()
    sys.stdout.write("plugged in\n")
    sys.stdout.flush()
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, frame = heapq.heappop(waiting)
            to.send(frame)
        ready, _, _ = select.select([a, b], [], [], waiting[0][0] - now if waiting else None)
        for one in ready:
            frame, address = one.recvfrom(65536)
            if address[2] == PACKET_OUTGOING:
                continue
            done["frames"] += 1
            copies = 1
            if chance.random() < harm.get("loss", 0):
                done["lost"] += 1
                copies = 0
            elif chance.random() < harm.get("duplicate", 0):
                done["doubled"] += 1
                copies = 2
            checked = frame[ETH_HLEN - 2 : ETH_HLEN] != ETH_P_ARP.to_bytes(2, "big")
            if copies and checked and chance.random() < harm.get("corrupt", 0):
                done["corrupted"] += 1
                frame = corrupted(frame, chance)
            for _ in range(copies):
                delay = harm.get("delay", 0) + chance.random() * harm.get("jitter", 0)
                heapq.heappush(waiting, (time.monotonic() + delay, done["frames"], other[one], frame))
            if done["frames"] % 50 == 0:
                sys.stdout.write(f"{dict(done)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
