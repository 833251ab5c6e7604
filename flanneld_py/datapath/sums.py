"""Internet checksums (RFC 1071) as arithmetic modulo 65535, in which words of any width can be added. Pure.

Modulo 65535, 65536 is 1, so the sum of big-endian 16-bit words equals the data read as one big number; read
as little-endian words it is smaller by a factor of 256. The checksum is minus the sum. 0 and 65535 are
equivalent; ones' complement arithmetic yields 0 for a checksum, because no header is all zeros.
"""

from typing import TYPE_CHECKING, Any, Final

from flanneld_py.datapath.packet import Buffer

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MODULUS", "row_sums", "sum_of"]

MODULUS: Final = 65535
SWAP: Final = 256


def sum_of(data: Buffer) -> int:
    """Sum the data, 0 to 65534; an odd last byte counts as if followed by a zero byte."""
    number = int.from_bytes(data, "big")
    return (number << 8 if len(data) & 1 else number) % MODULUS


def row_sums(data: Buffer, offset: int, rows: int, size: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Sum `rows` pieces of `size` bytes each, beginning at `offset`; below 2**24, not yet reduced."""
    import numpy as np

    sums: np.ndarray[Any, np.dtype[np.int64]]
    if size & 1:
        pieces = np.frombuffer(data, "u1", rows * size, offset).reshape(rows, size)
        sums = np.add.reduce(pieces[:, ::2], 1, np.int64) * SWAP + np.add.reduce(pieces[:, 1::2], 1, np.int64)
        return sums % MODULUS
    width = 2 if size & 3 else 4
    words = np.frombuffer(data, f"<u{width}", rows * size // width, offset).reshape(rows, size // width)
    sums = np.add.reduce(words, 1, np.int64) % MODULUS * SWAP
    return sums
