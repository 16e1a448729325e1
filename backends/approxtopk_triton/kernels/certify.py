"""After stage 2: is the answer of a row exact, and where not, what makes it so.

A bucket can have dropped something better than the last of the results only if all that it kept is
among those better than the last.  Such buckets are *flagged*, and they alone are read again: what
is better than the last and no result is *hidden*.  No row without hidden elements can be wrong;
where there are some, the top k of results and hidden elements is exact, since the last of the
results can only get better.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .buckets import bucket_bounds, candidate_arrays, longest, row_offset, write
from .keys import NONE, as_bits, key_bits, key_type, order_key
from .rounds import select_by_reading
from .search import last_tied, search_keys, wins
from .select import ROW


@triton.jit
def bucket_of(index, n, b, INTERLEAVED: tl.constexpr):
    """The bucket that an index lies in."""
    short = n // b
    longer = n - short * b
    if INTERLEAVED:
        bucket = index % b
    else:
        behind = (index - longer) // short
        bucket = tl.where(index < longer * (short + 1), index // (short + 1), behind)
    return bucket


@triton.jit
def load_results(values, indices, start, k, base, step, LANES: tl.constexpr, LARGEST: tl.constexpr):
    """LANES results of a row, as (keys, indices, whether they are there)."""
    at = start + tl.arange(0, LANES)
    there = at < k
    to = base + at.to(tl.int64) * step
    bits = tl.load(as_bits(values) + to, mask=there, other=0)
    index = tl.load(indices + to, mask=there, other=NONE).to(tl.int32)
    return order_key(bits, values.dtype.element_ty, LARGEST), index, there


@triton.jit
def last_result(values, indices, k, base, step, LANES: tl.constexpr, LARGEST: tl.constexpr):
    """Key and index of the last of the results, in their order."""
    KEY: tl.constexpr = key_type(values.dtype.element_ty)
    MOST: tl.constexpr = (1 << key_bits(values.dtype.element_ty)) - 1
    least = tl.full((), MOST, KEY)
    last = k * 0
    for start in range(0, k, LANES):
        key, index, there = load_results(values, indices, start, k, base, step, LANES, LARGEST)
        new = tl.minimum(tl.min(tl.where(there, key, MOST), 0), least)
        behind = tl.max(tl.where(there & (key == new), index, 0), 0)
        last = tl.maximum(behind, tl.where(new == least, last, 0))
        least = new
    return least, last


@triton.jit
def better(key, index, least, last):
    """Whether elements are better than the last of the results."""
    return (key > least) | ((key == least) & (index < last))


@triton.jit
def place_results(
    values, indices, start, k, base, step, least, last, n, b,
    LANES: tl.constexpr, INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr,
):  # fmt: skip
    """Results as from `load_results`; their buckets; whether they are better than the last."""
    key, index, there = load_results(values, indices, start, k, base, step, LANES, LARGEST)
    bucket = bucket_of(tl.where(there, index, 0), n, b, INTERLEAVED)
    return key, index, there, bucket, there & better(key, index, least, last)


@triton.jit
def load_flagged(
    x, base, flagged, count, start, t, n, b, x_element,
    GROUP: tl.constexpr, LANES: tl.constexpr, INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr,
    WIDE: tl.constexpr,
):  # fmt: skip
    """Elements of GROUP flagged buckets from step t on, as (keys, indices)."""
    lane = tl.arange(0, LANES)
    which = start + lane % GROUP
    step = t + lane // GROUP
    bucket = tl.load(flagged + which, mask=which < count, other=0)
    first, size = bucket_bounds(bucket, n, b, INTERLEAVED)
    there = (which < count) & (step < size)
    index = first + step * (b if INTERLEAVED else 1)
    offset = (index.to(tl.int64) if WIDE else index) * x_element
    bits = tl.load(as_bits(x) + base + offset, mask=there, other=0)
    key = tl.where(there, order_key(bits, x.dtype.element_ty, LARGEST), 0)
    return key, tl.where(there, index, NONE)


@triton.jit
def note(list, length, item, wanted):
    """Write the wanted items behind those that are there already; how many there are then."""
    to = length + tl.cumsum(wanted.to(tl.int32), 0) - 1
    tl.store(list + to, item, mask=wanted)
    return length + tl.sum(wanted.to(tl.int32))


@triton.jit(do_not_specialize=["rows", "k"])
def certify_kernel(
    x, values, indices, exact, notes,
    rows, n, b, k, inner, x_outer, x_inner, x_element, out_outer, out_inner, out_element,
    KB: tl.constexpr, LANES: tl.constexpr, GROUP: tl.constexpr, LIST: tl.constexpr,
    INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Certificate of each row, or with LIST its repair: the results become the true top k.

    Reads the results of stage 2 at `values` and `indices`, in any order, and again the flagged
    buckets of `x`: at most the row, once for a certificate and twice for a repair.  Writes one
    byte a row to `exact`, or new results where some were hidden.  LIST results and elements of
    flagged buckets, a power of two, are what a program selects from in registers; where there
    are more it selects from the whole row, reading that once for each two bits of a key.
    `notes`: rows * LIST candidates, then rows * (b + k // KB) int32.  Programs: rows.
    """
    TYPE: tl.constexpr = x.dtype.element_ty
    row = tl.program_id(0)
    base = row_offset(row // inner, row % inner, x_outer, x_inner)
    out_base = row_offset(row // inner, row % inner, out_outer, out_inner)
    wide_row = row.to(tl.int64)
    keys, places = candidate_arrays(notes, rows.to(tl.int64) * LIST, TYPE)
    counts = places + rows.to(tl.int64) * LIST + wide_row * b
    flagged = places + rows.to(tl.int64) * (LIST + b) + wide_row * (k // KB)
    keys += wide_row * LIST
    places += wide_row * LIST
    lane = tl.arange(0, LANES)

    least, last = last_result(values, indices, k, out_base, out_element, LANES, LARGEST)
    number = k * 0  # of flagged buckets
    if KB > 1:
        for start in range(0, b, LANES):
            tl.store(counts + start + lane, tl.zeros((LANES,), tl.int32), mask=start + lane < b)
        tl.debug_barrier()
        for start in range(0, k, LANES):
            _, _, _, bucket, ahead = place_results(
                values, indices, start, k, out_base, out_element, least, last, n, b,
                LANES, INTERLEAVED, LARGEST,
            )  # fmt: skip
            tl.atomic_add(counts + bucket, 1, mask=ahead, sem="relaxed")
        tl.debug_barrier()
        for start in range(0, b, LANES):
            count = tl.load(counts + start + lane, mask=start + lane < b, other=0)
            _, size = bucket_bounds(start + lane, n, b, INTERLEAVED)
            number = note(flagged, number, start + lane, (count >= KB) & (size > KB))
    else:  # every result is all that its bucket kept
        for start in range(0, k, LANES):
            _, _, _, bucket, ahead = place_results(
                values, indices, start, k, out_base, out_element, least, last, n, b,
                LANES, INTERLEAVED, LARGEST,
            )  # fmt: skip
            _, size = bucket_bounds(bucket, n, b, INTERLEAVED)
            number = note(flagged, number, bucket, ahead & (size > 1))
    tl.debug_barrier()
    reaching = tl.zeros((LANES,), tl.int32)
    for start in range(0, number, GROUP):
        for t in range(0, longest(n, b), LANES // GROUP):
            key, index = load_flagged(
                x, base, flagged, number, start, t, n, b, x_element,
                GROUP, LANES, INTERLEAVED, LARGEST, WIDE,
            )  # fmt: skip
            reaching += better(key, index, least, last).to(tl.int32)
    hidden = tl.sum(reaching) - KB * number

    if LIST == 0:
        tl.store(exact + row, (hidden == 0).to(tl.uint8))
    elif hidden > LIST - k:
        select_by_reading(
            x, keys, places, base, out_base, values, indices, n, n, k, b, x_element,
            out_element, 2 * LANES, ROW, 0, LARGEST, WIDE,
        )  # fmt: skip
    elif hidden > 0:
        filled = k * 0
        for start in range(0, k, LANES):
            key, index, there, bucket, ahead = place_results(
                values, indices, start, k, out_base, out_element, least, last, n, b,
                LANES, INTERLEAVED, LARGEST,
            )  # fmt: skip
            _, size = bucket_bounds(bucket, n, b, INTERLEAVED)
            again = ahead & (size > KB)
            if KB > 1:
                again = again & (tl.load(counts + bucket, mask=there, other=0) >= KB)
            note(keys, filled, key, there & ~again)
            filled = note(places, filled, index, there & ~again)
        for start in range(0, number, GROUP):
            for t in range(0, longest(n, b), LANES // GROUP):
                key, index = load_flagged(
                    x, base, flagged, number, start, t, n, b, x_element,
                    GROUP, LANES, INTERLEAVED, LARGEST, WIDE,
                )  # fmt: skip
                wanted = better(key, index, least, last)
                note(keys, filled, key, wanted)
                filled = note(places, filled, index, wanted)
        tl.debug_barrier()
        at = tl.arange(0, LIST)
        key = tl.load(keys + at, mask=at < filled, other=0)
        index = tl.load(places + at, mask=at < filled, other=NONE)
        threshold, reached = search_keys((key,), filled, k, TYPE, 0)
        end = k * 0 + NONE
        if reached != k:
            end = last_tied((key,), (index,), threshold, k, n)
        win = wins(key, index, threshold, end) & (index != NONE)
        to = out_base + (tl.cumsum(win.to(tl.int32), 0) - 1).to(tl.int64) * out_element
        write(x, base, key, index, values, indices, to, win, x_element, LARGEST, WIDE)
