"""Stage 2: the exact top k of a row's candidates, of which one program owns all."""

from __future__ import annotations

import triton
import triton.language as tl

from .buckets import input_queues, longest, row_candidates, row_offset, write
from .keys import NONE, as_bits, order_key
from .queues import coded_step
from .search import last_tied, search_backwards, search_keys, to_end, wins

#: Where candidates are: the row itself, stored keys and indices, or stored keys, whose codes and
#: places tell the indices.  To the last is added kb - 1.
ROW, PAIRS, CODED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit(do_not_specialize=["k"])
def fused_kernel(
    x, values, indices,
    n, b, k, inner, x_outer, x_inner, x_element, x_step, out_outer, out_inner, out_element,
    B: tl.constexpr, S: tl.constexpr, U: tl.constexpr, KB: tl.constexpr,
    INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr, STEP_BITS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Both stages of a row in one program: the top k of the `KB` best of its b buckets.

    Candidates stay in registers: `B` lanes (at least b, a power of two) with `KB` each, and each
    lane's bucket is shared by `S` of them while the row is read, once.  Programs: rows.
    Preferred where these suffice to fill the device.
    """
    row = tl.program_id(0)
    base = row_offset(row // inner, row % inner, x_outer, x_inner)
    lane = tl.arange(0, B)
    keys, found = input_queues(
        x, base, lane, lane < b, 0, longest(n, b), n, b, x_element, x_step,
        B, KB, S, U, INTERLEAVED, LARGEST, STEP_BITS, WIDE,
    )  # fmt: skip

    CODE: tl.constexpr = STEP_BITS if INTERLEAVED else 0
    threshold, reached = search_keys(keys, b, k, x.dtype.element_ty, CODE)
    last = k * 0 + NONE
    if reached != k:
        last = last_tied(keys, found, threshold, k, n)
    won = tl.zeros((B,), tl.int32)
    for j in tl.static_range(KB):
        won += wins(keys[j], found[j], threshold, last).to(tl.int32)
    position = tl.cumsum(won, 0) - won
    out_base = row_offset(row // inner, row % inner, out_outer, out_inner)
    for j in tl.static_range(KB):
        win = wins(keys[j], found[j], threshold, last)
        to = out_base + position.to(tl.int64) * out_element
        write(x, base, keys[j], found[j], values, indices, to, win, x_element, LARGEST, WIDE)
        position += win.to(tl.int32)


@triton.jit
def load_keys(
    x, keys, base, start, at, there, x_element,
    SOURCE: tl.constexpr, LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Keys of the candidates of a row at these places, counted from `start`."""
    if SOURCE == ROW:
        offset = ((start + at).to(tl.int64) if WIDE else start + at) * x_element
        bits = tl.load(as_bits(x) + base + offset, mask=there, other=0)
        key = tl.where(there, order_key(bits, x.dtype.element_ty, LARGEST), 0)
    else:
        # Read one by one: what is selected is written so, and no layout must be changed between.
        key = tl.load(tl.max_contiguous(keys + start + at, 1), mask=there, other=0)
    return key


@triton.jit
def bucket_at(at, buckets, SOURCE: tl.constexpr):
    """The bucket of the candidates at these places."""
    bucket = at.to(tl.uint32)
    for _ in tl.static_range(SOURCE - CODED):
        bucket = tl.minimum(bucket, bucket - buckets.to(tl.uint32))
    return bucket.to(tl.int32)


@triton.jit
def load_indices(
    x, indices, key, at, there, buckets, SOURCE: tl.constexpr, CODE: tl.constexpr
):  # fmt: skip
    """Indices of the candidates at these places."""
    if SOURCE == PAIRS:
        index = tl.load(tl.max_contiguous(indices + at, 1), mask=there, other=NONE)
    elif SOURCE >= CODED:
        index = coded_step(key, x.dtype.element_ty, CODE) * buckets
        index = tl.where(there & (key != 0), index + bucket_at(at, buckets, SOURCE), NONE)
    else:
        index = tl.where(there, at, NONE)
    return index


@triton.jit
def load_chunk(
    x, keys, indices, base, start, count, buckets, x_element,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """CHUNK candidates of a row, as (keys, indices)."""
    at = start + tl.arange(0, CHUNK)
    key = load_keys(x, keys, base, 0, at, at < count, x_element, SOURCE, LARGEST, WIDE)
    return key, load_indices(x, indices, key, at, at < count, buckets, SOURCE, CODE)


@triton.jit
def tied_indices(
    x, indices, key, at, there, threshold, buckets, SOURCE: tl.constexpr, CODE: tl.constexpr
):  # fmt: skip
    """What orders those of the candidates at these places that are tied at the threshold.

    Their indices, or where equal keys are of one step, their buckets; 0 for those above the
    threshold and NONE for those below, see `from_behind`.
    """
    other = tl.where(key > threshold, 0, NONE)
    there = there & (key == threshold)
    if SOURCE == PAIRS:
        index = tl.load(tl.max_contiguous(indices + at, 1), mask=there, other=other)
    elif SOURCE >= CODED:
        index = tl.where(there, bucket_at(at, buckets, SOURCE), other)
    else:
        index = tl.where(there, at, other)
    return index


@triton.jit(do_not_specialize=["rows", "k"])
def select_kernel(
    x, values, indices, source,
    rows, n, b, k, buckets, inner, x_outer, x_inner, x_element,
    out_outer, out_inner, out_element,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Stage 2 in one program: the top k of a row's `b` candidates, at most CHUNK * CHUNKS.

    Reads `source`, or the row itself.  Keys stay in registers while the k-th is searched; then
    places of the winners are written where their indices will be, since these are few and so can
    all be made of places at once, as is done last.  Programs: rows.
    """
    row = tl.program_id(0)
    base = row_offset(row // inner, row % inner, x_outer, x_inner)
    stored, stored_at = row_candidates(source, rows, row, b, x.dtype.element_ty)
    lane = tl.arange(0, CHUNK)
    keys = ()
    for j in tl.static_range(CHUNKS):
        there = lane < b - j * CHUNK
        key = load_keys(x, stored, base, j * CHUNK, lane, there, x_element, SOURCE, LARGEST, WIDE)
        keys = keys + (key,)
    threshold, reached = search_keys(keys, b, k, x.dtype.element_ty, CODE)
    won = tl.zeros((CHUNK,), tl.int32)  # a bit for each chunk; above 16 of them, how many are set
    if reached == k:
        for j in tl.static_range(CHUNKS):
            won = tl.where(keys[j] >= threshold, won + ((1 << j) + (1 << 16)), won)
    else:
        limit = buckets if SOURCE >= CODED else n
        backwards = ()  # of what is compared no more than this is kept while searching
        for j in tl.static_range(CHUNKS):
            index = tied_indices(
                x, stored_at, keys[j], j * CHUNK + lane, lane < b - j * CHUNK, threshold,
                buckets, SOURCE, CODE,
            )  # fmt: skip
            backwards = backwards + (to_end(index, limit),)
        least = search_backwards(backwards, k, limit)
        for j in tl.static_range(CHUNKS):
            won = tl.where(backwards[j] >= least, won + ((1 << j) + (1 << 16)), won)
    out_base = row_offset(row // inner, row % inner, out_outer, out_inner)
    position = tl.cumsum(won >> 16, 0) - (won >> 16)
    for j in range(CHUNKS):
        win = (won >> j) & 1
        to = out_base + position.to(tl.int64) * out_element
        place = (j * CHUNK + lane).to(indices.dtype.element_ty)
        tl.store(indices + to, place, mask=win != 0)
        position += win
    tl.debug_barrier()
    for start in range(0, k, CHUNK):
        there = start + lane < k
        to = tl.max_contiguous(out_base + (start + lane).to(tl.int64) * out_element, 1)
        at = tl.load(indices + to, mask=there, other=0).to(tl.int32)
        key = load_keys(x, stored, base, 0, at, there, x_element, SOURCE, LARGEST, WIDE)
        index = load_indices(x, stored_at, key, at, there, buckets, SOURCE, CODE)
        write(x, base, key, index, values, indices, to, there, x_element, LARGEST, WIDE)
