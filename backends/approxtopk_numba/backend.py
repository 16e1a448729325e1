"""`NumbaBackend`: NumPy arrays of any layout to contiguous rows, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk_numpy.backend import (
    NumpyBackend,
    every_row_again,
    put_rows,
    rows_last,
    take_rows,
)

from .launch import LINE_BYTES, LONGEST_KB, is_exact, launch
from .run import UNASKED, run, run_in_pieces

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
        exact = np.empty(request.rows_shape, np.bool_) if request.certificate else UNASKED
        if request.certificate and (request.empty or is_exact(request)):
            exact.fill(True)
        proved = exact if exact.ndim == 1 else exact.reshape(-1)
        if request.empty:
            pass
        elif ready:
            run(arr, *out, proved, request)
        else:
            self._copied(rows_last((arr, *out), request.axis), proved, request)
        return (*out, exact) if request.certificate else out

    def _copied(self, arrays: list[_Array], exact: _Array, request: Request) -> None:
        """Select from what the kernels can't read as it lies, and write where they can't."""
        arr, values, indices = arrays
        block, cuts = block_rows(request, arr.itemsize)
        native = arr.dtype.newbyteorder("=")
        for begin in range(0, request.rows, block):
            end = min(begin + block, request.rows)
            rows, proved = take_rows(arr, begin, end), exact[begin:end]
            if cuts > 1:
                out = [take_rows(part, begin, end)[0] for part in (values, indices)]
                run_in_pieces(rows[0], out[0], out[1], proved, request, cuts)
                continue
            shape = (end - begin, request.k)
            found = np.empty(shape, native), np.empty(shape, request.index_dtype)
            some = replace(request, shape=rows.shape, axis=1)
            run(np.ascontiguousarray(rows, native), *found, proved, some)
            put_rows(values, begin, end, found[0])
            put_rows(indices, begin, end, found[1])

    def kernel(self, request: Request) -> str:
        if request.empty:
            return "nothing to select"
        plan = launch(request)
        what = "exact: " if plan.exact else ""
        if plan.sampled is not None:
            size = plan.sampled.lines * LINE_BYTES // request.itemsize
            how = f"a sample of {size} elements, then what reaches its bar"
        else:
            lanes = f"stage 1 in {plan.width} lanes, " if plan.width else ""
            how = f"{lanes}keys first, indices for the winners"
        cuts = f"; each row in {plan.cuts} pieces" if plan.cuts > 1 else ""
        threads = f"{plan.threads} threads" if plan.threads > 1 else "1 thread"
        return f"{what}{how}{cuts}; {threads}"

    def workspace(self, request: Request) -> int:
        return 0 if request.empty else launch(request).workspace

    def read_again(self, request: Request) -> float:
        """As `NumpyBackend` does.

        For a certificate the look for winners goes on behind the last of them, through tiles that
        share their noted best key with one of a winner's: 3.5 tiles of a row at most on average, or
        half of a contiguous bucket. That is not counted.
        """
        return every_row_again(request) if launch(request).cuts > 1 else 0.0


def _flat(arr: _Array) -> bool:
    """Whether the kernels can read or write it as it lies."""
    flags = arr.flags
    return flags.c_contiguous and flags.aligned and arr.dtype.isnative


def block_rows(request: Request, itemsize: int) -> tuple[int, int]:
    """Rows to copy at once, and into how many pieces to cut a single one.

    NumPy may need two copies to lay rows out: together they are a twelfth.
    """
    cuts = launch(request).cuts
    if request.n * itemsize >= PIECES_BYTES:
        cuts = max(cuts, -(-PARTS // request.rows))
    if cuts > 1:
        return 1, cuts
    fitting = BLOCK_BYTES // (request.n * itemsize)
    return max(1, min(fitting, request.rows // PARTS)), 1
