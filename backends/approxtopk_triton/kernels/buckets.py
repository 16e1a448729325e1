"""Stage 1: the kb best of every bucket.

Rows are numbered over the axes before and after the selection axis: row r lies at
``(r // inner) * outer_stride + (r % inner) * inner_stride``, so that no axis needs a copy.
Offsets are int64 across rows and int32 inside one, unless a row spans 2^31 elements (`WIDE`).
"""

from __future__ import annotations

import triton
import triton.language as tl

from .keys import NONE, as_bits, key_type, restore, without_code
from .queues import coded_step, fill, fill_again


@triton.jit
def row_offset(outer, at, outer_stride, inner_stride):
    """Where the row numbered ``outer * inner + at`` begins."""
    return outer.to(tl.int64) * outer_stride + at.to(tl.int64) * inner_stride


@triton.jit
def longest(n, b):
    """Elements of the longest bucket; `tl.cdiv` would add n and b, which may pass 2^31."""
    return (n - 1) // b + 1


@triton.jit
def bucket_bounds(bucket, n, b, INTERLEAVED: tl.constexpr):
    """Index of each bucket's first element, and the bucket's size."""
    short = n // b
    longer = n - short * b
    first = bucket if INTERLEAVED else bucket * short + tl.minimum(bucket, longer)
    return first, short + (bucket < longer).to(tl.int32)


