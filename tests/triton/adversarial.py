"""Rows made to fool buckets, and their exact top k by a stable sort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from approxtopk.testing import dtype_of

Generator = np.random.Generator


def _planted(rng: Generator, bucket: np.ndarray) -> np.ndarray:
    """The best ranks in one bucket, as many as it holds."""
    inside = np.flatnonzero(bucket == rng.choice(bucket))
    others = rng.permutation(np.setdiff1d(np.arange(bucket.size), inside))
    ranks = np.empty(bucket.size, int)
    ranks[np.concatenate([rng.permutation(inside), others])] = -np.arange(bucket.size)
    return ranks


#: Whole numbers, the greater the better, for elements in these buckets.
KINDS: dict[str, Callable[[Generator, np.ndarray], np.ndarray]] = {
    "random": lambda rng, bucket: rng.permutation(bucket.size),
    "few values": lambda rng, bucket: rng.integers(0, 4, bucket.size),
    "constant": lambda rng, bucket: np.zeros(bucket.size, int),
    "rising": lambda rng, bucket: np.arange(bucket.size),
    "falling": lambda rng, bucket: -np.arange(bucket.size),
    "one bucket": _planted,
    "tied in one bucket": lambda rng, bucket: (
        (bucket == rng.choice(bucket)) * 3 + rng.integers(0, 2, bucket.size)
    ),
    "steps": lambda rng, bucket: (np.arange(bucket.size) + rng.integers(9)) // 7,
    "two levels": lambda rng, bucket: (rng.random(bucket.size) < 0.02) * 5,
}


def rows(
    seed: int, count: int, n: int, b: int, interleaved: bool, dtype: str, largest: bool
) -> np.ndarray:
    """`count` rows of all kinds in turn; some of floats with NaN, infinities and both zeros.

    All but the first of a kind have three elements of the best ranks anywhere.
    """
    rng = np.random.default_rng(seed)
    short, longer = divmod(n, b)
    runs = np.repeat(np.arange(b), short + (np.arange(b) < longer))
    bucket = np.arange(n) % b if interleaved else runs
    makers = list(KINDS.values())
    ranks = np.stack([makers[i % len(makers)](rng, bucket) for i in range(count)])
    for row in ranks[len(makers) :]:  # or all rows of some kinds would be alike
        row[rng.integers(0, n, 3)] = row.max() - rng.integers(0, 3, 3)
    kind = dtype_of(dtype)
    if np.dtype(kind).kind in "iu":  # the best is the last of its type
        info = np.iinfo(kind)
        below = np.minimum(ranks.max(1, keepdims=True) - ranks, info.max)
        return (info.max - below if largest else info.min + below).astype(kind)
    array = ((ranks if largest else -ranks) / 8).astype(kind)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0]).astype(kind)
    odd = (np.arange(count)[:, None] % 4 == 3) & (rng.random((count, n)) < 0.1)
    return np.where(odd, rng.choice(special, (count, n)), array)


def top(array: np.ndarray, k: int, largest: bool) -> np.ndarray:
    """Indices of the true top k of each row, best first, ties by index."""
    wide = array if array.dtype.kind in "iu" else array.astype(np.float64)
    if not largest:
        return np.argsort(wide, axis=1, kind="stable")[:, :k]
    backwards = np.argsort(wide[:, ::-1], axis=1, kind="stable")[:, ::-1]
    return (wide.shape[1] - 1 - backwards)[:, :k]
