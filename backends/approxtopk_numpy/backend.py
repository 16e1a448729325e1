"""`NumpyBackend`: NumPy arrays to rows of keys, the reference, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import ArrayInfo, Backend, Request

from .keys import order_keys
from .reference import select

#: Rows are taken in blocks of about this many elements, which bounds the extra memory.
BLOCK = 1 << 20

_Pair = tuple[NDArray[Any], NDArray[Any]]


class _Names(dict[np.dtype[Any], str]):
    """`dtype.name` takes a microsecond; remember it."""

    def __missing__(self, dtype: np.dtype[Any]) -> str:
        self[dtype] = name = dtype.name
        return name


_NAMES = _Names()


class NumpyBackend(Backend):
    """NumPy arrays of any strides, byte order and subclass (bfloat16 by way of `ml_dtypes`)."""

    def describe(self, arr: NDArray[Any]) -> ArrayInfo:
        if isinstance(arr, np.ma.MaskedArray):
            raise TypeError(
                "arr is a masked array, whose mask would be ignored; "
                "pass arr.filled(fill_value) instead"
            )
        return ArrayInfo(arr.shape, _NAMES[arr.dtype], "cpu")

    def topk(self, arr: NDArray[Any], request: Request, out: _Pair | None = None) -> _Pair:
        arr = np.asarray(arr)
        if out is None:
            out = (
                np.empty(request.out_shape, arr.dtype),
                np.empty(request.out_shape, request.index_dtype),
            )
        if not request.empty:
            source, out_values, out_indices = rows_last((arr, *out), request.axis)
            for rows in row_blocks(source.shape[:-1], max(1, BLOCK // request.n)):
                values = source[rows]
                keys = order_keys(values, request.largest)
                best = select(keys, request.k, request.b, request.kb, request.interleaved)
                out_values[rows] = np.take_along_axis(values, best, axis=1)
                out_indices[rows] = best
        return out

    def overlap(self, a: NDArray[Any], b: NDArray[Any]) -> bool:
        return np.shares_memory(a, b)

    def writable(self, arr: NDArray[Any]) -> bool:
        return bool(arr.flags.writeable)

    def to_numpy(self, arr: NDArray[Any]) -> NDArray[Any]:
        return arr.astype(np.float32) if arr.dtype.name == "bfloat16" else np.asarray(arr)

    def kernel(self, request: Request) -> str:
        return "reference: every bucket sorted"

    def workspace(self, request: Request) -> int:
        rows = min(request.rows, max(1, BLOCK // max(request.n, 1)))
        return 0 if request.empty else rows * request.n * 48


def rows_last(arrays: tuple[NDArray[Any], ...], axis: int) -> list[NDArray[Any]]:
    """The arrays with the selection axis last, and one axis of rows even where rank is 1."""
    return [np.moveaxis(arr, axis, -1)[None] for arr in arrays]


def row_blocks(shape: tuple[int, ...], size: int) -> Iterator[tuple[NDArray[np.intp], ...]]:
    """Index tuples that take `size` rows at a time, from arrays whose rows have this shape."""
    rows = math.prod(shape)
    for start in range(0, rows, size):
        yield np.unravel_index(np.arange(start, min(start + size, rows)), shape)
