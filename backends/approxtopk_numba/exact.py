"""Compiled exact selection of rows whose sample did not do, or that are too short to have one.

Stage 1 with lanes of its own gives a threshold that the true k-th reaches.
"""

# mypy: ignore-errors

from __future__ import annotations

from .cache import entry
from .collecting import collect, give_best
from .kernels import clear, stage1, threshold


@entry
def select_exactly(x, n, begin, end, values, indices, k, width, infinity, flip, keys, places):
    """Select the true top `k` of the rows `begin` to `end` of a flat array, by ascending index.

    Parameters
    ----------
    width : int
        Lanes of stage 1, or 0 to do without.
    keys : 1-D C array of x's dtype
        Scratch: a best key for each lane, tops, keys of the collected.
    places : 1-D C array of int64
        Scratch: indices of the collected, as many as n or more than k, and a tile.
    others
        See `approxtopk_numba.kernels.select_rows`.
    """
    for row in range(begin, end):
        base = row * n
        floor = x.dtype.type(0)
        if width:
            clear(keys, 0, width)
            stage1(x, base, base + n, width, keys, 0, width, (0,), infinity, flip)
            floor, _ = threshold(keys, 0, width, k, k + k // 32)
        taken = collect(x, base, n, k, width, floor, keys, places, infinity, flip)
        give_best(x, base, values, indices, row * k, k, keys, places, taken)
