"""What an assembler says of kernels in their machine code."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["frame_bytes", "sections"]

#: An attribute in section .nv.info that has a size, and a value of symbol and bytes of frame.
_SIZED, _FRAME = 4, 0x11


def frame_bytes(code: bytes) -> int:
    """Most bytes of local memory that a thread of a kernel has: those that it spills.

    No kernel here asks for an array there. The driver would tell the same, but of loaded code and
    with a GPU. What is no ELF file of 64 bits has none.
    """
    most = 0
    for name, begin, length in sections(code):
        if name == b".nv.info":
            most = max(most, *_frames(code[begin : begin + length]), 0)
    return most


def sections(code: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of each section of an ELF file of 64 bits; of other files none."""
    if code[:5] != b"\x7fELF\2":
        return
    (table,) = struct.unpack_from("<Q", code, 0x28)
    size, count, names = struct.unpack_from("<HHH", code, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", code, table + i * size) for i in range(count)]
    for name, _, _, _, begin, length in headers:
        at = headers[names][4] + name
        yield code[at : code.index(b"\0", at)], begin, length


def _frames(info: bytes) -> list[int]:
    found, at = [], 0
    while at + 4 <= len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == _SIZED:
            if attribute == _FRAME:
                found.append(struct.unpack_from("<II", info, at)[1])
            at += size
    return found
