"""Where an array's elements are, for backends to tell whether two arrays overlap."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Memory(NamedTuple):
    """Addresses of an array's elements, on whatever device; they are never read."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  #: in bytes
    itemsize: int

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The array for NumPy to compute with."""
        return {
            "version": 3,
            "data": (self.address, True),
            "typestr": f"|V{self.itemsize}",
            "shape": self.shape,
            "strides": self.strides,
        }

    def overlaps(self, other: Memory) -> bool:
        """Whether an element of one shares a byte with an element of the other."""
        if 0 in (*self.shape, *other.shape):
            return False
        (low, high), (other_low, other_high) = self.bounds(), other.bounds()
        if high <= other_low or other_high <= low:  # NumPy takes ten times as long to say so
            return False
        return np.shares_memory(np.asarray(self), np.asarray(other))

    def bounds(self) -> tuple[int, int]:
        """Address of the first byte, and of that after the last; of no use for empty arrays."""
        low = high = self.address
        for length, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                low += (length - 1) * stride
            else:
                high += (length - 1) * stride
        return low, high + self.itemsize
