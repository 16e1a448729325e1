"""Arrays made to have stage 1 drop what it should keep, many rows to a case.

Each adversary gives ranks, small integers of which the greatest are wanted first; `adversaries`
turns them into elements of any dtype, for either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from approxtopk.backend import count_candidates

from .case import Case
from .dtypes import FLOATS, Array, dtype_of, specials
from .oracle import buckets

#: Rows no longer than this have ranks that all dtypes hold apart.
LONGEST = 240

Adversary = Callable[[np.random.Generator, Case], Array]


def adversaries(dtype: str, rows: int = 64, seed: int = 0) -> Iterator[Case]:
    """Two cases of `rows` rows for each adversary: directions, arrangements of buckets in turns.

    Sizes are drawn: ``kb = 1`` and ``k = n`` are among them, as are plans that can't miss anything.
    """
    rng = np.random.default_rng([seed, *dtype.encode()])
    for turn, adversary in enumerate((*ADVERSARIES, *ADVERSARIES)):
        n = int(rng.integers(2, LONGEST))
        b = int(rng.integers(1, n // 2 + 1)) if turn % 4 else int(rng.integers(1, n + 1))
        kb = min(int(rng.choice([1, 1, 2, 3, 4, 8])), -(-n // b))
        most = count_candidates(n, b, kb)
        k = int(rng.integers(1, most + 1)) if turn % 3 else min(most, 2 * kb + 1)
        case = Case(np.empty((rows, n)), k, b, kb, -1, *_flags(turn))
        yield case.but(array=_elements(adversary(rng, case), dtype, case.largest, turn))


def one_bucket(rng: np.random.Generator, case: Case) -> Array:
    """The best of all are in one bucket, as many as it holds."""
    return _in_buckets(rng, case, 1)


def some_buckets(rng: np.random.Generator, case: Case) -> Array:
    """The best of all are in two to five buckets."""
    return _in_buckets(rng, case, int(rng.integers(2, 6)))


def one_too_many(rng: np.random.Generator, case: Case) -> Array:
    """Buckets hold kb of the best each, but one holds one more, at any place among them."""
    found = np.empty(case.array.shape, np.int64)
    members = buckets(case.n, case.b, case.interleaved)
    for row in found:
        full = rng.permutation(case.b)[: -(-case.k // case.kb)]
        best = [i for bucket in full for i in members[bucket][: case.kb]][: case.k]
        best += members[full[0]][case.kb : case.kb + 1]
        bar = LONGEST - len(best)
        row[:] = rng.integers(0, bar, case.n)
        row[best] = bar + rng.permutation(len(best))
    return found


def ties_at_the_end(rng: np.random.Generator, case: Case) -> Array:
    """A few are better than the rest, all of which tie: the index alone decides."""
    better = rng.integers(0, max(1, case.k), len(case.array))
    order = np.argsort(rng.random(case.array.shape), axis=1)
    return (order < better[:, None]).astype(np.int64)


def few_values(rng: np.random.Generator, case: Case) -> Array:
    """Two to five different values."""
    return rng.integers(0, rng.integers(2, 6), case.array.shape)


def constant(rng: np.random.Generator, case: Case) -> Array:
    """One value a row."""
    return np.repeat(rng.integers(0, LONGEST, (len(case.array), 1)), case.n, axis=1)


def rising(rng: np.random.Generator, case: Case) -> Array:
    """Sorted, the best last."""
    return np.tile(np.arange(case.n), (len(case.array), 1))


def falling(rng: np.random.Generator, case: Case) -> Array:
    """Sorted, the best first, where contiguous buckets lose most."""
    return rising(rng, case)[:, ::-1].copy()


def periodic(rng: np.random.Generator, case: Case) -> Array:
    """Every so many elements the same, in step with the buckets or out of it."""
    periods = rng.choice(
        [max(1, case.b), max(1, case.b // 2), case.b + 1, 2 * case.b, 7], len(case.array)
    )
    found: Array = np.arange(case.n) % periods[:, None]
    return found


def shuffled(rng: np.random.Generator, case: Case) -> Array:
    """Distinct values in random order."""
    return rng.permuted(rising(rng, case), axis=1)


#: All of them.
ADVERSARIES: tuple[Adversary, ...] = (
    *(one_bucket, some_buckets, one_too_many, ties_at_the_end, few_values, constant),
    *(rising, falling, periodic, shuffled),
)


def _in_buckets(rng: np.random.Generator, case: Case, count: int) -> Array:
    members = buckets(case.n, case.b, case.interleaved)
    found = rng.integers(0, case.n, case.array.shape) // 2
    for row in found:
        chosen = rng.permutation(case.b)[:count]
        best = [i for bucket in chosen for i in members[bucket]]
        row[best] = case.n // 2 + 1 + rng.integers(0, 1 + case.n // 3, len(best))
    return np.minimum(found, LONGEST)


def _elements(ranks: Array, dtype: str, largest: bool, turn: int) -> Array:
    """Elements in the order of the ranks, or the other way round; extremes in every third case."""
    ranks = ranks if largest else LONGEST - ranks
    signed = dtype in FLOATS or not dtype.startswith("u")
    array = (ranks - (LONGEST // 2 if signed else 0)).astype(dtype_of(dtype))
    if turn % 3 == 0:
        special = specials(dtype)
        low, high = np.sort(ranks, axis=1)[:, [0, -1]].T[:, :, None]
        array[ranks == low] = special.minus_inf
        array[ranks == high] = special.inf
        array[(ranks == high) & (np.arange(ranks.shape[1]) % 2 == 1)] = special.nan
    return array


def _flags(turn: int) -> tuple[bool, bool, bool]:
    """largest, sorted, interleaved."""
    return turn % 2 == 0, turn // 2 % 2 == 0, turn // 4 % 2 == 0
