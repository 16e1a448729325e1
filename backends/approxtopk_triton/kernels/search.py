"""The k-th greatest of a program's keys, by bisection on their bits.

The threshold is built from its top bits down, two for each count of the keys that reach the three
next ones, and the search ends as soon as exactly k reach it; only where the k-th key is tied are
those searched in the same way that are tied.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .keys import NONE, shift


@triton.jit
def count_reaching(keys, threshold, bit):
    """How many keys reach the threshold plus one, two and three bits: 20 bits for each count.

    At most 8 keys a lane, and fewer than 65,536 in all.
    """
    one = threshold + bit
    two = one + bit
    three = two + bit
    few = tl.zeros(keys[0].shape, tl.int32)  # 10 bits for each, so far
    for j in tl.static_range(len(keys)):
        few = tl.where(keys[j] >= one, few + 1, few)
        few = tl.where(keys[j] >= two, few + (1 << 10), few)
        few = tl.where(keys[j] >= three, few + (1 << 20), few)
    pair = (few & 0x3FF) + ((few & 0xFFC00) << 6)
    counts = tl.sum(pair.to(tl.int64) | ((few >> 20).to(tl.int64) << 32))
    return (counts & 0xFFFF) | ((counts & 0xFFFF0000) << 4) | ((counts >> 32) << 40)


@triton.jit
def advance(counts, threshold, reached, k, bit):
    """The greatest of the thresholds that k keys reach, or the old one; and how many do."""
    for digit in tl.static_range(3):
        count = ((counts >> (20 * digit)) & 0xFFFFF).to(tl.int32)
        threshold = tl.where(count >= k, threshold + bit, threshold)
        reached = tl.where(count >= k, count, reached)
    return threshold, reached


@triton.jit
def first_pair(span, last):
    """The lower bit of the first of the pairs, from the top down to `last`, that `span` needs."""
    bit = tl.full((), 1 << (span.dtype.primitive_bitwidth - 2), span.dtype)
    while (bit > last) & (span < bit):
        bit = bit >> 2
    return bit


@triton.jit
def search(keys, k, least, most, last):
    """The greatest threshold that k of the keys reach, or one that exactly k do; and how many.

    It lies between `least`, which k keys must reach, and `most`.  `last` is the lower bit of the
    last pair that differs among the keys.
    """
    bit = first_pair(most - least, last)
    threshold = tl.minimum(least, ~(bit | (bit << 1) | (bit - 1)))  # so that no sum wraps around
    reached = k * 0
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
def search_keys(keys, count, k, TYPE: tl.constexpr, CODE: tl.constexpr):
    """As `search`, on all bits of a key and its code, of `count` lanes or more.

    The best of each lane make k or more where there are as many lanes: the least of them is
    a first threshold, and often near the last.
    """
    KEY: tl.constexpr = keys[0].dtype
    LANES: tl.constexpr = keys[0].shape[0]
    MOST: tl.constexpr = (1 << KEY.primitive_bitwidth) - 1
    best = keys[0]
    for j in tl.static_range(1, len(keys)):
        best = tl.maximum(best, keys[j])
    least = tl.min(tl.where(tl.arange(0, LANES) < count, best, MOST), 0)
    least = tl.where(tl.minimum(count, LANES) >= k, least, 0)
    last = tl.full((), lowest_pair(TYPE, CODE), KEY)
    return search(keys, k, least, tl.max(best, 0), last)


@triton.jit
def to_end(index, n):
    """How far from the end indices are, of `n`; 0 for NONE."""
    return tl.maximum(n - index, 0).to(tl.uint32)


@triton.jit
def from_behind(key, index, threshold, n):
    """How far from the end those are that are tied at the threshold; 0 for all below it.

    Those above it are as far as the very first, who wins where any that is tied does.
    """
    return to_end(tl.where(key == threshold, index, tl.where(key > threshold, 0, NONE)), n)


@triton.jit
def search_backwards(backwards, k, most):
    """How far from the end the k-th is of those that are farthest from it, at most `most`."""
    one = tl.full((), 1, tl.uint32)
    least, _ = search(backwards, k, one - 1, one * most, one)
    return least


@triton.jit
def last_tied(keys, indices, threshold, k, n):
    """The greatest index, of `n`, among those tied at the threshold that still wins."""
    backwards = ()
    for j in tl.static_range(len(keys)):
        backwards = backwards + (from_behind(keys[j], indices[j], threshold, n),)
    return n - search_backwards(backwards, k, n).to(tl.int32)


@triton.jit
def wins(key, index, threshold, last):
    """Whether elements are better than, or tied with but not behind, the last winner."""
    return (key > threshold) | ((key == threshold) & (index <= last))
