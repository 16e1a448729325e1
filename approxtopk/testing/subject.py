"""`Subject`: an installed backend as a selection on NumPy arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import approxtopk

from .dtypes import Array, available_dtypes
from .laws import same_bits
from .layouts import LAYOUTS, lay_out


def _same(array: Array) -> Array:
    return array


@dataclass
class Subject:
    """A backend under test; calling it is `approxtopk.topk` with NumPy arrays in and out.

    Attributes
    ----------
    name : str
        The backend's.
    to_array : callable
        NumPy array to an array of the backend's kind, equal bits, on the device to be tested.
        May share memory, should keep strides, and raises NotImplementedError for a memory layout
        that its kind of array can't have.
    to_numpy : callable
        The way back, dtype and bits kept.
    dtypes : sequence of str
        What the backend must serve.
    served : Counter
        How many calls it has served, by dtype; others it may refuse.
    """

    name: str
    to_array: Callable[[Array], Any] = _same
    to_numpy: Callable[[Any], Array] = np.asarray
    dtypes: Sequence[str] = field(default_factory=available_dtypes)
    served: Counter[str] = field(default_factory=Counter)

    def __call__(self, array: Array, k: int, **arguments: Any) -> tuple[Array, ...]:
        """Select, and see that the input stays as it was."""
        given = self.to_array(array)
        result = approxtopk.topk(given, k, backend=self.name, **arguments)
        self.served[array.dtype.name] += 1
        same_bits("the input after the call", self.to_numpy(given), array)
        return tuple(map(self.to_numpy, result))

    @cached_property
    def layouts(self) -> tuple[str, ...]:
        """The memory layouts that the backend's arrays can have."""
        return tuple(name for name in LAYOUTS if self._can_have(name))

    def _can_have(self, layout: str) -> bool:
        try:
            self.to_array(lay_out(np.zeros((2, 3), np.float32), layout))
        except NotImplementedError:
            return False
        return True
