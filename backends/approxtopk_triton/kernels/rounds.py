"""Stage 2 of more candidates than the registers of a program hold: in rounds, or read again."""

from __future__ import annotations

import triton
import triton.language as tl

from .buckets import candidate_arrays, row_candidates, row_offset, write
from .keys import NONE, key_bits, key_type
from .search import (
    advance,
    count_reaching,
    first_pair,
    from_behind,
    last_tied,
    lowest_pair,
    search_keys,
    wins,
)
from .select import load_chunk


@triton.jit(do_not_specialize=["rows", "k"])
def narrow_kernel(
    x, source, target,
    rows, n, b, k, buckets, chunks, inner, x_outer, x_inner, x_element,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """One round of a tournament: the top k of each `CHUNK` of a row's `b` candidates.

    Reads `source`, or the row itself, and writes `k` candidates a chunk to `target`, empty places
    where a chunk has fewer.  Programs: rows * chunks.  Preferred where candidates are more than
    registers hold and k is at most half a chunk.
    """
    TYPE: tl.constexpr = x.dtype.element_ty
    row = tl.program_id(0) // chunks
    chunk = tl.program_id(0) % chunks
    base = row_offset(row // inner, row % inner, x_outer, x_inner)
    keys, places = row_candidates(source, rows, row, b, TYPE)
    key, index = load_chunk(
        x, keys, places, base, chunk * CHUNK, b, buckets, x_element,
        CHUNK, SOURCE, CODE, LARGEST, WIDE,
    )  # fmt: skip
    threshold, reached = search_keys((key,), b - chunk * CHUNK, k, TYPE, CODE)
    last = k * 0 + NONE
    if reached != k:
        last = last_tied((key,), (index,), threshold, k, n)
    win = wins(key, index, threshold, last) & (index != NONE)
    position = tl.cumsum(win.to(tl.int32), 0) - 1
    new_keys, new_places = candidate_arrays(target, rows.to(tl.int64) * chunks * k, TYPE)
    to = tl.program_id(0).to(tl.int64) * k
    tl.store(new_keys + to + position, key, mask=win)
    tl.store(new_places + to + position, index, mask=win)
    lane = tl.arange(0, CHUNK)
    empty = (lane >= tl.sum(win.to(tl.int32))) & (lane < k)
    tl.store(new_keys + to + lane, tl.zeros((CHUNK,), key.dtype), mask=empty)
    tl.store(new_places + to + lane, tl.full((CHUNK,), NONE, tl.int32), mask=empty)


@triton.jit
def select_by_reading(
    x, keys, places, base, out_base, values, indices, count, n, k, buckets, x_element,
    out_element,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The top k of `count` candidates at `keys` and `places`, or of the row.

    They are read once for each two bits of a key; again for those of an index where the k-th is
    tied; and once more at the end: at most 16 + 10 + 1 times for 32 bits.
    """
    TYPE: tl.constexpr = x.dtype.element_ty
    threshold = tl.full((), 0, key_type(TYPE))
    reached = k * 0
    bit = tl.full((), 1 << (key_bits(TYPE) - 2), key_type(TYPE))
    while (bit >= lowest_pair(TYPE, CODE)) & (bit != 0) & (reached != k):
        counts = tl.full((), 0, tl.int64)
        for start in range(0, count, CHUNK):
            key, _ = load_chunk(
                x, keys, places, base, start, count, buckets, x_element,
                CHUNK, SOURCE, CODE, LARGEST, WIDE,
            )  # fmt: skip
            counts += count_reaching((key,), threshold, bit)
        threshold, reached = advance(counts, threshold, reached, k, bit)
        bit = bit >> 2

    last = k * 0 + NONE
    if reached != k:
        least = tl.full((), 0, tl.uint32)
        tied = k * 0
        one = tl.full((), 1, tl.uint32)
        step = first_pair(one * n, one)
        while (step != 0) & (tied != k):
            counts = tl.full((), 0, tl.int64)
            for start in range(0, count, CHUNK):
                key, index = load_chunk(
                    x, keys, places, base, start, count, buckets, x_element,
                    CHUNK, SOURCE, CODE, LARGEST, WIDE,
                )  # fmt: skip
                behind = from_behind(key, index, threshold, n)
                counts += count_reaching((behind,), least, step)
            least, tied = advance(counts, least, tied, k, step)
            step = step >> 2
        last = n - least.to(tl.int32)

    before = k * 0
    for start in range(0, count, CHUNK):
        key, index = load_chunk(
            x, keys, places, base, start, count, buckets, x_element,
            CHUNK, SOURCE, CODE, LARGEST, WIDE,
        )  # fmt: skip
        win = wins(key, index, threshold, last)
        position = before + tl.cumsum(win.to(tl.int32), 0) - 1
        at = out_base + position.to(tl.int64) * out_element
        write(x, base, key, index, values, indices, at, win, x_element, LARGEST, WIDE)
        before += tl.sum(win.to(tl.int32))


@triton.jit(do_not_specialize=["rows", "k"])
def long_row_kernel(
    x, values, indices, source,
    rows, n, b, k, buckets, inner, x_outer, x_inner, x_element,
    out_outer, out_inner, out_element,
    CHUNK: tl.constexpr, SOURCE: tl.constexpr, CODE: tl.constexpr,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Stage 2 of more candidates than registers hold: `b` a row, read again for each two bits.

    As `select_kernel`.
    """
    row = tl.program_id(0)
    keys, places = row_candidates(source, rows, row, b, x.dtype.element_ty)
    select_by_reading(
        x, keys, places,
        row_offset(row // inner, row % inner, x_outer, x_inner),
        row_offset(row // inner, row % inner, out_outer, out_inner),
        values, indices, b, n, k, buckets, x_element, out_element,
        CHUNK, SOURCE, CODE, LARGEST, WIDE,
    )  # fmt: skip
