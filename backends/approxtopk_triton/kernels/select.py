"""Stage 2: the exact top k of a row's candidates, by bisection on the bits of their keys.

One program owns a row.  The k-th greatest key is built from its top bits down, two for each count
of the candidates that reach the three next thresholds, and the search ends as soon as exactly k
reach one; only where the k-th key is tied are the indices searched in the same way.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .buckets import candidate_arrays, input_queues, row_offset, write
from .keys import NONE, as_bits, key_bits, key_type, order_key, shift
from .queues import coded_step


@triton.jit
def count_reaching(keys, threshold, bit):
    """How many keys reach the threshold plus one, two and three bits: 20 bits for each count."""
    few = tl.zeros(keys[0].shape, tl.int32)  # 10 bits for each, so far
    for j in tl.static_range(len(keys)):
        few = tl.where(keys[j] >= (threshold | bit), few + 1, few)
        few = tl.where(keys[j] >= (threshold | (bit << 1)), few + (1 << 10), few)
        few = tl.where(keys[j] >= (threshold | bit | (bit << 1)), few + (1 << 20), few)
    counts = (few & 0x3FF).to(tl.int64)
    counts += (few & 0xFFC00).to(tl.int64) << 10
    counts += (few >> 20).to(tl.int64) << 40
    return tl.sum(counts)


@triton.jit
def advance(counts, threshold, reached, k, bit):
    """The greatest of the thresholds that k keys reach, or the old one; and how many do."""
    for digit in tl.static_range(3):
        count = ((counts >> (20 * digit)) & 0xFFFFF).to(tl.int32)
        higher = (threshold & ~(bit | (bit << 1))) | (bit * (digit + 1))
        threshold = tl.where(count >= k, higher, threshold)
        reached = tl.where(count >= k, count, reached)
    return threshold, reached


@triton.jit
def search(keys, k, first, last):
    """The greatest threshold that k of the keys reach, or one that exactly k do; and how many.

    `first` and `last` are the lower bits of the pairs to begin and to end with.
    """
    threshold = first ^ first
    reached = k * 0
    bit = first
    while (bit >= last) & (bit != 0) & (reached != k):
        counts = count_reaching(keys, threshold, bit)
        threshold, reached = advance(counts, threshold, reached, k, bit)
        bit = bit >> 2
    return threshold, reached


@triton.constexpr_function
def lowest_pair(TYPE, CODE):
    """The lower bit of the last pair in keys with codes of so many bits."""
    return 1 << ((shift(TYPE) - CODE) & ~1)


@triton.jit
def search_keys(keys, k, TYPE: tl.constexpr, CODE: tl.constexpr):
    """As `search`, on all bits of a key and its code."""
    KEY: tl.constexpr = key_type(TYPE)
    first = tl.full((), 1 << (key_bits(TYPE) - 2), KEY)
    return search(keys, k, first, tl.full((), lowest_pair(TYPE, CODE), KEY))


@triton.jit
def from_behind(key, index, threshold, n):
    """How far from the end those that are tied at the threshold are; 0 for all others."""
    tied = (key == threshold) & (index != NONE)
    return tl.where(tied, n - index, 0).to(tl.uint32)


@triton.jit
def search_backwards(backwards, k, n_bit):
    """How far from the end the last of the k is that are farthest from it."""
    first = tl.full((), 1, tl.uint32) * n_bit.to(tl.uint32)
    least, _ = search(backwards, k, first, tl.full((), 1, tl.uint32))
    return least


@triton.jit
def last_tied(keys, indices, threshold, k, n, n_bit):
    """The greatest index among those tied at the threshold that still belongs to the top k.

    Indices are below `n`, whose highest bit is `n_bit` or the next.
    """
    above = k * 0
    backwards = ()
    for j in tl.static_range(len(keys)):
        above += tl.sum((keys[j] > threshold).to(tl.int32))
        backwards = backwards + (from_behind(keys[j], indices[j], threshold, n),)
    return n - search_backwards(backwards, k - above, n_bit).to(tl.int32)


@triton.jit
def wins(key, index, threshold, last):
    """Whether elements are better than, or tied with but not behind, the last winner."""
    return (key > threshold) | ((key == threshold) & (index <= last))


@triton.jit(do_not_specialize=["k", "n_bit"])
def fused_kernel(
    x, values, indices,
    n, n_bit, b, k, inner, x_outer, x_inner, x_element, x_step, out_outer, out_inner, out_element,
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
        x, base, lane, lane < b, 0, tl.cdiv(n, b), n, b, x_element, x_step,
        B, KB, S, U, INTERLEAVED, LARGEST, STEP_BITS, WIDE,
    )  # fmt: skip

    CODE: tl.constexpr = STEP_BITS if INTERLEAVED else 0
    threshold, reached = search_keys(keys, k, x.dtype.element_ty, CODE)
    last = k * 0 + NONE
    if reached != k:
        last = last_tied(keys, found, threshold, k, n, n_bit)
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


#: Where candidates are: the row itself, stored keys and indices, or stored keys, whose codes and
#: places tell the indices. To the last is added how many times the buckets of a chunk may wrap.
ROW, PAIRS, CODED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def load_indices(
    x, indices, key, start, count, buckets, needed,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
):  # fmt: skip
    """Indices of CHUNK candidates, of those that are needed at the least."""
    at = start + tl.arange(0, CHUNK)
    needed = needed & (at < count)
    if SOURCE == PAIRS:
        index = tl.load(tl.max_contiguous(indices + at, 1), mask=needed, other=NONE)
    elif SOURCE >= CODED:
        bucket = (start % buckets + tl.arange(0, CHUNK)).to(tl.uint32)
        for _ in tl.static_range(SOURCE - CODED):
            bucket = tl.minimum(bucket, bucket - buckets.to(tl.uint32))
        step = coded_step(key, x.dtype.element_ty, CODE)
        index = tl.where(key != 0, step * buckets + bucket.to(tl.int32), NONE)
    else:
        index = tl.where(at < count, at, NONE)
    return index


@triton.jit
def load_chunk(
    x, keys, indices, base, start, count, buckets, x_element,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """CHUNK candidates of a row, as (keys, indices)."""
    at = start + tl.arange(0, CHUNK)
    there = at < count
    if SOURCE == ROW:
        offset = (at.to(tl.int64) if WIDE else at) * x_element
        bits = tl.load(as_bits(x) + base + offset, mask=there, other=0)
        key = tl.where(there, order_key(bits, x.dtype.element_ty, LARGEST), 0)
    else:
        # Read one by one: what is selected is written so, and no layout must be changed between.
        key = tl.load(tl.max_contiguous(keys + at, 1), mask=there, other=0)
    index = load_indices(x, indices, key, start, count, buckets, there, CHUNK, SOURCE, CODE)
    return key, index


@triton.jit(do_not_specialize=["rows", "k", "n_bit"])
def select_kernel(
    x, values, indices, source,
    rows, n, n_bit, b, k, buckets, inner, x_outer, x_inner, x_element,
    out_outer, out_inner, out_element,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Stage 2 in one program: the top k of a row's `b` candidates, at most CHUNK * CHUNKS.

    Reads `source`, or the row itself.  Keys stay in registers; indices, of which few are needed,
    are read when they are.  Programs: rows.
    """
    row = tl.program_id(0)
    base = row_offset(row // inner, row % inner, x_outer, x_inner)
    stored, at = candidate_arrays(source, rows.to(tl.int64) * b, x.dtype.element_ty)
    stored += row.to(tl.int64) * b
    at += row.to(tl.int64) * b
    keys = ()
    for j in tl.static_range(CHUNKS):
        key, _ = load_chunk(
            x, stored, at, base, j * CHUNK, b, buckets, x_element,
            CHUNK, SOURCE, CODE, LARGEST, WIDE,
        )  # fmt: skip
        keys = keys + (key,)
    threshold, reached = search_keys(keys, k, x.dtype.element_ty, CODE)
    last = k * 0 + NONE
    won = tl.zeros((CHUNK,), tl.int32)
    if reached == k:
        for j in tl.static_range(CHUNKS):
            won += (keys[j] >= threshold).to(tl.int32)
    else:
        backwards = ()  # of what is compared no more than this is kept while searching
        for j in tl.static_range(CHUNKS):
            tied = keys[j] == threshold
            index = load_indices(x, at, keys[j], j * CHUNK, b, buckets, tied, CHUNK, SOURCE, CODE)
            backwards = backwards + (from_behind(keys[j], index, threshold, n),)
            won += (keys[j] > threshold).to(tl.int32)
        least = search_backwards(backwards, k - tl.sum(won), n_bit)
        last = n - least.to(tl.int32)
        for j in tl.static_range(CHUNKS):
            won += (backwards[j] >= least).to(tl.int32)
    # Winners are few: chunks are read once more, in a loop, since code that every program runs
    # through just once would be fetched more slowly than they are; the next before this is done.
    position = tl.cumsum(won, 0) - won
    out_base = row_offset(row // inner, row % inner, out_outer, out_inner)
    next_key, next_index = load_chunk(
        x, stored, at, base, 0, b, buckets, x_element, CHUNK, SOURCE, CODE, LARGEST, WIDE
    )
    for start in range(0, b, CHUNK):
        key, index = next_key, next_index
        next_key, next_index = load_chunk(
            x, stored, at, base, start + CHUNK, b, buckets, x_element,
            CHUNK, SOURCE, CODE, LARGEST, WIDE,
        )  # fmt: skip
        win = wins(key, index, threshold, last)
        to = out_base + position.to(tl.int64) * out_element
        write(x, base, key, index, values, indices, to, win, x_element, LARGEST, WIDE)
        position += win.to(tl.int32)
