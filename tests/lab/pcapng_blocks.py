"""A reader of pcapng, by draft-ietf-opsawg-pcapng alone: it shares nothing with what writes such files."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    kind: int
    body: bytes
    options: tuple[tuple[int, bytes], ...]
    """In their order; of the same code there may be several."""

    def option(self, code: int) -> bytes:
        (value,) = [value for found, value in self.options if found == code]
        return value

    @property
    def comments(self) -> list[str]:
        return [value.decode() for code, value in self.options if code == 1]


FIXED = {0x0A0D0D0A: 16, 1: 8, 5: 12, 6: 20}
"""Bytes of a block's body before its packet and its options (4.1 to 4.6)."""


def number(data: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "little")


def blocks(file: bytes) -> Iterator[Block]:
    at = 0
    while at < len(file):
        kind, length = number(file, at), number(file, at + 4)
        assert length % 4 == 0
        assert length >= 12
        assert number(file, at + length - 4) == length  # both lengths are the same (3.1)
        body = file[at + 8 : at + length - 4]
        assert len(body) == length - 12
        fixed = FIXED[kind]
        if kind == 6:
            captured = number(body, 12)
            fixed += captured + -captured % 4
            assert not any(body[20 + captured : fixed])
        yield Block(kind, body, tuple(options(body[fixed:])))
        at += length


def options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code, length, value, padding; the last one is opt_endofopt (3.5)."""
    at = 0
    while at < len(data):
        code, length = number(data, at, 2), number(data, at + 2, 2)
        if code == 0:
            assert (length, at + 4) == (0, len(data))
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    assert not data


def moment(body: bytes, at: int) -> int:
    return number(body, at) << 32 | number(body, at + 4)
