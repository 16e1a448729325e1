"""`NumpyBackend`: NumPy arrays to rows, selected in blocks, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import ArrayInfo, Backend, Request

from .fast import select
from .long_row import select_in_pieces
from .looks import NumpyLooks
from .memory import block_rows, piece_count, room, workspace

_Array = NDArray[Any]
_Pair = tuple[_Array, _Array]
_Arrays = tuple[_Array, ...]


class _Names(dict[np.dtype[Any], str]):
    """`dtype.name` takes a microsecond; remember it."""

    def __missing__(self, dtype: np.dtype[Any]) -> str:
        self[dtype] = name = dtype.name
        return name


_NAMES = _Names()


class NumpyBackend(Backend):
    """NumPy arrays of any strides, byte order and subclass (bfloat16 by way of `ml_dtypes`)."""

    certifies = True

    def describe(self, arr: _Array) -> ArrayInfo:
        if isinstance(arr, np.ma.MaskedArray):
            raise TypeError(
                "arr is a masked array, whose mask would be ignored; "
                "pass arr.filled(fill_value) instead"
            )
        return ArrayInfo(arr.shape, _NAMES[arr.dtype], "cpu")

    def topk(self, arr: _Array, request: Request, out: _Pair | None = None) -> _Arrays:
        arr = np.asarray(arr)
        if out is None:
            out = (
                np.empty(request.out_shape, arr.dtype),
                np.empty(request.out_shape, request.index_dtype),
            )
        exact = np.ones(request.rows, dtype=np.bool_)
        if not request.empty:
            arrays = rows_last((arr, *out), request.axis)
            by = self._by_pieces if piece_count(request) > 1 else self._by_blocks
            by(arrays, exact, request)
        return (*out, exact.reshape(request.rows_shape)) if request.certificate else out

    def _by_blocks(self, arrays: list[_Array], exact: _Array, request: Request) -> None:
        source, values, indices = arrays
        block = block_rows(request)
        if not (source.flags.c_contiguous and source.dtype.isnative):  # a block is copied
            block = min(block, max(1, request.rows // 24))
        if block < request.rows:
            keep_freed(workspace(request))
        for begin in range(0, request.rows, block):
            end = min(begin + block, request.rows)
            rows = take_rows(source, begin, end)
            best, exact[begin:end] = select(rows, request)
            put_rows(values, begin, end, np.take_along_axis(rows, best, axis=1))
            put_rows(indices, begin, end, best)

    def _by_pieces(self, arrays: list[_Array], exact: _Array, request: Request) -> None:
        looks, count, most = NumpyLooks(), piece_count(request), room(request)
        for at in range(request.rows):
            row, *out = (take_rows(arr, at, at + 1)[0] for arr in arrays)
            exact[at] = select_in_pieces(row, (out[0], out[1]), request, looks, count, most)

    def overlap(self, a: _Array, b: _Array) -> bool:
        return np.shares_memory(a, b)

    def writable(self, arr: _Array) -> bool:
        return bool(arr.flags.writeable)

    def to_numpy(self, arr: _Array) -> _Array:
        return arr.astype(np.float32) if arr.dtype.name == "bfloat16" else np.asarray(arr)

    def kernel(self, request: Request) -> str:
        count = 1 if request.empty else piece_count(request)
        cuts = f"; each row in {count} pieces" if count > 1 else ""
        return f"NumPy: best values first, indices for the winners{cuts}"

    def workspace(self, request: Request) -> int:
        return 0 if request.empty else workspace(request)

    def read_again(self, request: Request) -> float:
        return every_row_again(request) if piece_count(request) > 1 else 0.0


def every_row_again(request: Request) -> float:
    """What certificates of rows in pieces read: all, to count what is better than the worst.

    Of a row that is looked at as a whole nothing is. The look that finds the winners comes by
    whatever reaches the worst of them, kept or dropped.
    """
    return 0.0 if request.exact else float(request.rows * request.n * request.itemsize)


def keep_freed(size: int) -> None:
    """Have the C library keep what one block frees for the next.

    glibc gives free memory back to the system, to be faulted in again, until an array has been
    freed that was at least half as large: 256 rows of 65,536 take 1.9 times as long then.
    """
    np.empty(size, np.uint8)


def rows_last(arrays: tuple[_Array, ...], axis: int) -> list[_Array]:
    """The arrays with the selection axis last, and one axis of rows even where rank is 1."""
    if axis == arrays[0].ndim - 1:
        return [arr[None] for arr in arrays]
    return [np.moveaxis(arr, axis, -1)[None] for arr in arrays]


def take_rows(arr: _Array, begin: int, end: int) -> _Array:
    """Rows of an array from `rows_last`: a view of a single one or where it is contiguous."""
    if arr.flags.c_contiguous:
        return _flat_rows(arr)[begin:end]
    if end == begin + 1:
        row: _Array = arr[np.unravel_index(begin, arr.shape[:-1])]
        return row[None]
    return arr[_rows(arr, begin, end)]


def put_rows(arr: _Array, begin: int, end: int, rows: _Array) -> None:
    """Write what `take_rows` would read."""
    if arr.flags.c_contiguous:
        _flat_rows(arr)[begin:end] = rows
    else:
        arr[_rows(arr, begin, end)] = rows


def _flat_rows(arr: _Array) -> _Array:
    return arr.reshape(-1, arr.shape[-1])


def _rows(arr: _Array, begin: int, end: int) -> tuple[NDArray[np.intp], ...]:
    return np.unravel_index(np.arange(begin, end), arr.shape[:-1])
