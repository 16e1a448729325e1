"""Compiled looks at the pieces of a long row; see `approxtopk_numpy.pieces`.

Stage 1 of a piece is done again at every look, and what it keeps is forgotten: the keys of all
candidates of the row would be too many to be held at once. An exact answer has no stage 1, only
elements that may reach the span.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from .cache import entry
from .intrinsics import PACE, load, lowest_bit, order_key, store
from .kernels import glue, keep, reaching, run, was_dropped


@entry
def count_candidates(
    x, n, b, width, interleaved, levels, infinity, flip, keys, low, high, shift, counts
):
    """Add to `counts` how many candidates are above a span of keys, and in every bin of it.

    Parameters
    ----------
    x : 1-D C array
        A row, elements as unsigned integers with the same bits.
    width : int
        Lanes of stage 1, or 0 for an exact answer.
    keys : 1-D C array of x's dtype
        Scratch; what stage 1 has kept is left in it.
    low, high : of x's dtype
        The least key of the span and the greatest, with which the bins begin.
    shift : int
        A bin is 2**shift keys.
    counts : 1-D C array of int64
    others
        See `approxtopk_numba.kernels.select_rows`. Where a bucket has fewer than kb elements, the
        least key stands for those that it lacks.
    """
    if width == 0:
        for first in range(0, n, PACE):
            mask = reaching(x, first, min(PACE, n - first), low, infinity, flip)
            while mask:
                i = first + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                _tell(order_key(load(x, i), infinity, flip), high, shift, counts)
        return
    keep(x, 0, n, b, width, interleaved, levels, infinity, flip, keys)
    for j in range(len(levels) * b):
        key = load(keys, j)
        if key >= low:
            _tell(key, high, shift, counts)


@glue
def _tell(key, high, shift, counts):
    at = 0 if key > high else 1 + np.int64(np.uint64(high - key) >> np.uint64(shift))
    store(counts, at, load(counts, at) + 1)


@entry
def take_candidates(
    x,
    n,
    b,
    width,
    interleaved,
    kb,
    infinity,
    flip,
    keys,
    low,
    high,
    panel,
    first,
    values,
    indices,
):
    """The candidates that reach `low`, by ascending index, after `count_candidates` of that row.

    Those above `high` fill `values` and `indices` from the front, the others from the back; when
    these are full it stops. Returns where to go on from, as the next `panel` and `first` (the first
    of all is 0, 0; in the end it is n), and where front and back begin to be free no more.
    """
    front, back = 0, values.size
    panels = (n + b - 1) // b if interleaved else b
    while panel < panels:
        start, stop = (panel * b, min(panel * b + b, n)) if interleaved else run(n, b, panel)
        for pace in range(max(start, first), stop, PACE):
            if back - front < PACE:
                return panel, pace, front, back
            mask = reaching(x, pace, min(PACE, stop - pace), low, infinity, flip)
            while mask:
                i = pace + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                key = order_key(load(x, i), infinity, flip)
                bucket = i - start if interleaved else panel
                if width > 0 and was_dropped(key, keys, bucket, b, kb):
                    continue
                back -= 0 if key > high else 1
                at = front if key > high else back
                front += 1 if key > high else 0
                store(values, at, load(x, i))
                store(indices, at, i)
        panel += 1
    return panel, n, front, back
