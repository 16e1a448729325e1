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
        return np.shares_memory(np.asarray(self), np.asarray(other))
