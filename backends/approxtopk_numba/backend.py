"""`NumbaBackend`: NumPy arrays of any layout to contiguous rows, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk_numpy.backend import NumpyBackend, put_rows, rows_last, take_rows

from .launch import LONGEST_KB, is_exact, launch
from .pieces import select_in_pieces
from .run import UNASKED, run

_Array = NDArray[Any]
_Pair = tuple[_Array, _Array]
_Arrays = tuple[_Array, ...]

#: Arrays that the kernels can't read as they lie are copied in blocks of about this many bytes.
BLOCK_BYTES = 1 << 22
#: Into at least that many parts.
PARTS = 24
#: A row that is shorter is not worth being cut in pieces.
PIECES_BYTES = 1 << 19


class NumbaBackend(NumpyBackend):
    """NumPy arrays as the reference takes them; `approxtopk_numba.kernels` tells how."""

    def refuses(self, request: Request) -> str | None:
        if request.kb > LONGEST_KB and not is_exact(request):
            return f"has kernels for kb up to {LONGEST_KB} only, not for kb={request.kb}"
        return None

    def topk(self, arr: _Array, request: Request, out: _Pair | None = None) -> _Arrays:
        arr = np.asarray(arr)
        ready = request.axis == arr.ndim - 1 and _flat(arr)
        if out is None:
            out = (
                np.empty(request.out_shape, arr.dtype),
                np.empty(request.out_shape, request.index_dtype),
            )
        elif ready:
            ready = _flat(out[0]) and _flat(out[1])
        exact = np.ones(request.rows, np.uint8) if request.certificate else UNASKED
        if request.empty:
            pass
        elif ready:
            run(arr, *out, exact, request)
        else:
            source, values, indices = rows_last((arr, *out), request.axis)
            block, count = block_rows(request, arr.itemsize)
            for begin in range(0, request.rows, block):
                end = min(begin + block, request.rows)
                rows = take_rows(source, begin, end)
                native = rows.dtype.newbyteorder("=")
                shape = (end - begin, request.k)
                found = np.empty(shape, native), np.empty(shape, request.index_dtype)
                some = replace(request, shape=rows.shape, axis=1)
                if count > 1:
                    select_in_pieces(rows[0], found, exact[begin:end], some, count)
                else:
                    rows = np.ascontiguousarray(rows, native)
                    run(rows, *found, exact[begin:end], some)
                put_rows(values, begin, end, found[0])
                put_rows(indices, begin, end, found[1])
        if request.certificate:
            return (*out, exact.view(np.bool_).reshape(request.rows_shape))
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


def _flat(arr: _Array) -> bool:
    """Whether the kernels can read or write it as it lies."""
    flags = arr.flags
    return flags.c_contiguous and flags.aligned and arr.dtype.isnative


def block_rows(request: Request, itemsize: int) -> tuple[int, int]:
    """Rows to copy at once, and into how many pieces to cut a single one.

    NumPy may need two copies to lay rows out: together they are a twelfth.
    """
    fitting = BLOCK_BYTES // (request.n * itemsize)
    block = max(1, min(fitting, request.rows // PARTS))
    pieces = -(-PARTS // request.rows) if request.n * itemsize >= PIECES_BYTES else 1
    return block, pieces if block == 1 else 1
