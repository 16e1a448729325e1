"""Bucketed top-k with NumPy's own SIMD loops: maxima first, indices only for the winners.

It says the same as `reference`, which checks it. Stage 1 keeps values alone; the k-th best of
them is the bar that a winner has to reach, and the few elements of the row that do are looked up.
A bucket may hold more of these than it kept, and more may tie with the bar than are wanted; in
both cases the first ones win.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request
from approxtopk.exactness import place_of_worst

from .reaching import (
    Kept,
    Reaching,
    buckets_of,
    falling,
    kept_by,
    kept_of,
    kth_best,
    raised,
    reaching,
    reaching_in_few,
    winners,
)
from .stage1 import Reader, keep_interleaved, keep_runs, rather_keys

_Array = NDArray[Any]
_Booleans = NDArray[np.bool_]
_Integers = NDArray[np.integer[Any]]

#: Where more than one in that many elements reaches the bar of the candidates, an exact answer
#: looks at all of them instead.
CROWD = 8

#: Standard deviations of what buckets drop that there is room for.
DEVIATIONS = 4

#: A row of that many neighbours is read at full speed.
FEWEST_BUCKETS = 2048


def select(values: _Array, request: Request) -> tuple[_Integers, _Booleans]:
    """Indices of the selected elements of each row, and its certificate if one is wanted.

    Ascending, or best first if asked for.

    Parameters
    ----------
    values : ndarray, shape (rows, n)
        Any strides and byte order. One row, or memory.BLOCK elements at most.
    request : Request
        Of any number of rows.
    """
    with np.errstate(invalid="ignore"):  # comparing a signalling NaN
        best, keys, exact = ascending(values, request)
    if request.sorted:
        best = np.take_along_axis(best, np.argsort(falling(keys), axis=1, kind="stable"), axis=1)
    return best, exact


def ascending(values: _Array, request: Request) -> tuple[_Integers, _Array, _Booleans]:
    """`select` in the order of the index, and what tells which are better: greater keys.

    The whole true top-k reaches the bar of the candidates, kept by its buckets or not: an exact
    answer is the best of what does, and another is exact if nothing better was left out of it.
    """
    exact = np.ones(len(values), dtype=np.bool_)
    reached, was_kept = by_own_buckets(values, request) or by_all_buckets(values, request)
    if was_kept is None:
        best, keys = winners(raised(reached, request.k), request.k)
        return best, keys, exact
    best, keys = winners(raised(reached.only(was_kept), request.k), request.k)
    if request.certificate:
        was_dropped = ~was_kept
        if len(key := reached.key[was_dropped]):
            worst = keys.min(axis=1)
            if len(exact) == 1 and (most := key.max()) != worst[0]:
                exact[0] = most < worst[0]
            else:
                exact[rows_missing(reached, was_dropped, best, keys, worst)] = False
    return best, keys, exact


def rows_missing(
    reached: Reaching, was_dropped: _Booleans, best: _Integers, keys: _Array, worst: _Array
) -> _Integers:
    """The rows whose answer, with its keys and their worst, something dropped is better than."""
    dropped = np.flatnonzero(was_dropped)
    row, key = reached.row[dropped], reached.key[dropped]
    least = worst[row]
    better = key > least
    ties = np.flatnonzero(key == least)
    if len(ties):  # of equals the first ones win
        last = np.where(keys == worst[:, None], best, 0).max(axis=1)
        better[ties] = reached.i[dropped[ties]] < last[row[ties]]
    missing: _Integers = row[better]
    return missing


def by_own_buckets(values: _Array, request: Request) -> tuple[Reaching, _Booleans | None] | None:
    """What reaches a bar, found by the buckets that cost least, and what of it was kept.

    No more is missing from these than is expected to have been dropped. None where that would
    leave fewer than are wanted, or so much that all elements are no more work.
    """
    own = as_solved(request)
    if not own.exact or own.lossless:
        return None
    found = reaching_the_candidates(values, own)
    if found is None:
        return None
    reached, _ = found
    if request.exact:
        return reached, None
    was_kept = kept_of(reached, request)
    if np.bincount(reached.row[was_kept], minlength=len(values)).min() < request.k:
        return None
    return reached, was_kept


def by_all_buckets(values: _Array, request: Request) -> tuple[Reaching, _Booleans | None]:
    """The same by the buckets asked for, or from all elements."""
    if request.exact or request.lossless:
        return among_all(values, request), None
    found = reaching_the_candidates(values, request)
    assert found is not None  # since it isn't exact
    reached, kept = found
    assert kept is not None
    return reached, kept_by(kept, buckets_of(reached, request), reached.key)


@lru_cache(maxsize=4096)
def as_solved(request: Request) -> Request:
    """A request with the buckets that it is solved by.

    An exact one's, or those of a greater `k`: what has a place in an answer is also among the best
    so many of the row, if no more of these are dropped than that leaves.
    """
    if request.exact or request.lossless:
        return by_cheapest_buckets(request)
    most = enough(request)
    if most < request.n:
        own = by_cheapest_buckets(replace(request, k=most, exact=True))
        if not own.lossless:
            return own
    return request


def enough(request: Request) -> int:
    """How many of the best of a row hold its answer, but for rows whose buckets drop more."""
    k = request.k
    dropped = place_of_worst(request.n, k, request.b, request.kb) - k + 1
    return k + dropped + math.ceil(DEVIATIONS * math.sqrt(dropped))


@lru_cache(maxsize=4096)
def by_cheapest_buckets(request: Request) -> Request:
    """An exact request with buckets that cost least here: one `max` of each gives a good bar.

    4 k of them hold most of the true top-k. Whole rows where these are no small part of the row.
    """
    b = max(FEWEST_BUCKETS, 4 * request.k)
    if 4 * b > request.n:
        return request.by_whole_rows()
    return replace(request, b=b, kb=1, interleaved=True, exact=True)


def among_all(values: _Array, request: Request) -> Reaching:
    """What reaches the k-th best of all elements of a row."""
    read = Reader(request.largest, as_keys=True)
    bar = kth_best(read(values), request.k, True)
    found = reaching(values, bar, read, values.size, request.k)
    assert found is not None  # there are no more elements than that
    return Reaching(*found, bar[:, 0])


def reaching_the_candidates(
    values: _Array, request: Request
) -> tuple[Reaching, Kept | None] | None:
    """What reaches the k-th best candidate of its row, and what tells which of it was kept.

    An exact answer asks nothing of the latter. None where it would have to sort out so much that
    all elements are no more work.
    """
    kept, read = keep_best(values, request)
    candidates = kept.swapaxes(0, 1).reshape(len(values), -1)
    bar = kth_best(candidates, request.k, read.direction.largest)
    queues = None if request.exact else Kept.of(kept, read.rising)
    found, most, enough = None, values.size, values.shape[1]
    if request.exact:
        most //= CROWD
        bucket = np.flatnonzero(read.direction.as_good(candidates, bar))
        if len(bucket) > 2 * request.k * len(values):  # many tie
            enough = request.k
        if values.flags.c_contiguous and not read.copies(values):
            found = reaching_in_few(values, bucket, request.b, bar, read)
        del bucket  # what is no longer needed goes at once: there are no larger arrays
    del kept, candidates
    if found is None:
        found = reaching(values, bar, read, most, enough)
    if found is None:
        return None
    return Reaching(*found, read.rising(bar)[:, 0]), queues


def keep_best(values: _Array, request: Request) -> tuple[_Array, Reader]:
    """The best of each bucket, shape (kb, rows, b), and how elements were read to compare them."""
    keep = keep_interleaved if request.interleaved else keep_runs
    read = Reader(request.largest, as_keys=rather_keys(values.dtype))
    kept = keep(values, request.b, request.kb, read)
    if kept is None:
        read = Reader(request.largest, as_keys=True)
        kept = keep(values, request.b, request.kb, read)
        assert kept is not None  # keys have no NaN
    return kept, read
