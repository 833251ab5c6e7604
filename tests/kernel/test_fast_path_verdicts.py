"""What the program at the underlay does with one frame, asked of the kernel (BPF_PROG_TEST_RUN of bpf(2)).

So a frame can come with what a card would have found out of its checksum, which no veth does.
"""

import json
import platform
from collections.abc import Mapping

import pytest

from tests.kernel.fast_path import NEEDED
from tests.kernel.frames import checksum, ends_of, in_datagram, saying
from tests.kernel.harness import Sandbox

pytestmark = NEEDED

US, NODE = "192.168.50.11", "192.168.50.12"
PACKET = saying(b"words", "10.2.52.2", "10.2.35.2")

NEXT, DROP, REDIRECT = -1, 2, 7  # enum tcx_action_base, and bpf_redirect's, of linux/bpf.h
COMPLETE = 4  # BPF_F_TEST_SKB_CHECKSUM_COMPLETE, from Linux 6.11


def test_the_checksum_that_matters_is_one_that_somebody_has_verified(sandbox: Sandbox) -> None:
    """skb->ip_summed of linux/skbuff.h; CHECKSUM_UNNECESSARY, of cards and GRO, is not to be had here."""
    if tuple(map(int, platform.release().split(".")[:2])) < (6, 11):
        pytest.skip("the kernel makes no CHECKSUM_COMPLETE to try with")
    right = in_datagram(PACKET, NODE, US, summed=True)
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    none = in_datagram(PACKET, NODE, US)
    # CHECKSUM_PARTIAL has the sum of the pseudo header there, and so it is not told from this.
    pseudo = ends_of(NODE, US) + bytes([0, 17]) + right[24:26]
    partial = right[:26] + (checksum(pseudo) ^ 0xFFFF).to_bytes(2) + right[28:]
    assert (
        show(
            sandbox,
            (none, 0),
            (none, COMPLETE),
            (partial, 0),
            (right, COMPLETE),
            (wrong, COMPLETE),
            (right, 0),
        )
        == [(REDIRECT, {})] * 4 + [(NEXT, {})] * 2
    )


def test_what_does_not_go_on_is_the_daemons_or_counted(sandbox: Sandbox) -> None:
    sound = in_datagram(PACKET, NODE, US)
    longer = sound[:24] + (len(sound) - 19).to_bytes(2) + sound[26:]  # UDP's length, not that of IPv4's
    damaged = sound[:8] + bytes([65]) + sound[9:]  # the TTL, which is in the checksum of the header
    spoofed = in_datagram(saying(b"", "10.2.99.2", "10.2.35.2"), NODE, US)
    strange = in_datagram(saying(b"", "10.2.52.2", "10.2.36.2"), NODE, US)
    to_many = in_datagram(saying(b"", "10.2.52.2", "10.2.35.255"), NODE, US)
    assert show(
        sandbox, *((datagram, 0) for datagram in (sound, longer, damaged, spoofed, strange, to_many))
    ) == [
        (REDIRECT, {}),
        (NEXT, {}),
        (NEXT, {}),
        (DROP, {"the sending node does not hold the source's subnet": 1}),
        (DROP, {"the destination is not in our subnet": 1}),
        (DROP, {"the destination is a broadcast or multicast address": 1}),
    ]


def show(sandbox: Sandbox, *datagrams: tuple[bytes, int]) -> list[tuple[int, Mapping[str, int]]]:
    """What the program returns for each, and counts."""
    # Of Ethernet, from and for the loopback device, by which such a frame comes.
    frames = [((bytes(12) + b"\x08\x00" + datagram).hex(), flags) for datagram, flags in datagrams]
    said = json.loads(sandbox.run_python("show_frames", US, NODE, json.dumps(frames)).text)
    return [(verdict, counted) for verdict, counted in said]
