"""Priority queues of (key, step) in registers, one to a lane, their length fixed at compile time.

A queue is a tuple: its keys, greatest first, then their steps.  Where a step fits beside a 16-bit
key (`PACKED`), one 32-bit word holds both, and an insertion is a maximum and a minimum per word.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .keys import NONE, is_float, key_type, order_key


@triton.jit
def empty_queues(SHAPE: tl.constexpr, KEY: tl.constexpr, KB: tl.constexpr, PACKED: tl.constexpr):
    """Queues of nothing."""
    queue = ()
    for _ in tl.static_range(KB):
        queue = queue + (tl.zeros(SHAPE, KEY),)
    if not PACKED:
        for _ in tl.static_range(KB):
            queue = queue + (tl.full(SHAPE, NONE, tl.int32),)
    return queue


@triton.jit
def insert(
    queue, key, step,
    KB: tl.constexpr, PACKED: tl.constexpr, ANY_ORDER: tl.constexpr, FROM: tl.constexpr = 0,
):  # fmt: skip
    """The queues with one more element each; `key` is the whole word where PACKED.

    Steps must rise from one call to the next, and keys must not be 0, unless ANY_ORDER. The
    first FROM places are known to be better.
    """
    keys, steps = (), ()
    for j in tl.static_range(FROM):
        keys = keys + (queue[j],)
        if not PACKED:
            steps = steps + (queue[KB + j],)
    new_key, new_step = key, step
    for j in tl.static_range(FROM, KB):
        if PACKED:
            keys = keys + (tl.maximum(key, queue[j]),)
            key = tl.minimum(key, queue[j])
        else:
            # Compared is always the new element: what it displaces goes before its equals.
            better = new_key > queue[j]
            if ANY_ORDER:
                better = better | ((new_key == queue[j]) & (new_step < queue[KB + j]))
            keys = keys + (tl.where(better, key, queue[j]),)
            steps = steps + (tl.where(better, step, queue[KB + j]),)
            key = tl.where(better, queue[j], key)
            step = tl.where(better, queue[KB + j], step)
    return keys if PACKED else keys + steps


@triton.jit
def take_steps(
    queue, pointers, step_stride, size, there, t,
    TYPE: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, U: tl.constexpr,
    LARGEST: tl.constexpr, PACKED: tl.constexpr, WIDE: tl.constexpr, PARTLY: tl.constexpr,
):  # fmt: skip
    """Insert steps t to t + S * U: all loads first, so that U of them are in flight."""
    loaded = ()
    for u in tl.static_range(U):
        step = t + u * S + tl.arange(0, S)[:, None]
        mask = there & (step < size) if PARTLY else there & (step >= 0)
        offset = (step.to(tl.int64) if WIDE else step) * step_stride
        loaded = loaded + (tl.load(pointers + offset, mask=mask, other=0),)
    for u in tl.static_range(U):
        step = t + u * S + tl.arange(0, S)[:, None]
        key = order_key(loaded[u], TYPE, LARGEST)
        if PACKED:
            key = key | (0xFFFF - step).to(tl.uint32)
        if PARTLY:
            key = tl.where(step < size, key, 0)
            step = tl.where(step < size, step, NONE)
        queue = insert(queue, key, step, KB, PACKED, not is_float(TYPE))
    return queue


@triton.jit
def halves(tile):
    """Upper and lower half of the rows of a tile."""
    HALF: tl.constexpr = (2, tile.shape[0] // 2, tile.shape[1])
    return tl.split(tl.permute(tl.reshape(tile, HALF), (1, 2, 0)))


@triton.jit
def merge_lanes(queue, S: tl.constexpr, KB: tl.constexpr, PACKED: tl.constexpr):
    """One queue from the S queues in each column: halve until one row is left, then drop it."""
    LOG: tl.constexpr = S.bit_length() - 1
    for _ in tl.static_range(LOG):
        upper, lower = (), ()
        for j in tl.static_range(len(queue)):
            one, two = halves(queue[j])
            upper = upper + (one,)
            lower = lower + (two,)
        queue = upper
        for j in tl.static_range(KB):  # j of the lower ones are better, so its place is j at best
            queue = insert(queue, lower[j], lower[j if PACKED else KB + j], KB, PACKED, True, j)
    flat = ()
    for j in tl.static_range(len(queue)):
        flat = flat + (tl.reshape(queue[j], (queue[j].shape[1],)),)
    return flat


@triton.jit
def fill(
    pointers, step_stride, size, there, start, stop, short,
    TYPE: tl.constexpr, L: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, U: tl.constexpr,
    LARGEST: tl.constexpr, PACKED: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Queues of L buckets over the steps from `start` to `stop`, as (keys, steps) of shape (L,).

    Every bucket has `short` steps at least, so up to there only whole lanes are masked.
    """
    queue = empty_queues((S, L), key_type(TYPE), KB, PACKED)
    size = tl.minimum(size, stop)[None, :]
    there = there[None, :]
    pointers = pointers[None, :]
    whole = start + tl.maximum(tl.minimum(short, stop) - start, 0) // (S * U) * (S * U)
    for t in range(start, whole, S * U):
        queue = take_steps(
            queue, pointers, step_stride, size, there, t,
            TYPE, KB, S, U, LARGEST, PACKED, WIDE, PARTLY=False,
        )  # fmt: skip
    FEW: tl.constexpr = max(1, U // KB)  # the last steps, in less code
    for t in range(whole, stop, S * FEW):
        queue = take_steps(
            queue, pointers, step_stride, size, there, t,
            TYPE, KB, S, FEW, LARGEST, PACKED, WIDE, PARTLY=True,
        )  # fmt: skip
    queue = merge_lanes(queue, S, KB, PACKED)
    keys, steps = (), ()
    for j in tl.static_range(KB):
        if PACKED:
            keys = keys + (queue[j] & 0xFFFF0000,)
            step = 0xFFFF - (queue[j] & 0xFFFF).to(tl.int32)
            steps = steps + (tl.where(queue[j] == 0, NONE, step),)
        else:
            keys = keys + (queue[j],)
            steps = steps + (queue[KB + j],)
    return keys, steps


@triton.jit
def fill_again(
    keys, indices, count, b, there, L: tl.constexpr, KB: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Queues of L buckets over `count` candidates each, kept `b` apart, as (keys, indices)."""
    queue = empty_queues((S, L), keys.dtype.element_ty, KB, False)
    for t in range(0, count, S):
        slot = t + tl.arange(0, S)[:, None]
        mask = there[None, :] & (slot < count)
        key = tl.load(keys[None, :] + slot * b, mask=mask, other=0)
        index = tl.load(indices[None, :] + slot * b, mask=mask, other=NONE)
        queue = insert(queue, key, index, KB, False, True)
    queue = merge_lanes(queue, S, KB, False)
    keys, indices = (), ()
    for j in tl.static_range(KB):
        keys = keys + (queue[j],)
        indices = indices + (queue[KB + j],)
    return keys, indices
