"""Winners in order, for ``sorted=True``."""

from __future__ import annotations

import triton
import triton.language as tl

from .buckets import row_offset
from .keys import as_bits, order_key


@triton.jit(do_not_specialize=["k"])
def order_kernel(
    values, indices, sorted_values, sorted_indices,
    k, inner, out_outer, out_inner, out_element,
    M: tl.constexpr, CHUNK: tl.constexpr, LARGEST: tl.constexpr,
):  # fmt: skip
    """Winners in their order, best first, ties by index: each counts those before it.

    Reads the winners of any other kernel at the same strides; `M` of one row a program.
    """
    TYPE: tl.constexpr = values.dtype.element_ty
    blocks = tl.cdiv(k, M)
    row = tl.program_id(0) // blocks
    base = row_offset(row // inner, row % inner, out_outer, out_inner)
    mine = tl.program_id(0) % blocks * M + tl.arange(0, M)
    at = base + mine.to(tl.int64) * out_element
    bits = tl.load(as_bits(values) + at, mask=mine < k, other=0)
    index = tl.load(indices + at, mask=mine < k, other=0)
    key = order_key(bits, TYPE, LARGEST)
    rank = tl.zeros((M,), tl.int32)
    for start in range(0, k, CHUNK):
        other = start + tl.arange(0, CHUNK)
        there = (other < k)[None, :]
        other_at = base + other.to(tl.int64) * out_element
        other_bits = tl.load(as_bits(values) + other_at, mask=other < k, other=0)
        other_index = tl.load(indices + other_at, mask=other < k, other=0)[None, :]
        other_key = order_key(other_bits, TYPE, LARGEST)[None, :]
        tied = (other_key == key[:, None]) & (other_index < index[:, None])
        better = there & ((other_key > key[:, None]) | tied)
        rank += tl.sum(better.to(tl.int32), axis=1)
    to = base + rank.to(tl.int64) * out_element
    tl.store(as_bits(sorted_values) + to, bits, mask=mine < k)
    tl.store(sorted_indices + to, index, mask=mine < k)
