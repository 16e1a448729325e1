"""Compiled exact selection, for requests whose buckets can't lose anything.

Stage 1 with lanes of its own gives a threshold that the true k-th reaches.  What passes it is
collected; whenever more than fits was collected, the best k stay and the threshold rises, so no
input is worse than linear and memory is 2k and a little.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from numba import njit

from .cache import entry
from .intrinsics import PACE, load, lowest_bit, order_key, store
from .kernels import clear, count_regions, glue, reaching, stage1, threshold
from .launch import STEPS, TILE_BYTES

#: `reaching` says so where all of PACE elements do.
ALL = np.uint64(2**PACE - 1)
#: The last of them.
LAST = np.uint64(2 ** (PACE - 1))


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
        Scratch: indices of the collected, as many as n or more than k.
    others
        See `approxtopk_numba.kernels.select_rows`.
    """
    collected = width + count_regions(n, width, TILE_BYTES // x.itemsize)
    for row in range(begin, end):
        base = row * n
        floor = x.dtype.type(0)
        if width:
            clear(keys, 0, width)
            stage1(x, base, base + n, width, keys, 0, width, (0,), infinity, flip)
            floor, _ = threshold(keys, 0, width, k, k + k // 32)
        search = (n, k, width, collected)
        taken = _collect(x, base, search, floor, keys, places, infinity, flip)
        if taken > k:
            _keep_best(keys, collected, places, taken, k)
        for j in range(k):
            i = load(places, j)
            store(values, row * k + j, load(x, base + i))
            store(indices, row * k + j, i)


@glue
def _collect(x, base, search, floor, keys, places, infinity, flip):
    """Note what may win, in the order of the index; how many were noted."""
    n, k, width, collected = search
    tile = TILE_BYTES // x.itemsize
    step = width if width else n
    grouped = n // (STEPS * step) * STEPS if width else 0
    tiles = (width + tile - 1) // tile
    dense = 4 * PACE * k > n
    taken = 0
    for panel in range((n + step - 1) // step):
        group = panel // STEPS if panel < grouped else grouped // STEPS + panel - grouped
        region = width + group * tiles
        stop = min(panel * step + step, n)
        for first in range(panel * step, stop, tile):
            if width:
                region += 1
                if load(keys, region - 1) < floor:
                    continue
            end = min(first + tile, stop)
            for pace in range(first, end, PACE):
                size = min(PACE, end - pace)
                mask = reaching(x, base + pace, size, floor, infinity, flip)
                if mask == ALL and taken + PACE < places.size:  # as at first without stage 1
                    for i in range(PACE):
                        key = order_key(load(x, base + pace + i), infinity, flip)
                        store(keys, collected + taken + i, key)
                        store(places, taken + i, pace + i)
                    taken += PACE
                    continue
                if dense and size == PACE and taken + PACE < places.size:
                    # Two without a branch, which would be mispredicted: few have more of them.
                    for _ in range(2):
                        i = pace + lowest_bit(mask | LAST)
                        store(places, taken, i)
                        store(keys, collected + taken, order_key(load(x, base + i), infinity, flip))
                        taken += 1 if mask else 0
                        mask &= mask - np.uint64(1)
                    while mask:
                        i = pace + lowest_bit(mask)
                        store(places, taken, i)
                        store(keys, collected + taken, order_key(load(x, base + i), infinity, flip))
                        taken += 1
                        mask &= mask - np.uint64(1)
                    continue
                while mask:
                    i = pace + lowest_bit(mask)
                    mask &= mask - np.uint64(1)
                    key = order_key(load(x, base + i), infinity, flip)
                    if key < floor:  # which may have risen since
                        continue
                    store(places, taken, i)
                    store(keys, collected + taken, key)
                    taken += 1
                    if taken == places.size and taken < n:
                        kth = _keep_best(keys, collected, places, taken, k)
                        taken = k
                        # An equal element that comes later loses the tie.
                        floor = x.dtype.type(kth + x.dtype.type(1))
                        if floor == 0:  # nothing is greater than the greatest key
                            return taken
    return taken


@njit(nogil=True)
def _keep_best(keys, collected, places, taken, k):
    """Keep the best `k` of the collected, in order; the threshold that they reach."""
    kth, ties = threshold(keys, collected, taken, k, k)
    kept = 0
    for j in range(taken):  # without a branch, which would be mispredicted at every other element
        key = load(keys, collected + j)
        store(keys, collected + kept, key)
        store(places, kept, load(places, j))
        tie = 1 if key == kth else 0
        kept += 1 if key > kth else tie & (1 if ties > 0 else 0)
        ties -= tie
    return kth
