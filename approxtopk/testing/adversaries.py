"""Arrays made to have stage 1 drop what it should keep, many rows to a case.

Each adversary gives ranks, whole numbers of which the greatest are wanted first; `adversaries`
turns them into elements of any dtype, for either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from approxtopk.backend import count_candidates

from .case import Case
from .dtypes import FLOATS, Array, dtype_of, specials
from .laws import bucket_of
from .oracle import buckets

#: Rows no longer than this have ranks that all dtypes hold apart.
LONGEST = 240

Adversary = Callable[[np.random.Generator, Case], Array]


def adversaries(
    dtype: str,
    rows: int = 64,
    seed: int = 0,
    lengths: tuple[int, int] = (3, LONGEST),
    lanes: Callable[[Case], Sequence[int]] | None = None,
) -> Iterator[Case]:
    """A case of `rows` rows for each adversary, and then another: any flags, any lossy plan.

    Parameters
    ----------
    dtype : str
        Of the elements.
    rows, seed : int
        Of every case; another seed gives other cases.
    lengths : (int, int)
        Rows are no shorter than the first and no longer than the second.
    lanes : callable, optional
        Into how many interleaved buckets of its own, whatever the plan, a backend divides the rows
        of a case. The second case of an adversary is against one of these numbers.
    """
    rng = np.random.default_rng([seed, *dtype.encode()])
    for turn, adversary in enumerate((*ADVERSARIES, *ADVERSARIES)):
        case = aimed_at = _drawn(rng, dtype, rows, lengths)
        if lanes is not None and turn >= len(ADVERSARIES):
            aimed_at = case.but(b=int(rng.choice(lanes(case))), kb=1, interleaved=True)
        yield case.but(array=_elements(rng, adversary(rng, aimed_at), case))


def one_bucket(rng: np.random.Generator, case: Case) -> Array:
    """The best of all are in one bucket, as many as it holds."""
    return _in_buckets(rng, case, 1)


def some_buckets(rng: np.random.Generator, case: Case) -> Array:
    """The best of all are in two to five buckets."""
    return _in_buckets(rng, case, int(rng.integers(2, 6)))


def full_buckets(rng: np.random.Generator, case: Case) -> Array:
    """The best of all are in k - 1 buckets: the k-th best candidate is none of them if kb is 1."""
    return _in_buckets(rng, case, min(case.k, case.b) - 1)


def one_too_many(rng: np.random.Generator, case: Case) -> Array:
    """Buckets hold kb of the best each, but one holds one more, at any place among them."""
    found = np.empty(case.array.shape, np.int64)
    members = buckets(case.n, case.b, case.interleaved)
    for row in found:
        full = rng.permutation(case.b)[: -(-case.k // case.kb)]
        best = [i for bucket in full for i in members[bucket][: case.kb]][: case.k]
        best += members[full[0]][case.kb : case.kb + 1]
        bar = _top(case) - len(best)
        row[:] = rng.integers(0, bar, case.n)
        row[best] = bar + rng.permutation(len(best))
    return found


def ties_at_the_end(rng: np.random.Generator, case: Case) -> Array:
    """A few are better than the rest, all of which tie: the index alone decides."""
    better = rng.integers(0, case.k, len(case.array))
    order = np.argsort(rng.random(case.array.shape), axis=1)
    return (order < better[:, None]).astype(np.int64)


def late_ties(rng: np.random.Generator, case: Case) -> Array:
    """What ties for the best begins anywhere; before it there is little of it."""
    first = rng.integers(0, case.n, (len(case.array), 1))
    return _exchanged(rng, (np.arange(case.n) >= first).astype(np.int64))


def few_values(rng: np.random.Generator, case: Case) -> Array:
    """Two to five different values."""
    return rng.integers(0, rng.integers(2, 6), case.array.shape)


def constant(rng: np.random.Generator, case: Case) -> Array:
    """One value; but for the first row an element of another one somewhere."""
    rows = len(case.array)
    value, other = rng.integers(0, _top(case), (2, rows))
    found = np.repeat(value[:, None], case.n, axis=1)
    found[np.arange(1, rows), rng.integers(0, case.n, rows - 1)] = other[1:]
    return found


def rising(rng: np.random.Generator, case: Case) -> Array:
    """Sorted, the best last; but for the first row with some exchanged."""
    return _exchanged(rng, _sorted(case))


def falling(rng: np.random.Generator, case: Case) -> Array:
    """The same with the best first, where contiguous buckets lose most."""
    return _exchanged(rng, _sorted(case)[:, ::-1].copy())


def periodic(rng: np.random.Generator, case: Case) -> Array:
    """Every so many elements the same but for a few, in step with the buckets or out of it."""
    choice = [case.b, max(1, case.b // 2), case.b + 1, 2 * case.b, 7]
    return _exchanged(rng, _sorted(case) % rng.choice(choice, (len(case.array), 1)))


def shuffled(rng: np.random.Generator, case: Case) -> Array:
    """Distinct values in random order."""
    return rng.permuted(_sorted(case), axis=1)


#: All of them.
ADVERSARIES: tuple[Adversary, ...] = (
    *(one_bucket, some_buckets, full_buckets, one_too_many, ties_at_the_end, late_ties),
    *(few_values, constant, rising, falling, periodic, shuffled),
)


def _drawn(rng: np.random.Generator, dtype: str, rows: int, lengths: tuple[int, int]) -> Case:
    """Any flags and plan by which buckets can drop some of the true top-k; no elements yet.

    Of a third each the results are any number of the candidates, all of them, or few. Queues are
    long for some dtypes only, since there are backends that compile each for seconds.
    """
    longest = 8 if dtype in ("float32", "float64", "int8", "uint8") else 4
    kb = int(rng.choice([1, 1, 2, 3, 4, longest]))
    n = int(rng.integers(max(lengths[0], 2 * kb + 1), lengths[1] + 1))
    b = _about(rng, 2, (n - 1) // kb)
    most = count_candidates(n, b, kb)
    k = int(rng.choice([_about(rng, kb + 1, most), most, min(2 * kb + 1, most)]))
    largest, sort, interleaved = (bool(flag) for flag in rng.integers(0, 2, 3))
    return Case(np.empty((rows, n), dtype_of(dtype)), k, b, kb, -1, largest, sort, interleaved)


def _about(rng: np.random.Generator, low: int, high: int) -> int:
    """A number from `low` to `high`, of any order of magnitude."""
    return int(low * ((high + 1) / low) ** rng.random())


def _top(case: Case) -> int:
    """More than all ranks."""
    return max(LONGEST, case.n) + 1


def _sorted(case: Case) -> Array:
    return np.tile(np.arange(case.n), (len(case.array), 1))


def _exchanged(rng: np.random.Generator, ranks: Array) -> Array:
    """All rows but the first with three pairs of elements exchanged, so that few rows are alike."""
    rows, n = ranks.shape
    for one, other in rng.integers(0, n, (3, 2, rows - 1, 1)):
        pair = np.concatenate([one, other], axis=1)
        taken = np.take_along_axis(ranks[1:], pair, axis=1)
        np.put_along_axis(ranks[1:], pair, taken[:, ::-1], axis=1)
    return ranks


def _in_buckets(rng: np.random.Generator, case: Case, count: int) -> Array:
    """The upper half of the ranks in some buckets, any others in the rest."""
    shape, n = case.array.shape, case.n
    chosen = rng.permuted(np.tile(np.arange(case.b) < count, (shape[0], 1)), axis=1)
    better = n // 2 + 1 + rng.integers(0, 1 + n // 3, shape)
    found: Array = np.where(chosen[:, bucket_of(case)], better, rng.integers(0, n, shape) // 2)
    return found


def _elements(rng: np.random.Generator, ranks: Array, case: Case) -> Array:
    """Elements in the order of the ranks, or the other way round; extremes in every third case.

    Of 16 bits or fewer they are as many different ones as all such dtypes hold apart.
    """
    dtype, top = case.array.dtype.name, _top(case)
    if case.array.itemsize <= 2:
        ranks, top = ranks * (LONGEST + 1) // top, LONGEST + 1
    ranks = ranks if case.largest else top - 1 - ranks
    signed = dtype in FLOATS or not dtype.startswith("u")
    array = (ranks - (top // 2 if signed else 0)).astype(case.array.dtype)
    if rng.integers(3) == 0:
        special = specials(dtype)
        low, high = np.sort(ranks, axis=1)[:, [0, -1]].T[:, :, None]
        array[ranks == low] = special.minus_inf
        array[ranks == high] = special.inf
        array[(ranks == high) & (np.arange(ranks.shape[1]) % 2 == 1)] = special.nan
    return array
