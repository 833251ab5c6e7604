"""What a kernel says of its types (Documentation/bpf/btf.rst): offsets of members, names of values. Pure."""

import struct
from collections.abc import Mapping, Sequence

__all__ = ["Types"]

STRUCT, UNION, ENUM, TYPEDEF, VOLATILE, CONST = 4, 5, 6, 8, 9, 10
"""BTF_KIND_* of linux/btf.h."""

MORE: Mapping[int, tuple[int, int]] = {
    1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12), 17: (4, 0),
    19: (0, 12),
}  # fmt: skip
"""By kind: how many bytes follow the twelve of a type, and for each of its members."""


class Types:
    """The types of a kernel. Raises `ValueError` where that is not how they are written."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or struct.unpack_from("=HB", data) != (0xEB9F, 1):
            raise ValueError("no BTF of version 1, in this machine's order of bytes")
        header, types, length, texts, size = struct.unpack_from("=IIIII", data, 4)
        self._data = data
        self._texts = data[header + texts : header + texts + size]
        self._at = [0]
        """Where each type is, by its number; 0 is void."""
        at, end = header + types, header + types + length
        word = struct.Struct("=I").unpack_from
        while at < end:
            self._at.append(at)
            info = word(data, at + 4)[0]
            fixed, each = MORE.get(info >> 24 & 31, (0, 0))
            at += 12 + fixed + each * (info & 0xFFFF)

    def offset(self, name: str, *members: str) -> int:
        """Of a structure's member, in bytes; of a member of that, and so on. Raises `ValueError`."""
        here, total = self._find(name, (STRUCT, UNION)), 0
        for member in members:
            found = self._member(here, member)
            if found is None:
                raise ValueError(f"struct {name} has no {'.'.join(members)}")
            bits, kind = found
            total, here = total + bits // 8, self._plain(kind)
        return total

    def values(self, name: str) -> Mapping[int, str]:
        """The names of an enumeration's values. Raises `ValueError`."""
        at = self._find(name, (ENUM,))
        return {value: self._text(text) for text, value in self._rows(at, "=II")}

    def _find(self, name: str, kinds: Sequence[int]) -> int:
        """Where a type is."""
        text = self._texts.find(b"\0" + name.encode() + b"\0") + 1
        for at in self._at[1:] if text else ():
            if struct.unpack_from("=I", self._data, at)[0] == text and self._kind(at) in kinds:
                return at
        raise ValueError(f"this kernel has no {name}")

    def _member(self, at: int, name: str) -> tuple[int, int] | None:
        """Its offset in bits, and its type's number; what has no name of its own is looked into."""
        is_packed = struct.unpack_from("=I", self._data, at + 4)[0] >> 31
        for text, kind, offset in self._rows(at, "=III"):
            bits = offset & 0xFFFFFF if is_packed else offset  # with bit fields: their sizes are above
            if self._text(text) == name:
                return bits, kind
            inner = self._plain(kind)
            if not text and self._kind(inner) in (STRUCT, UNION):
                found = self._member(inner, name)
                if found is not None:
                    return bits + found[0], found[1]
        return None

    def _rows(self, at: int, form: str) -> Sequence[tuple[int, ...]]:
        count = struct.unpack_from("=I", self._data, at + 4)[0] & 0xFFFF
        size = struct.calcsize(form)
        return [struct.unpack_from(form, self._data, at + 12 + size * number) for number in range(count)]

    def _plain(self, kind: int) -> int:
        """Where a type is, without what else it is called, or how it may be used."""
        at = self._at[kind]
        while at and self._kind(at) in (TYPEDEF, VOLATILE, CONST):
            at = self._at[struct.unpack_from("=I", self._data, at + 8)[0]]
        return at

    def _kind(self, at: int) -> int:
        return int(struct.unpack_from("=I", self._data, at + 4)[0] >> 24 & 31) if at else 0

    def _text(self, at: int) -> str:
        return self._texts[at : self._texts.index(b"\0", at)].decode()
