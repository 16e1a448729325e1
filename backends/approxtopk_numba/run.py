"""Contiguous arrays to flat bits, the kernels that a launch asks for, and threads over them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk_numpy.long_row import select_in_pieces
from approxtopk_numpy.memory import room

from .bits import Order, flat_bits, order, sort_rows
from .exact import select_exactly
from .kernels import finish_row, select_rows, stage1_part
from .launch import STEPS, TILE_BYTES, Launch, launch, whole_rows
from .looks import NumbaLooks
from .sampled import select_sampled
from .threads import spread

_Array = NDArray[Any]


class Job(NamedTuple):
    """What follows from a request, worked out once: a small call is over in 3 us."""

    request: Request
    plan: Launch
    how: Order
    levels: tuple[int, ...]  #: see `approxtopk_numba.kernels.select_rows`
    bits: Any  #: `how.bits`
    n: int
    rows: int
    k: int
    alone: bool  #: one thread, no sorting, int64 indices: nothing but the kernel


@lru_cache(maxsize=4096)
def job(request: Request, whole: bool = False) -> Job:
    """The job that a request makes; `whole` rows by one thread, whatever else would be better."""
    plan = whole_rows(request, 1) if whole else launch(request)
    how = order(request.dtype, request.largest)
    alone = plan.threads == plan.cuts == 1 and not request.sorted and request.index_dtype == "int64"
    shape = request.n, request.rows, request.k
    levels = () if plan.exact else (0,) * request.kb
    return Job(request, plan, how, levels, how.bits, *shape, alone)


#: Stands for a certificate where none is wanted.
UNASKED = np.empty(0, np.bool_)


def run(
    arr: _Array, values: _Array, indices: _Array, exact: NDArray[np.bool_], request: Request
) -> None:
    """Select along the last axis, for arrays that are C-contiguous, aligned and not empty.

    `exact` is the certificate of each row, or `UNASKED`; an exact answer leaves it as it
    is.

    Elements count by their bits alone: `request.dtype` says what these mean, so an array of
    bfloat16 may come as one of uint16.
    """
    this = job(request)
    x, found = flat_bits(arr, this.bits), values.reshape(-1).view(this.bits)
    if this.alone:
        _run_rows(this, x, found, indices.reshape(-1), exact, this.rows)
        return
    if this.plan.cuts > 1:
        rows, *out = (part.reshape(this.rows, -1) for part in (arr, values, indices))
        for at, row in enumerate(rows):
            proved = exact[at : at + 1]
            run_in_pieces(row, out[0][at], out[1][at], proved, request, this.plan.cuts)
        return
    _share(this, x, found, indices.reshape(-1), exact)


def run_in_pieces(
    row: _Array, values: _Array, indices: _Array, exact: _Array, request: Request, cuts: int
) -> None:
    """The same for one of the rows that `request` has, of any layout, in about `cuts` pieces."""
    looks = NumbaLooks(job(request).plan.threads, _select)
    held = room(request) // looks.threads
    exact[:] = select_in_pieces(row, (values, indices), request, looks, cuts, held)


def _select(row: _Array, request: Request) -> tuple[_Array, _Array]:
    this = job(request, whole=True)
    values, indices = np.empty(request.k, row.dtype), np.empty(request.k, np.int64)
    _run_rows(this, flat_bits(row, this.bits), values.view(this.bits), indices, UNASKED, 1)
    return values, indices


def _share(this: Job, x: _Array, values: _Array, indices: _Array, exact: _Array) -> None:
    plan, n, k = this.plan, this.n, this.k
    select = _run_rows if plan.parts == 1 else _run_in_parts

    def some_rows(begin: int, end: int) -> None:
        some = slice(begin * k, end * k)
        found, wide = values[some], indices[some]
        if wide.dtype != np.int64:  # to have kernels for int32 would take as long to compile again
            wide = np.empty(len(wide), np.int64)
        select(this, x[begin * n : end * n], found, wide, exact[begin:end], end - begin)
        if this.request.sorted:
            sort_rows(found.reshape(-1, k), wide.reshape(-1, k), this.how)
        if wide.dtype != indices.dtype:
            indices[some] = wide

    bounds = range(0, this.rows, plan.piece)
    pieces = [(begin, min(begin + plan.piece, this.rows)) for begin in bounds]
    spread(some_rows, pieces, plan.threads if plan.parts == 1 else 1)


def _run_rows(
    this: Job, x: _Array, values: _Array, indices: _Array, exact: _Array, rows: int
) -> None:
    request, how, by = this.request, this.how, this.plan.sampled
    if by is None:
        _run_by_lanes(this, x, values, indices, exact, 0, rows)
        return
    missed = np.empty(rows, np.int64)
    scratch = (
        np.empty(by.keys, this.bits),
        np.empty(by.places, np.int64),
        np.empty(by.queues, np.uint32),
    )
    out, sample = (values, indices, exact, missed), (by.lines, by.rank, by.wanted)
    buckets = request.b, 0 if this.plan.exact else request.kb, request.interleaved
    told = this.k, sample, buckets, how.infinity, how.flip
    count = select_sampled(x, this.n, 0, rows, out, *told, scratch)
    if count:
        del scratch
        missed = missed[:count]
        for some in np.split(missed, np.flatnonzero(np.diff(missed) > 1) + 1):
            _run_by_lanes(this, x, *out[:3], int(some[0]), int(some[-1]) + 1)


def _run_by_lanes(
    this: Job, x: _Array, values: _Array, indices: _Array, exact: _Array, begin: int, end: int
) -> None:
    request, plan, how = this.request, this.plan, this.how
    keys = np.empty(plan.keys, this.bits)
    some_rows = (x, this.n, begin, end, values, indices)
    if plan.exact:
        places = np.empty(plan.places, np.int64)
        select_exactly(*some_rows, this.k, plan.width, how.infinity, how.flip, keys, places)
    else:
        buckets = (request.b, plan.width, request.interleaved, this.levels)
        select_rows(*some_rows, exact, this.k, *buckets, how.infinity, how.flip, keys)


def _run_in_parts(
    this: Job, x: _Array, values: _Array, indices: _Array, exact: _Array, rows: int
) -> None:
    """One long row, whose stage 1 several threads share."""
    assert rows == 1
    plan, how, n, b, kb = this.plan, this.how, this.n, this.request.b, this.request.kb
    width, order = plan.width, (how.infinity, how.flip)
    keys = np.empty(plan.keys, this.bits)
    tops = (kb + 1) * b
    lanes = plan.keys - plan.parts * kb * width
    tiles = -(-width * this.bits.itemsize // TILE_BYTES)
    groups = -(-n // (STEPS * width))  # a part is some groups of STEPS steps
    bounds = [part * groups // plan.parts for part in range(plan.parts + 1)]

    def one_part(part: int) -> None:
        first, stop = (min(bounds[i] * STEPS * width, n) for i in (part, part + 1))
        at = (keys, lanes + part * kb * width, tops + bounds[part] * tiles)
        stage1_part(x, first, stop, width, this.levels, *order, *at)

    spread(one_part, [(part,) for part in range(plan.parts)], plan.threads)
    row = (x, n, values, indices, exact, this.k, b, width, plan.parts, lanes, this.levels)
    finish_row(*row, *order, keys)
