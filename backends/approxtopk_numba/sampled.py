"""Compiled selection by a sample: what reaches a guessed floor, in one look at a row.

A few lines of a row, here and there, tell a key that somewhat more elements should reach than are
wanted. What does is collected, and of an exact answer the best k are taken. Another answer is the
best k of what buckets keep of that: whatever is ahead of an element in its bucket has been
collected, too. A row of which fewer than k are left is not answered; see `exact` and `kernels`.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from .cache import entry
from .collecting import collect, give_best, guess
from .intrinsics import load, store
from .kernels import apart, clear, glue


@entry
def select_sampled(x, n, begin, end, out, k, sample, buckets, infinity, flip, scratch):
    """Select the best `k` of the rows `begin` to `end` of a flat array, by ascending index.

    Returns how many rows are not answered.

    Parameters
    ----------
    out : values, indices, exact, missed
        As of `approxtopk_numba.kernels.select_rows`; the last has room for the numbers of all
        rows, and takes those that are not answered.
    sample : tuple of int
        How many lines of a row to look at, the rank in them of the floor, and how many elements of
        the row are wanted.
    buckets : (int, int, bool)
        b, kb, interleaved. A kb of 0 is for an exact answer.
    scratch : keys, places, queues
        Keys of the sample and of the collected, in x's dtype; indices of the collected, as many as
        n or more than are wanted, and a tile, int64; b * kb uint32.
    others
        See `select_rows`.
    """
    values, indices, exact, missed = out
    keys, places, queues = scratch
    lines, rank, wanted = sample
    count = 0
    for row in range(begin, end):
        base = row * n
        floor = guess(x, base, n, lines, rank, keys, infinity, flip)
        taken = collect(x, base, n, wanted, 0, floor, keys, places, infinity, flip)
        best, best_at = x.dtype.type(0), np.int64(-1)
        if buckets[1]:
            taken, best, best_at = _drop(n, buckets, keys, places, queues, taken)
        if taken < k:
            store(missed, count, row)
            count += 1
            continue
        worst, worst_at = give_best(x, base, values, indices, row * k, k, keys, places, taken)
        if exact.size:
            is_missing = best > worst or (best == worst and best_at < worst_at)
            exact[row] = best_at < 0 or not is_missing
    return count


@apart
def _drop(n, buckets, keys, places, queues, taken):
    """Leave of the collected what their buckets keep: how many, and the best of the others.

    This by its key and its place, which is -1 if there is none. A queue has the numbers of the
    collected, from 1 on, the best first.
    """
    b, kb, interleaved = buckets
    collected = keys.size - places.size
    clear(queues, 0, kb * b)
    best, best_at = keys.dtype.type(0), np.int64(-1)
    start = np.int64(0)
    for j in range(taken):
        slot, start = _bucket(load(places, j), start, n, b, interleaved)
        entry, key = j + 1, load(keys, collected + j)
        while slot < kb * b:
            other = np.int64(load(queues, slot))
            if other == 0:
                store(queues, slot, entry)
                break
            kept = load(keys, collected + other - 1)
            if key > kept or (key == kept and entry < other):
                store(queues, slot, entry)
                entry, key = other, kept
            slot += b
        if slot >= kb * b:
            i = load(places, entry - 1)
            store(places, entry - 1, -1)
            if best_at < 0 or key > best or (key == best and i < best_at):
                best, best_at = key, i
    if best_at < 0:
        return taken, best, best_at
    kept = 0
    for j in range(taken):
        i = load(places, j)
        store(places, kept, i)
        store(keys, collected + kept, load(keys, collected + j))
        kept += 1 if i >= 0 else 0
    return kept, best, best_at


@glue
def _bucket(i, start, n, b, interleaved):
    """The bucket of an element, and where its step of interleaved ones begins.

    `start` is what it told for the element before, or 0.
    """
    if interleaved:
        if i - start >= b:
            start = i - i % b
        return i - start, start
    short, longer = n // b, n % b
    cut = longer * (short + 1)
    return (i // (short + 1) if i < cut else longer + (i - cut) // short), start