@triton.jit
def input_queues(
    x, base, bucket, there, start, stop, n, b, x_element, x_step,
    L: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, U: tl.constexpr,
    INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr, STEP_BITS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Queues of L buckets of the input, as (keys, indices in the row).

    A step's code stays in the key where it orders equal elements by their indices.
    """
    first, size = bucket_bounds(bucket, n, b, INTERLEAVED)
    offset = (first.to(tl.int64) if WIDE else first) * x_element
    keys, steps = fill(
        as_bits(x) + base + offset, x_step, size, there, start, stop, n // b,
        x.dtype.element_ty, L, KB, S, U, LARGEST, STEP_BITS, WIDE,
    )  # fmt: skip
    present, indices = (), ()
    for j in tl.static_range(KB):
        found = there & (steps[j] != NONE)
        index = first + steps[j] * (b if INTERLEAVED else 1)
        key = keys[j] if INTERLEAVED else without_code(keys[j], x.dtype.element_ty)
        present = present + (tl.where(found, key, 0),)
        indices = indices + (tl.where(found, index, NONE),)
    return present, indices


@triton.jit
def write(
    x, base, key, index, values, indices, to, mask, x_element,
    LARGEST: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Store selected elements: bitwise copies of the input, and their indices."""
    offset = (index.to(tl.int64) if WIDE else index) * x_element
    TYPE: tl.constexpr = x.dtype.element_ty
    bits = restore(key, as_bits(x) + base + offset, mask, TYPE, LARGEST)
    tl.store(as_bits(values) + to, bits, mask=mask)
    tl.store(indices + to, index.to(indices.dtype.element_ty), mask=mask)


@triton.jit
def candidate_arrays(work, count, TYPE: tl.constexpr):
    """The two arrays of `count` candidates in a workspace: all keys, then all int32 indices."""
    keys = work.to(tl.pointer_type(key_type(TYPE)), bitcast=True)
    return keys, (keys + count).to(tl.pointer_type(tl.int32), bitcast=True)


@triton.jit
def row_candidates(work, rows, row, count, TYPE: tl.constexpr):
    """The parts of those arrays that are one row's, of `count` candidates each."""
    keys, indices = candidate_arrays(work, rows.to(tl.int64) * count, TYPE)
    start = row.to(tl.int64) * count
    return keys + start, indices + start


@triton.jit
def bucket_kernel(
    x, values, indices, source, target,
    rows, n, b, inner, x_outer, x_inner, x_element, x_step, out_outer, out_inner, out_element,
    R: tl.constexpr, B: tl.constexpr, S: tl.constexpr, U: tl.constexpr, KB: tl.constexpr,
    SPLITS: tl.constexpr, MERGE: tl.constexpr, DIRECT: tl.constexpr, ROWS_FIRST: tl.constexpr,
    INTERLEAVED: tl.constexpr, LARGEST: tl.constexpr, STEP_BITS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The `KB` best of each bucket, for `R` rows and `B` buckets a program.

    Parallel over buckets, and over the elements of a bucket: `S` lanes of a program and `SPLITS`
    programs share one, each taking its part of the steps.  Lanes lie along the rows where those
    are the neighbours in memory (`ROWS_FIRST`).  Programs: ceil(rows / R) * ceil(b / B) * splits,
    where SPLITS parts are written and only one is if they are read (`MERGE`).

    Reads `x` (a strided array of any supported dtype), or with MERGE the `SPLITS` partial results
    in `source`.  Writes keys of the candidates to `target`, shape (rows, splits, KB, b), and
    their indices where a step's code doesn't tell them, or with `DIRECT` values and indices to
    the output, shape (rows, KB * b) without the places that short buckets leave empty.  Ties: the
    lower index first.
    Reads every element once; preferred where no program can own a row, and where stage 1 is all.
    """
    TYPE: tl.constexpr = x.dtype.element_ty
    PARTS: tl.constexpr = 1 if MERGE else SPLITS
    CODED: tl.constexpr = INTERLEAVED and STEP_BITS > 0
    program = tl.program_id(0)
    blocks = tl.cdiv(b, B)
    part = program % PARTS
    block = program // PARTS % blocks
    group = program // PARTS // blocks
    lane = tl.arange(0, R * B)
    bucket = block * B + (lane // R if ROWS_FIRST else lane % B)
    if ROWS_FIRST:  # a program's rows have one outer number, so that they are seen to be adjacent
        outer = group // tl.cdiv(inner, R)
        at = group % tl.cdiv(inner, R) * R + lane % R
        row = outer * inner + at
        there = (at < inner) & (bucket < b)
    else:
        row = group * R + lane // B
        outer, at = row // inner, row % inner
        there = (row < rows) & (bucket < b)
    base = row_offset(outer, at, x_outer, x_inner)

    if MERGE:
        old_keys, old_indices = candidate_arrays(
            source, tl.cast(rows, tl.int64) * b * KB * SPLITS, TYPE
        )
        first = row.to(tl.int64) * (b * KB * SPLITS) + bucket
        queue = fill_again(
            old_keys + first, old_indices + first, KB * SPLITS, b, there, R * B, KB, S, CODED
        )
        keys, found = (), ()
        for j in tl.static_range(KB):
            keys = keys + (queue[j],)
            if CODED:
                step = coded_step(queue[j], TYPE, STEP_BITS)
                found = found + (tl.where(queue[j] != 0, bucket + step * b, NONE),)
            else:
                found = found + (queue[KB + j],)
    else:
        steps = longest(n, b)
        share = tl.cdiv(tl.cdiv(steps, SPLITS), S * U) * (S * U)
        start = part * share
        stop = start + tl.minimum(share, steps - start)
        keys, found = input_queues(
            x, base, bucket, there, start, stop, n, b, x_element, x_step,
            R * B, KB, S, U, INTERLEAVED, LARGEST, STEP_BITS, WIDE,
        )  # fmt: skip

    if DIRECT:
        out_base = row_offset(outer, at, out_outer, out_inner)
        for j in tl.static_range(KB):
            to = out_base + (j * b + bucket).to(tl.int64) * out_element
            mask = found[j] != NONE
            write(x, base, keys[j], found[j], values, indices, to, mask, x_element, LARGEST, WIDE)
    else:
        new_keys, new_indices = candidate_arrays(
            target, tl.cast(rows, tl.int64) * b * KB * PARTS, TYPE
        )
        for j in tl.static_range(KB):
            to = (row.to(tl.int64) * PARTS + part) * (b * KB) + j * b + bucket
            tl.store(new_keys + to, keys[j], mask=there)
            if not CODED:
                tl.store(new_indices + to, found[j], mask=there)
