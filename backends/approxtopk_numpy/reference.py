"""Bucketed top-k as plainly as it can be said: the oracle of every other backend.

It lists the elements of each bucket, sorts every bucket, keeps the first kb, and sorts those.
All sorts are stable and every list is in the order of the index, so ties go to the lower index.

By certificate and repair the answer becomes exact. Let τ be its worst element. A bucket that hides
a better one has kept kb elements that are better still, so all of these are in the answer. Hence
only *flagged* buckets need be read again: those longer than kb which have kb elements in the
answer, τ not counted. What is better than τ there and not in the answer was *hidden*. If nothing
was, the answer is the true top-k; else these are among the answer and what was hidden.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .keys import UintArray

Booleans = NDArray[np.bool_]
Positions = NDArray[np.int64]


def bucket_positions(n: int, b: int, interleaved: bool) -> Positions:
    """Indices of each bucket's elements, ascending: shape (b, ceil(n / b)), n where there's none.

    Interleaved: element i is in bucket i % b. Contiguous: runs, the first n % b of them one
    element longer.
    """
    short, longer = divmod(n, b)
    steps = np.arange(short + (longer > 0))
    buckets = np.arange(b)[:, None]
    if interleaved:
        positions: Positions = np.minimum(buckets + b * steps, n)
        return positions
    first = buckets * short + np.minimum(buckets, longer)
    size = short + (buckets < longer)
    return np.where(steps < size, first + steps, n)


def select(keys: UintArray, k: int, b: int, kb: int, interleaved: bool) -> Positions:
    """Indices of the `k` selected elements of each row, best first.

    Parameters
    ----------
    keys : ndarray, shape (rows, n)
        From `order_keys`.
    k, b, kb, interleaved
        As in `approxtopk.topk`, valid.

    Returns
    -------
    ndarray of int64, shape (rows, k)
    """
    rank = ranks(keys)
    positions = bucket_positions(keys.shape[1], b, interleaved)
    kept = np.sort(rank[:, positions], axis=2)[:, :, :kb]  # stage 1
    best = np.sort(kept.reshape(len(keys), -1), axis=1)[:, :k]  # stage 2
    return indices_of(best, rank)


def flagged(keys: UintArray, answer: Positions, b: int, kb: int, interleaved: bool) -> Booleans:
    """Which buckets may hide an element that is better than the answer's worst: shape (rows, b).

    `answer` is what `select` returned for the other arguments; so it is in the next two.
    """
    rank, taken, worst = _about(keys, answer)
    positions = bucket_positions(keys.shape[1], b, interleaved)
    longer = (positions < keys.shape[1]).sum(axis=1) > kb
    beating = taken & (rank < worst)
    found: Booleans = longer & (beating[:, positions].sum(axis=2) == kb)
    return found


def hidden(keys: UintArray, answer: Positions, b: int, kb: int, interleaved: bool) -> Booleans:
    """Which elements a flagged bucket hides: shape (rows, n). A row without one is exact."""
    rank, taken, worst = _about(keys, answer)
    positions = bucket_positions(keys.shape[1], b, interleaved)
    read_again = np.zeros(rank.shape, dtype=np.bool_)
    row, bucket = np.nonzero(flagged(keys, answer, b, kb, interleaved))
    read_again[row[:, None], positions[bucket]] = True
    return (read_again & ~taken & (rank < worst))[:, :-1]


def repair(keys: UintArray, answer: Positions, b: int, kb: int, interleaved: bool) -> Positions:
    """Indices of the true top-k of each row, best first: the best of the answer and the hidden."""
    rank, taken, _ = _about(keys, answer)
    taken[:, :-1] |= hidden(keys, answer, b, kb, interleaved)
    best = np.sort(np.where(taken, rank, rank.shape[1]), axis=1)[:, : answer.shape[1]]
    return indices_of(best, rank)


def ranks(keys: UintArray) -> Positions:
    """Place of each element in the order of selection, 0 being the best: shape (rows, n + 1).

    The last column stands for no element, and has the last place.
    """
    rows, n = keys.shape
    rank = np.full((rows, n + 1), n + 1, dtype=np.int64)
    np.put_along_axis(rank, np.argsort(~keys, axis=1, kind="stable"), np.arange(n)[None], axis=1)
    return rank


def indices_of(places: Positions, rank: Positions) -> Positions:
    """From places in the order of selection back to indices."""
    return np.take_along_axis(np.argsort(rank, axis=1), places, axis=1)


def _about(keys: UintArray, answer: Positions) -> tuple[Positions, Booleans, Positions]:
    """Places, which elements are in the answer, and the place of its worst as a column."""
    rank = ranks(keys)
    taken = np.zeros(rank.shape, dtype=np.bool_)
    np.put_along_axis(taken, answer, True, axis=1)
    return rank, taken, np.take_along_axis(rank, answer, axis=1).max(axis=1, keepdims=True)
