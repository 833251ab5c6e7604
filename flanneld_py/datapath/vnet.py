"""The virtio header before each packet of a TUN device with IFF_VNET_HDR: struct virtio_net_hdr. Pure.

Values and their meaning are those of linux/virtio_net.h, in native byte order.
"""

from struct import Struct
from typing import Final, NamedTuple

from flanneld_py.datapath.packet import Buffer

__all__ = ["NEEDS_CSUM", "NOTHING", "SIZE", "TCPV4", "UDP_L4", "VnetHeader"]

NEEDS_CSUM: Final = 1  # VIRTIO_NET_HDR_F_NEEDS_CSUM
NONE: Final = 0  # VIRTIO_NET_HDR_GSO_NONE
TCPV4: Final = 1  # VIRTIO_NET_HDR_GSO_TCPV4
UDP_L4: Final = 5  # VIRTIO_NET_HDR_GSO_UDP_L4
ECN: Final = 0x80  # VIRTIO_NET_HDR_GSO_ECN

_LAYOUT: Final = Struct("=BBHHHH")
SIZE: Final = _LAYOUT.size


class VnetHeader(NamedTuple):
    """The fields; offsets are in bytes from the start of the packet, `gso_size` is a segment's payload."""

    flags: int = 0
    gso_type: int = NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    @classmethod
    def of(cls, data: Buffer) -> "VnetHeader":
        """Parse a header."""
        return cls(*_LAYOUT.unpack_from(data))

    def pack(self) -> bytes:
        """Encode the header."""
        return _LAYOUT.pack(*self)

    @property
    def kind(self) -> int:
        """Type of super-packet, without the ECN bit; NONE if the packet is not one."""
        return self.gso_type & ~ECN


NOTHING: Final = VnetHeader().pack()
"""Header of an ordinary packet, whose checksum the kernel verifies as usual."""
