"""`NumbaBackend`: NumPy arrays to flat bits, threads over compiled kernels, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk_numpy.backend import NumpyBackend, put_rows, rows_last, take_rows

from .bits import Order, order, sort_rows
from .exact import select_exactly
from .kernels import finish_row, select_rows, stage1_part
from .launch import LONGEST_KB, STEPS, TILE_BYTES, Launch, is_exact, launch
from .threads import spread

_Array = NDArray[Any]
_Pair = tuple[_Array, _Array]

#: Arrays that the kernels can't read as they lie are copied in blocks of about this many bytes.
BLOCK_BYTES = 1 << 22

#: Rows are handed to threads in this many pieces per thread, so that a slow one holds up little.
PIECES = 4


class NumbaBackend(NumpyBackend):
    """NumPy arrays as the reference takes them; `approxtopk_numba.kernels` tells how."""

    def refuses(self, request: Request) -> str | None:
        if request.kb > LONGEST_KB and not is_exact(request):
            return f"has kernels for kb up to {LONGEST_KB} only, not for kb={request.kb}"
        return None

    def topk(self, arr: _Array, request: Request, out: _Pair | None = None) -> _Pair:
        arr = np.asarray(arr)
        ready = request.axis == arr.ndim - 1 and _flat(arr)
        if out is None:
            out = (
                np.empty(request.out_shape, arr.dtype),
                np.empty(request.out_shape, request.index_dtype),
            )
        elif ready:
            ready = _flat(out[0]) and _flat(out[1])
        if request.empty:
            return out
        if ready:
            run(arr, *out, request)
        else:
            source, values, indices = rows_last((arr, *out), request.axis)
            block = block_rows(request, arr.itemsize)
            for begin in range(0, request.rows, block):
                end = min(begin + block, request.rows)
                rows = take_rows(source, begin, end)
                rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))
                shape = (end - begin, request.k)
                found = np.empty(shape, rows.dtype), np.empty(shape, request.index_dtype)
                run(rows, *found, replace(request, shape=rows.shape, axis=1))
                put_rows(values, begin, end, found[0])
                put_rows(indices, begin, end, found[1])
        return out

    def kernel(self, request: Request) -> str:
        if request.empty:
            return "nothing to select"
        plan = launch(request)
        lanes = f"stage 1 in {plan.width} lanes, " if plan.width else ""
        what = "exact: " if plan.exact else ""
        threads = f"{plan.threads} threads" if plan.threads > 1 else "1 thread"
        return f"{what}{lanes}keys first, indices for the winners; {threads}"

    def workspace(self, request: Request) -> int:
        return 0 if request.empty else launch(request).workspace


def run(arr: _Array, values: _Array, indices: _Array, request: Request) -> None:
    """Select along the last axis, for arrays that are `_flat` and not empty.

    Elements count by their bits alone: `request.dtype` says what these mean, so an array of
    bfloat16 may come as one of uint16.
    """
    plan = launch(request)
    how = order(request.dtype, request.largest)
    wide = indices  # kernels for int64 alone: each would take as long to compile as the first
    if request.index_dtype != "int64":
        wide = np.empty(indices.shape, np.int64)
    flat = (
        arr.reshape(-1).view(how.bits),
        values.reshape(-1).view(how.bits),
        wide.reshape(-1),
    )
    _run_flat(*flat, request, plan, how)
    if wide is not indices:
        indices[...] = wide


def _run_flat(
    x: _Array, values: _Array, indices: _Array, request: Request, plan: Launch, how: Order
) -> None:
    if plan.parts > 1:
        for row in range(request.rows):
            some = (_row(a, row, request.rows) for a in (x, values, indices))
            _run_in_parts(request, plan, how, *some)
        _sort(values, indices, 0, request.rows, request, how)
        return

    def some_rows(begin: int, end: int) -> None:
        _run_rows(x, values, indices, begin, end, request, plan, how)
        _sort(values, indices, begin, end, request, how)

    if plan.threads == 1:
        some_rows(0, request.rows)
    else:
        size = -(-request.rows // (plan.threads * PIECES))
        starts = range(0, request.rows, size)
        spread(some_rows, [(i, min(i + size, request.rows)) for i in starts], plan.threads)


def _run_rows(
    x: _Array,
    values: _Array,
    indices: _Array,
    begin: int,
    end: int,
    request: Request,
    plan: Launch,
    how: Order,
) -> None:
    keys = np.empty(plan.keys, how.bits)
    n, k, width = request.n, request.k, plan.width
    rows = (x, n, begin, end, values, indices, k)
    if plan.exact:
        places = np.empty(plan.collected, np.int64)
        select_exactly(*rows, width, how.infinity, how.flip, keys, places)
    else:
        buckets = (request.b, width, request.interleaved, (0,) * request.kb)
        select_rows(*rows, *buckets, how.infinity, how.flip, keys)


def _run_in_parts(
    request: Request, plan: Launch, how: Order, x: _Array, values: _Array, indices: _Array
) -> None:
    """One long row, whose stage 1 several threads share."""
    keys = np.empty(plan.keys, how.bits)
    n, b, kb, width = request.n, request.b, request.kb, plan.width
    levels = (0,) * kb
    tops = (kb + 1) * b
    lanes = plan.keys - plan.parts * kb * width
    tiles = -(-width * how.bits.itemsize // TILE_BYTES)
    groups = -(-n // (STEPS * width))  # a part is some groups of STEPS steps
    bounds = [part * groups // plan.parts for part in range(plan.parts + 1)]

    def one_part(part: int) -> None:
        first, stop = (min(bounds[i] * STEPS * width, n) for i in (part, part + 1))
        at = (keys, lanes + part * kb * width, tops + bounds[part] * tiles)
        stage1_part(x, first, stop, width, levels, how.infinity, how.flip, *at)

    spread(one_part, [(part,) for part in range(plan.parts)], plan.threads)
    row = (x, n, values, indices, request.k, b, width, plan.parts, lanes, levels)
    finish_row(*row, how.infinity, how.flip, keys)


def _sort(
    values: _Array, indices: _Array, begin: int, end: int, request: Request, how: Order
) -> None:
    if request.sorted:
        shape = (request.rows, request.k)
        sort_rows(values.reshape(shape)[begin:end], indices.reshape(shape)[begin:end], how)


def _row(flat: _Array, row: int, rows: int) -> _Array:
    length = flat.size // rows
    return flat[row * length : (row + 1) * length]


def _flat(arr: _Array) -> bool:
    """Whether the kernels can read or write it as it lies."""
    flags = arr.flags
    return flags.c_contiguous and flags.aligned and arr.dtype.isnative


def block_rows(request: Request, itemsize: int) -> int:
    """Rows to copy at once. NumPy may need two copies to lay them out: together a twelfth."""
    fitting = max(1, BLOCK_BYTES // (request.n * itemsize))
    return max(1, min(fitting, request.rows // 24))
