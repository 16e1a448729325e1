"""Compiled: what may win, collected by ascending index, and the best of it.

Whenever more than fits was collected the best stay and the floor rises, so no input is worse than
linear and memory is twice what is wanted and a little.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from .intrinsics import PACE, load, lowest_bit, marks, order_key, store
from .kernels import apart, glue, reaching_fewer, threshold
from .launch import GOLDEN, LINE_BYTES, LOW, STEPS, TILE_BYTES

#: The last of PACE elements.
LAST = np.uint64(2 ** (PACE - 1))


@glue
def guess(x, base, n, lines, rank, keys, infinity, flip):
    """The key of that rank, or about it, of so many lines: see `launch.sampled_places`."""
    per, part = LINE_BYTES // x.itemsize, n // lines
    spread = np.uint64(part - per + 1)
    for line in range(lines):
        somewhere = (np.uint64(line) * GOLDEN & LOW) * spread >> np.uint64(32)
        first = base + line * part + np.int64(somewhere)
        for i in range(per):
            store(keys, line * per + i, order_key(load(x, first + i), infinity, flip))
    floor, _ = threshold(keys, 0, lines * per, rank, rank + rank // 16)
    return floor


@glue
def collect(x, base, n, wanted, width, floor, keys, places, infinity, flip):
    """Collect what reaches `floor`, or at least the best `wanted` of it; how many that are.

    The places go to `places` and the keys to the end of `keys`. Where `width` is not 0 the row has
    been through stage 1 by so many lanes, and `keys` begins with these and its tops.
    """
    tile = TILE_BYTES // x.itemsize
    step = width if width else n
    grouped = n // (STEPS * step) * STEPS if width else 0
    tiles = (width + tile - 1) // tile
    dense = 4 * PACE * wanted > n
    taken = known = begin = 0
    if width == 0 and floor == 0:
        taken = begin = min(n, places.size - tile)
        for i in range(taken):
            store(places, i, i)
    for panel in range((n + step - 1) // step):
        group = panel // STEPS if panel < grouped else grouped // STEPS + panel - grouped
        region = width + group * tiles
        stop = min(panel * step + step, n)
        for first in range(panel * step + begin, stop, tile):
            if width:
                region += 1
                if load(keys, region - 1) < floor:
                    continue
            if taken + tile > places.size:
                note_keys(x, base, keys, places, known, taken, infinity, flip)
                kth = _keep_best(keys, places, taken, wanted)
                taken = known = wanted
                # An equal element that comes later loses the tie.
                floor = x.dtype.type(kth + x.dtype.type(1))
                if floor == 0:  # nothing is greater than the greatest key
                    return taken
            end = min(first + tile, stop)
            whole = first + (end - first) // PACE * PACE
            for pace in range(first, whole, PACE):
                mask = marks(x, base + pace, floor, infinity, flip)
                taken = _note(mask, pace, places, taken, dense)
            if whole < end:
                mask = reaching_fewer(x, base + whole, end - whole, floor, infinity, flip)
                taken = _note(mask, whole, places, taken, dense)
    note_keys(x, base, keys, places, known, taken, infinity, flip)
    return taken


@glue
def _note(mask, pace, places, taken, dense):
    """Note the places of a pace's bits; how many there are then."""
    if dense:
        # Two without a branch, which would be mispredicted: few have more of them.
        for _ in range(2):
            store(places, taken, pace + lowest_bit(mask | LAST))
            taken += 1 if mask else 0
            mask &= mask - np.uint64(1)
    while mask:
        store(places, taken, pace + lowest_bit(mask))
        taken += 1
        mask &= mask - np.uint64(1)
    return taken


@apart
def note_keys(x, base, keys, places, known, taken, infinity, flip):
    """Note the keys of the collected that aren't known yet."""
    collected = keys.size - places.size
    for j in range(known, taken):
        store(keys, collected + j, order_key(load(x, base + load(places, j)), infinity, flip))


@apart
def _keep_best(keys, places, taken, wanted):
    """Keep the best of the collected, in order; the threshold that they reach."""
    collected = keys.size - places.size
    kth, ties = threshold(keys, collected, taken, wanted, wanted)
    kept = 0
    for j in range(taken):  # without a branch, which would be mispredicted at every other element
        key = load(keys, collected + j)
        store(keys, collected + kept, key)
        store(places, kept, load(places, j))
        tie = 1 if key == kth else 0
        kept += 1 if key > kth else tie & (1 if ties > 0 else 0)
        ties -= tie
    return kth


@apart
def give_best(x, base, values, indices, at, k, keys, places, taken):
    """Write the best `k` of the collected from `at` on; key and place of the worst of these."""
    collected = keys.size - places.size
    kth, ties = threshold(keys, collected, taken, k, k)
    j, stop = 0, at + k
    worst, worst_at = keys.dtype.type(keys.dtype.type(0) - keys.dtype.type(1)), np.int64(0)
    while at < stop:  # without another branch
        i = load(places, j)
        store(values, at, load(x, base + i))
        store(indices, at, i)
        key = load(keys, collected + j)
        tie = 1 if key == kth else 0
        wins = 1 if key > kth else tie & (1 if ties > 0 else 0)
        is_worst = wins & (1 if key <= worst else 0)
        worst, worst_at = key if is_worst else worst, i if is_worst else worst_at
        at += wins
        ties -= tie
        j += 1
    return worst, worst_at
