"""Priority queues of (key, step) in registers, one to a lane, their length fixed at compile time.

A queue is a tuple: its keys, greatest first, then their steps.  Where a step fits into the free
bits of a key, as a code of `STEP_BITS` that is greater for a smaller step, keys are all there is,
and queues are merged by maxima and minima alone.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .keys import NONE, is_float, key_type, order_key, shift


@triton.jit
def step_code(step, TYPE: tl.constexpr, STEP_BITS: tl.constexpr):
    """The code of a step below ``2**STEP_BITS - 1``, right below the bits of the element."""
    MOST: tl.constexpr = (1 << STEP_BITS) - 1
    return (MOST - step).to(tl.uint32) << (shift(TYPE) - STEP_BITS)


@triton.jit
def coded_step(key, TYPE: tl.constexpr, STEP_BITS: tl.constexpr):
    """The step whose code a key holds, if it is one of an element."""
    MOST: tl.constexpr = (1 << STEP_BITS) - 1
    return MOST - ((key >> (shift(TYPE) - STEP_BITS)) & MOST).to(tl.int32)


@triton.jit
def empty_queues(SHAPE: tl.constexpr, KEY: tl.constexpr, KB: tl.constexpr, CODED: tl.constexpr):
    """Queues of nothing."""
    queue = ()
    for _ in tl.static_range(KB):
        queue = queue + (tl.zeros(SHAPE, KEY),)
    if not CODED:
        for _ in tl.static_range(KB):
            queue = queue + (tl.full(SHAPE, NONE, tl.int32),)
    return queue


@triton.jit
def insert(
    queue, key, step, KB: tl.constexpr, ANY_ORDER: tl.constexpr, FROM: tl.constexpr = 0
):  # fmt: skip
    """The queues with one more element each.

    Steps must rise from one call to the next, and keys must not be 0, unless ANY_ORDER. The
    first FROM places are known to be better.
    """
    keys, steps = (), ()
    for j in tl.static_range(FROM):
        keys = keys + (queue[j],)
        steps = steps + (queue[KB + j],)
    new_key, new_step = key, step
    for j in tl.static_range(FROM, KB):
        # Compared is always the new element: what it displaces goes before its equals.
        better = new_key > queue[j]
        if ANY_ORDER:
            better = better | ((new_key == queue[j]) & (new_step < queue[KB + j]))
        keys = keys + (tl.where(better, key, queue[j]),)
        steps = steps + (tl.where(better, step, queue[KB + j]),)
        key = tl.where(better, queue[j], key)
        step = tl.where(better, queue[KB + j], step)
    return keys + steps


@triton.jit
def merge_coded(queue, others, KB: tl.constexpr):
    """The KB greatest of two lists of different keys, each with its greatest first.

    The j-th greatest of both is the greatest of those that j - 1 others of the two can exceed:
    the j-th of either, and the lesser of each pair whose places add up to j.
    """
    merged = ()
    for j in tl.static_range(KB):
        best = queue[j]
        for i in tl.static_range(j):
            if j - 1 - i < len(others):
                best = tl.maximum(best, tl.minimum(queue[i], others[j - 1 - i]))
        if j < len(others):
            best = tl.maximum(best, others[j])
        merged = merged + (best,)
    return merged


@triton.jit
def take_steps(
    queue, pointers, step_stride, size, there, t,
    TYPE: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, U: tl.constexpr,
    LARGEST: tl.constexpr, STEP_BITS: tl.constexpr, WIDE: tl.constexpr, PARTLY: tl.constexpr,
):  # fmt: skip
    """Insert steps t to t + S * U: all loads first, so that U of them are in flight."""
    loaded = ()
    for u in tl.static_range(U):
        step = t + u * S + tl.arange(0, S)[:, None]
        mask = there & (step < size) if PARTLY else there & (step >= 0)
        offset = (step.to(tl.int64) if WIDE else step) * step_stride
        loaded = loaded + (tl.load(pointers + offset, mask=mask, other=0),)
    waiting = ()
    for u in tl.static_range(U):
        step = t + u * S + tl.arange(0, S)[:, None]
        if STEP_BITS:
            key = order_key(loaded[u], TYPE, LARGEST, step_code(step, TYPE, STEP_BITS))
        else:
            key = order_key(loaded[u], TYPE, LARGEST)
        if PARTLY:
            key = tl.where(step < size, key, 0)
            step = tl.where(step < size, step, NONE)
        if not STEP_BITS:
            queue = insert(queue, key, step, KB, not is_float(TYPE))
        elif u % 2 == 0 and u + 1 < U:
            waiting = (key,)
        elif u % 2 == 1:  # two at a time: fewer maxima and minima
            pair = (tl.maximum(waiting[0], key), tl.minimum(waiting[0], key))
            queue = merge_coded(queue, pair, KB)
        else:
            queue = merge_coded(queue, (key,), KB)
    return queue


@triton.jit
def halves(tile):
    """Upper and lower half of the rows of a tile."""
    HALF: tl.constexpr = (2, tile.shape[0] // 2, tile.shape[1])
    return tl.split(tl.permute(tl.reshape(tile, HALF), (1, 2, 0)))


@triton.jit
def merge_lanes(queue, S: tl.constexpr, KB: tl.constexpr, CODED: tl.constexpr):
    """One queue from the S queues in each column: halve until one row is left, then drop it."""
    LOG: tl.constexpr = S.bit_length() - 1
    for _ in tl.static_range(LOG):
        upper, lower = (), ()
        for j in tl.static_range(len(queue)):
            one, two = halves(queue[j])
            upper = upper + (one,)
            lower = lower + (two,)
        if CODED:
            queue = merge_coded(upper, lower, KB)
        else:
            queue = upper
            for j in tl.static_range(KB):  # j of the lower ones are better: its place is j or more
                queue = insert(queue, lower[j], lower[KB + j], KB, True, j)
    flat = ()
    for j in tl.static_range(len(queue)):
        flat = flat + (tl.reshape(queue[j], (queue[j].shape[1],)),)
    return flat


@triton.jit
def fill(
    pointers, step_stride, size, there, start, stop, short,
    TYPE: tl.constexpr, L: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, U: tl.constexpr,
    LARGEST: tl.constexpr, STEP_BITS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Queues of L buckets over the steps from `start` to `stop`, as (keys, steps) of shape (L,).

    Every bucket has `short` steps at least, so up to there only whole lanes are masked.
    """
    queue = empty_queues((S, L), key_type(TYPE), KB, STEP_BITS > 0)
    size = tl.minimum(size, stop)[None, :]
    there = there[None, :]
    pointers = pointers[None, :]
    whole = start + tl.maximum(tl.minimum(short, stop) - start, 0) // (S * U) * (S * U)
    for t in range(start, whole, S * U):
        queue = take_steps(
            queue, pointers, step_stride, size, there, t,
            TYPE, KB, S, U, LARGEST, STEP_BITS, WIDE, PARTLY=False,
        )  # fmt: skip
    FEW: tl.constexpr = max(1, U // KB)  # the last steps, in less code
    for t in range(whole, stop, S * FEW):
        queue = take_steps(
            queue, pointers, step_stride, size, there, t,
            TYPE, KB, S, FEW, LARGEST, STEP_BITS, WIDE, PARTLY=True,
        )  # fmt: skip
    queue = merge_lanes(queue, S, KB, STEP_BITS > 0)
    keys, steps = (), ()
    for j in tl.static_range(KB):
        keys = keys + (queue[j],)
        if STEP_BITS:
            step = coded_step(queue[j], TYPE, STEP_BITS)
            steps = steps + (tl.where(queue[j] == 0, NONE, step),)
        else:
            steps = steps + (queue[KB + j],)
    return keys, steps


@triton.jit
def fill_again(
    keys, indices, count, b, there,
    L: tl.constexpr, KB: tl.constexpr, S: tl.constexpr, CODED: tl.constexpr,
):  # fmt: skip
    """Queues of L buckets over `count` candidates each, kept `b` apart, as in `merge_lanes`."""
    queue = empty_queues((S, L), keys.dtype.element_ty, KB, CODED)
    for t in range(0, count, S):
        slot = t + tl.arange(0, S)[:, None]
        mask = there[None, :] & (slot < count)
        key = tl.load(keys[None, :] + slot * b, mask=mask, other=0)
        if CODED:
            queue = merge_coded(queue, (key,), KB)
        else:
            index = tl.load(indices[None, :] + slot * b, mask=mask, other=NONE)
            queue = insert(queue, key, index, KB, True)
    return merge_lanes(queue, S, KB, CODED)
