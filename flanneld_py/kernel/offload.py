"""Transmit checksum offload of a device (linux/ethtool.h)."""

import fcntl
import socket
import struct
from array import array
from typing import Final

__all__ = ["set_tx_checksum", "tx_checksum"]

SIOCETHTOOL: Final = 0x8946  # linux/sockios.h
ETHTOOL_GTXCSUM: Final = 0x16
ETHTOOL_STXCSUM: Final = 0x17
IFREQ: Final = struct.Struct("16sP16x")  # name, pointer; linux/if.h


def tx_checksum(name: str) -> bool:
    """Whether transmit checksum offload is on (`ethtool -k`: tx-checksumming). Raises `OSError`."""
    return bool(_ethtool(name, ETHTOOL_GTXCSUM, 0))


def set_tx_checksum(name: str, on: bool) -> None:
    """Turn transmit checksum offload on or off (`ethtool -K NAME tx off`). Raises `OSError`."""
    _ethtool(name, ETHTOOL_STXCSUM, int(on))


def _ethtool(name: str, command: int, data: int) -> int:
    value = array("I", [command, data])  # struct ethtool_value
    address, _ = value.buffer_info()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            fcntl.ioctl(sock, SIOCETHTOOL, IFREQ.pack(name.encode(), address))
    except OSError as error:
        doing = "Changing" if command == ETHTOOL_STXCSUM else "Reading"
        raise OSError(
            error.errno, f"{doing} the transmit checksum offload of {name}: {error.strerror}"
        ) from error
    return value[1]
