"""The device that the fast path's packets come in by, as the kernel is asked for it."""

import struct

from flanneld_py.datapath.fast_path.inlet import name_of
from flanneld_py.kernel.devices import create_external_vxlan


def attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute (netlink(7)): length, type, value, and zeros up to a multiple of 4 bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_it_is_a_vxlan_device_of_any_vni_for_bare_packets_upon_the_tun_device():
    """linux/rtnetlink.h: RTM_NEWLINK 16; linux/netlink.h: NLM_F_CREATE 0x400, NLM_F_EXCL 0x200; all else is
    of linux/if_link.h: name 3, info 18 with kind 1 and data 2, which is link 3, learning 7, port 15, and
    collecting metadata 25, GPE 27."""
    asked = create_external_vxlan("flannel0-in", 7, 4790)
    assert (asked.kind, asked.flags) == (16, 0x600)
    data = attribute(3, struct.pack("=I", 7)) + attribute(7, b"\0") + attribute(15, struct.pack(">H", 4790))
    data += attribute(25, b"\1") + attribute(27, b"")
    info = attribute(1, b"vxlan") + attribute(2, data)
    assert asked.payload == bytes(16) + attribute(3, b"flannel0-in\0") + attribute(18, info)


def test_its_name_is_the_tun_devices_with_an_ending_and_no_longer_than_names_may_be():
    assert name_of("flannel0") == "flannel0-in"
    assert name_of("a" * 15) == "a" * 12 + "-in"
