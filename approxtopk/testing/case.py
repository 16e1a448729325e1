"""`Case`: an array and how to select from it; and what comes back, as rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .dtypes import Array, native
from .oracle import Number

#: A selection: `approxtopk.topk`'s signature, but NumPy arrays in and out.
Select = Callable[..., tuple[Array, ...]]


@dataclass(frozen=True, eq=False)
class Case:
    """One call with its plan given."""

    array: Array
    k: int
    b: int
    kb: int
    axis: int = -1
    largest: bool = True
    sorted: bool = False
    interleaved: bool = True

    @property
    def n(self) -> int:
        """Length of the selection axis."""
        return int(self.array.shape[self.axis])

    @cached_property
    def rows(self) -> Array:
        """The array as rows, shape (rows, n), contiguous and in native byte order."""
        return as_rows(self.array, self.axis)

    def numbers(self, row: int) -> list[Number]:
        """A row as Python numbers, for the oracle."""
        return as_numbers(self.rows[row])

    @property
    def arguments(self) -> dict[str, Any]:
        """Keywords of `topk` besides `arr` and `k`."""
        names = ("b", "kb", "axis", "largest", "sorted", "interleaved")
        return {name: getattr(self, name) for name in names}

    def but(self, **changes: Any) -> Case:
        """The case with some fields changed."""
        return replace(self, **changes)

    def __repr__(self) -> str:
        array = np.array2string(self.array, separator=", ", threshold=200)
        given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        layout = f"dtype={self.array.dtype}, shape={self.array.shape}, strides={self.array.strides}"
        return f"topk({array}, {self.k}, {given})\n  where arr has {layout}"


class Selected(NamedTuple):
    """A result as rows: shape (rows, k)."""

    values: Array
    indices: Array


def run(select: Select, case: Case) -> Selected:
    """Select, check the result's shapes and types, and give it as rows."""
    values, indices = select(case.array, case.k, **case.arguments)
    shape = list(case.array.shape)
    shape[case.axis] = case.k
    for name, array, dtype in (
        ("values", values, case.array.dtype),
        ("indices", indices, np.dtype(np.int64)),
    ):
        require(array.shape == tuple(shape), name + " has shape {}, not {}", array.shape, shape)
        same = array.dtype == dtype or array.dtype.name == dtype.name  # whatever the byte order
        require(same, name + " has dtype {}, not {}", array.dtype, dtype)
    return Selected(as_rows(values, case.axis), as_rows(indices, case.axis))


def same_selection(what: str, case: Case, got: Selected, expected: Selected) -> None:
    """Equal index sets per row; equal indices if sorted."""
    one, other = got.indices, expected.indices
    if not case.sorted:
        one, other = np.sort(one, axis=1), np.sort(other, axis=1)
    require((one == other).all(), what + ": indices {} and {}", one, other)


def require(condition: Any, message: str, *details: Any) -> None:
    """`assert` that survives ``python -O``; `details` fill the message's braces if it's needed."""
    if not condition:
        raise AssertionError(message.format(*details))


def as_rows(array: Array, axis: int) -> Array:
    """Shape (rows, length of the axis), contiguous and in native byte order, bits kept."""
    last = array if axis in (-1, array.ndim - 1) else np.moveaxis(array, axis, -1)
    last = native(np.ascontiguousarray(last))
    return last.reshape(math.prod(last.shape[:-1]), last.shape[-1])


def as_numbers(row: Array) -> list[Number]:
    """Python numbers; what `ml_dtypes` gives instead of a float becomes one."""
    return [x if isinstance(x, int) else float(x) for x in row.tolist()]
