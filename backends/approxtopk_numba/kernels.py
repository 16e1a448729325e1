"""Compiled selection of whole rows: stage 1 on keys alone, the threshold, then the winners.

Keeping an index beside every kept key would cost more than everything else.  So stage 1 keeps
keys only, `threshold` finds how good the k-th candidate is, and a second look at the few places
where something that good was seen tells where the winners are, in the order of the index, which
settles ties as promised.

An element belongs to a *lane*: stage 1 walks along a row in steps of `width` neighbouring lanes,
so that its loads are contiguous and LLVM makes SIMD of its loops.  With few buckets a bucket is
spread over several lanes and these are merged afterwards.  `launch` chooses the width.

Compiling is most of the first call's time, so these functions keep to what compiles fast: flat
arrays that come from outside, offsets instead of slices, each loop written once.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np
from numba import njit

from . import launch
from .cache import entry
from .intrinsics import (
    PACE,
    insert,
    load,
    load_queue,
    lowest_bit,
    marks,
    order_key,
    store,
    store_queue,
    tally,
)
from .launch import STEPS, TILE_BYTES

#: A bit for each of PACE elements.
ALL = np.uint64(2**PACE - 1)

#: Inner loops, put together by LLVM. They run 15 % faster so than as `glue`.
inlined = njit(nogil=True, forceinline=True)

#: The rest, put together by Numba, so that it isn't compiled twice.
glue = njit(nogil=True, inline="always")

#: What is the same for queues of every length, so that it is compiled once for all of them.
apart = njit(nogil=True)

count_regions = glue(launch.count_regions)


@entry
def select_rows(
    x, n, begin, end, values, indices, exact, k, b, width, interleaved, levels, infinity, flip, keys
):
    """Select the best `k` of the rows `begin` to `end` of a flat array.

    Parameters
    ----------
    x, values, indices : 1-D C arrays
        All rows; elements as unsigned integers with the same bits, indices as int64.
    exact : 1-D C array of bool
        One for each row, its certificate; or none.
    n, begin, end, k, b, width : int
    interleaved : bool
    levels : tuple of kb integers
        Its length makes the length of the queues known to the compiler.
    infinity, flip
        See `order_key`.
    keys : 1-D C array of x's dtype
        Scratch: best, used, tops, and the lanes if a bucket has several.
    """
    kb = len(levels)
    for row in range(begin, end):
        base = row * n
        keep(x, base, n, b, width, interleaved, levels, infinity, flip, keys)
        search = (n, k, b, np.int64(kb), width)  # what is constant would be part of a type
        out = (values, indices, row * k, exact.size > 0)
        proved = _find_winners(x, base, search, interleaved, keys, out, infinity, flip)
        if exact.size:
            exact[row] = proved


@glue
def keep(x, base, n, b, width, interleaved, levels, infinity, flip, keys):
    """Stage 1 of the row from `base` on; see `select_rows`."""
    kb = len(levels)
    tops = (kb + 1) * b
    lanes = tops + count_regions(n, width, TILE_BYTES // x.itemsize)
    if interleaved and width == b:
        lanes = 0  # they are the buckets
    clear(keys, 0, tops)
    for bucket in range(1 if interleaved else b):
        first, stop = (0, n) if interleaved else run(n, b, bucket)
        if lanes:
            clear(keys, lanes, kb * width)
        stage1(x, base + first, base + stop, width, keys, lanes, tops, levels, infinity, flip)
        if lanes:
            buckets = b if interleaved else 1
            _merge(keys, lanes, width, keys, b, bucket, buckets, levels)


@entry
def stage1_part(x, first, stop, width, levels, infinity, flip, keys, lanes, tops):
    """Stage 1 of a part of one long row; `first` is a multiple of STEPS * width."""
    clear(keys, lanes, len(levels) * width)
    stage1(x, first, stop, width, keys, lanes, tops, levels, infinity, flip)


@entry
def finish_row(
    x, n, values, indices, exact, k, b, width, parts, lanes, levels, infinity, flip, keys
):
    """What is left to do for a long row after all of its `stage1_part`; see `select_rows`."""
    kb = len(levels)
    clear(keys, 0, (kb + 1) * b)
    for part in range(parts):
        _merge(keys, lanes + part * kb * width, width, keys, b, 0, b, levels)
    search = (n, k, b, np.int64(kb), width)
    first, interleaved = np.int64(0), np.bool_(True)
    out = (values, indices, first, exact.size > 0)
    proved = _find_winners(x, first, search, interleaved, keys, out, infinity, flip)
    if exact.size:
        exact[0] = proved


@glue
def clear(keys, first, size):
    """Set to the least key."""
    for i in range(size):
        store(keys, first + i, 0)


@glue
def stage1(x, first, stop, width, keys, lanes, tops, levels, infinity, flip):
    """Insert ``x[first:stop]`` into the queues of their lanes, ``(i - first) % width``.

    STEPS steps at once, then one at a time; the last may end early. The greatest key of each tile
    of such a group goes to ``keys[tops:]``.
    """
    tile = TILE_BYTES // x.itemsize
    while first < stop:
        many = stop - first >= STEPS * width
        end = min(width, stop - first)
        for lane in range(0, end, tile):
            at, size = lanes + lane, min(tile, end - lane)
            if many:
                top = _insert(x, first + lane, STEPS, width, keys, at, size, levels, infinity, flip)
            else:
                top = _insert(x, first + lane, 1, width, keys, at, size, levels, infinity, flip)
            store(keys, tops, top)
            tops += 1
        first += STEPS * width if many else width


@inlined
def _insert(x, start, steps, width, keys, lane, size, levels, infinity, flip):
    """Insert `steps` steps of `size` neighbouring lanes; the greatest key among them."""
    top = x.dtype.type(0)
    for i in range(size):
        queue = load_queue(keys, lane + i, width, levels)
        best = x.dtype.type(0)
        for step in range(steps):
            key = order_key(load(x, start + step * width + i), infinity, flip)
            best = max(best, key)
            if len(levels) > 1:
                queue = insert(queue, key)
        if len(levels) == 1:
            queue = insert(queue, best)
        store_queue(keys, lane + i, width, queue)
        top = max(top, best)
    return top


@glue
def _merge(keys, lanes, width, best, b, bucket, buckets, levels):
    """Insert the queues of `width` lanes into those of the `buckets` buckets from `bucket` on."""
    for level in range(len(levels)):
        for lane in range(0, width, buckets):
            for i in range(buckets):
                queue = load_queue(best, bucket + i, b, levels)
                queue = insert(queue, load(keys, lanes + level * width + lane + i))
                store_queue(best, bucket + i, b, queue)


@glue
def run(n, b, bucket):
    """Where a contiguous bucket begins and ends: the first n % b are one element longer."""
    short, longer = n // b, n % b
    first = bucket * short + min(bucket, longer)
    return first, first + short + (1 if bucket < longer else 0)


@apart
def threshold(keys, first, size, k, most):
    """The k-th greatest of some keys, and how many equal to it are wanted.

    By counting the keys that reach a trial between the least and the greatest that it can be, from
    how many reach these; half-way, where that has not halved the span: every pass is SIMD, and
    there are no more passes than twice the bits, mostly a few. A key that exactly k reach will do;
    then all k may equal it. So will, if `most` is more than k, one that no more than so many reach,
    as a bound.
    """
    least = greatest = load(keys, first)
    for i in range(size):
        least = min(least, load(keys, first + i))
        greatest = max(greatest, load(keys, first + i))
    if size <= most:
        return least, k
    low, high = np.uint64(least), np.uint64(greatest)
    reach, above, wanted = np.float64(size), np.float64(0), np.float64(k + most) / 2  # of low, high
    halve = False
    while low < high:
        span = high - low
        step = span >> np.uint64(1)
        if not halve:
            step = min(
                np.uint64(np.float64(span) * ((reach - wanted) / (reach - above))),
                span - np.uint64(1),
            )
        trial = low + step + np.uint64(1)
        count = _count(keys, first, size, keys.dtype.type(trial))
        if count >= k:
            low, reach = trial, np.float64(count)
            if count <= most:
                return keys.dtype.type(low), k
        else:
            high, above = trial - np.uint64(1), np.float64(count)
        halve = not halve and high - low > span >> np.uint64(1)
    return keys.dtype.type(low), k - np.int64(above)


@inlined
def _count(keys, first, size, floor):
    """How many keys are no smaller than `floor`, in runs that a counter of their width can hold."""
    total = 0
    for start in range(0, size, 128):
        count = keys.dtype.type(0)
        for i in range(min(128, size - start)):
            count = tally(count, load(keys, first + start + i), floor)
        total += np.int64(count)
    return total


@apart
def _find_winners(x, base, search, interleaved, keys, out, infinity, flip):
    """Find the winners, in the order of the index, where stage 1 noted good enough a key.

    To `certify` goes on until all such places were seen; 1 if no element that its bucket dropped
    is better than the worst winner, so that the answer is exact.
    """
    n, k, b, kb, width = search
    values, indices, at, certify = out
    floor, ties = threshold(keys, 0, kb * b, k, k)
    tops = (kb + 1) * b
    tile = TILE_BYTES // x.itemsize
    grouped = n // (STEPS * width) * STEPS
    tiles = (width + tile - 1) // tile
    left = k
    best, best_at, worst, worst_at = floor, -1, floor, -1  # of the dropped; of the winners
    for panel in range((n + width - 1) // width if interleaved else b):
        if interleaved:
            start, stop = panel * width, min(panel * width + width, n)
            group = panel // STEPS if panel < grouped else grouped // STEPS + panel - grouped
            region = tops + group * tiles
        else:
            start, stop = run(n, b, panel)
            region = panel  # the best of the bucket itself
        for first in range(start, stop, tile):
            top = load(keys, region)
            region += 1 if interleaved else 0
            if top < floor:
                continue
            end = min(first + tile, stop)
            for pace in range(first, end, PACE):
                size = min(PACE, end - pace)
                mask = reaching(x, base + pace, size, floor, infinity, flip)
                while mask:
                    i = pace + lowest_bit(mask)
                    mask &= mask - np.uint64(1)
                    bucket = i - start if interleaved else panel
                    if bucket >= b:  # it has several lanes
                        bucket %= b
                    key = order_key(load(x, base + i), infinity, flip)
                    if left == 0:
                        if key > worst:
                            return 0
                        continue
                    tie = key == floor
                    if tie and ties == 0:
                        continue
                    dropped = was_dropped(key, keys, bucket, b, kb)
                    if dropped:
                        if best_at < 0 or key > best:
                            best, best_at = key, i
                        continue
                    store(values, at, load(x, base + i))
                    store(indices, at, i)
                    at += 1
                    left -= 1
                    ties -= 1 if tie else 0
                    if worst_at < 0 or key <= worst:
                        worst, worst_at = key, i
                    if left > 0:
                        continue
                    if not certify:
                        return 0
                    if best_at >= 0 and (best > worst or (best == worst and best_at < worst_at)):
                        return 0
                    floor = x.dtype.type(worst + x.dtype.type(1))  # of the rest only this matters
                    if floor == 0:  # nothing is greater than the greatest key
                        return 1
    return 1


@glue
def was_dropped(key, keys, bucket, b, kb):
    """Whether its bucket dropped an element; asked once for each, in the order of the index."""
    used = kb * b + bucket
    last = load(keys, used - b)
    dropped = key < last
    if key == last:  # of these the bucket kept the first few
        equal, place = 1, used - 2 * b  # from the last on they get no worse
        while place >= 0 and load(keys, place) == last:
            equal += 1
            place -= b
        count = np.int64(load(keys, used))
        dropped = count >= equal
        store(keys, used, count if dropped else count + 1)
    return dropped


@glue
def reaching(x, first, size, floor, infinity, flip):
    """Which of up to PACE elements have keys that reach `floor`, a bit for each."""
    if size == PACE:
        return marks(x, first, floor, infinity, flip)
    return reaching_fewer(x, first, size, floor, infinity, flip)


@apart
def reaching_fewer(x, first, size, floor, infinity, flip):
    """The same of 1 to PACE: from a look at as many as that, if the array has them."""
    last = x.size - PACE
    if last >= 0:
        at = min(first, last)
        mask = marks(x, at, floor, infinity, flip) >> np.uint64(first - at)
        return mask & (ALL >> np.uint64(PACE - size))
    mask = np.uint64(0)
    for i in range(size):
        if order_key(load(x, first + i), infinity, flip) >= floor:
            mask |= np.uint64(1) << np.uint64(i)
    return mask
