"""Arrays in ``.npy`` files, seen one block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

#: A block is about this large. Only one is mapped at a time, so that the file's size is no limit.
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class NpyFile:
    """An array on disk: where it is, and how it lies there."""

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int

    @classmethod
    def open(cls, path: Path) -> NpyFile:
        """Read the header, and check that the elements behind it are all there.

        Raises
        ------
        ValueError
            The file is not a whole ``.npy`` file, or its elements are Python objects.
        """
        with path.open("rb") as file:
            try:
                shape, fortran_order, dtype = _header(file)
            except (ValueError, EOFError, UnicodeError) as error:
                raise ValueError(f"{path}: not a readable .npy file ({error})") from error
            offset = file.tell()
        if dtype.hasobject:
            raise ValueError(f"{path}: holds Python objects, not numbers")
        wanted = math.prod(shape) * dtype.itemsize
        there = path.stat().st_size - offset
        if there < wanted:
            raise ValueError(f"{path}: cut off, {there} bytes of elements where {wanted} are due")
        return cls(path, dtype, shape, fortran_order, offset)

    def block(self, start: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """Map consecutive elements from number `start` on, in the order of the file."""
        offset = self.offset + start * self.dtype.itemsize
        return np.asarray(np.memmap(self.path, self.dtype, "r", offset=offset, shape=shape))


@dataclass(frozen=True)
class Slabs:
    """The same array with three axes: those before the selection axis, itself, those after it."""

    before: int
    n: int
    after: int
    itemsize: int

    @classmethod
    def of(cls, file: NpyFile, axis: int) -> Slabs:
        """For an axis counted from the front; a file in Fortran order is its transpose's."""
        shape = file.shape
        if file.fortran_order:
            shape, axis = shape[::-1], len(shape) - 1 - axis
        return cls(
            math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]), file.dtype.itemsize
        )

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Ranges of the first and the last axis that make blocks; rows are never split."""
        rows = max(1, BLOCK_BYTES // max(1, self.n * self.itemsize))
        columns = min(self.after, rows)
        slabs = max(1, rows // max(1, self.after))
        for first in range(0, self.before, slabs):
            for last in range(0, self.after, columns):
                yield (
                    slice(first, min(first + slabs, self.before)),
                    slice(last, min(last + columns, self.after)),
                )


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file)
    if version == (2, 0):
        return npy.read_array_header_2_0(file)
    raise ValueError(f"format version {version[0]}.{version[1]}, which no array of numbers needs")
