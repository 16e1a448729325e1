"""Bucketed top-k as plainly as it can be said: the oracle of every other backend.

It lists the elements of each bucket, sorts every bucket, keeps the first kb, and sorts those.
All sorts are stable and every list is in the order of the index, so ties go to the lower index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .keys import UintArray

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
    rows, n = keys.shape
    rank = np.empty((rows, n + 1), dtype=np.int64)  # 0 is the best; n + 1 stands for no element
    np.put_along_axis(rank, np.argsort(~keys, axis=1, kind="stable"), np.arange(n)[None], axis=1)
    rank[:, n] = n + 1

    positions = bucket_positions(n, b, interleaved)
    kept = np.sort(rank[:, positions], axis=2)[:, :, :kb]  # stage 1
    best = np.sort(kept.reshape(rows, -1), axis=1)[:, :k]  # stage 2

    order = np.argsort(rank[:, :n], axis=1)  # from rank back to index
    return np.take_along_axis(order, best, axis=1)
