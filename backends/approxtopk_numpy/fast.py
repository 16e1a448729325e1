"""Bucketed top-k with NumPy's own SIMD loops: maxima first, indices only for the winners.

It says the same as `reference`, which checks it. Stage 1 keeps values alone; the k-th best of
them is the bar that a winner has to reach, and the few elements of the row that do are looked up.
A bucket may hold more of these than it kept, and more may tie with the bar than are wanted; in
both cases the first ones win.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .keys import UintArray, order_keys
from .stage1 import SLOW, Reader, keep_interleaved, keep_runs, part

_Array = NDArray[Any]
_Booleans = NDArray[np.bool_]
_Integers = NDArray[np.integer[Any]]

#: Where more than one in that many elements reaches the bar of the candidates, an exact answer
#: looks at all of them instead.
CROWD = 8

#: Where no more than one bucket in that many has an element that reaches the bar, these alone are
#: looked at again. Elements and their places take no more memory than to look at all.
FEW = 16

#: The part of a row that is looked at first, to see whether all are alike.
FIRST_PART = 16

#: A row of that many neighbours is read at full speed.
FEWEST_BUCKETS = 2048


class Reaching(NamedTuple):
    """Elements at least as good as the bar of their row, in the order of row and index."""

    row: NDArray[np.int32]
    i: _Integers
    key: UintArray
    bar: UintArray  #: one key a row, which at least k of its elements reach

    def only(self, these: _Booleans) -> Reaching:
        """Some of them, below the same bars."""
        return Reaching(self.row[these], self.i[these], self.key[these], self.bar)


def select(values: _Array, request: Request) -> tuple[_Integers, _Booleans]:
    """Indices of the selected elements of each row, and its certificate if one is wanted.

    Ascending, or best first if asked for.

    Parameters
    ----------
    values : ndarray, shape (rows, n)
        Any strides and byte order. One row, or memory.BLOCK elements at most.
    request : Request
        Of any number of rows.
    """
    with np.errstate(invalid="ignore"):  # comparing a signalling NaN
        best, exact = ascending(values, request)
    if request.sorted:
        keys = order_keys(np.take_along_axis(values, best, axis=1), request.largest)
        best = np.take_along_axis(best, np.argsort(~keys, axis=1, kind="stable"), axis=1)
    return best, exact


def ascending(values: _Array, request: Request) -> tuple[_Integers, _Booleans]:
    """`select` in the order of the index.

    The whole true top-k reaches the bar of the candidates, kept by its buckets or not: an exact
    answer is the best of what does, and another is exact if nothing better was left out of it.
    """
    exact = np.ones(len(values), dtype=np.bool_)
    request = as_solved(request)
    found = None if request.lossless else reaching_the_candidates(values, request)
    if found is None:
        return winners(among_all(values, request), request.k)[0], exact
    reached, kept = found
    del found
    if request.exact:
        return winners(raised(reached, request.k), request.k)[0], exact
    assert kept is not None  # since it isn't exact
    was_kept = kept_by(kept, buckets_of(reached, request), reached.key)
    dropped = reached.only(~was_kept) if request.certificate else None
    reached = reached.only(was_kept)
    best, last = winners(reached, request.k)
    if dropped is not None:
        row, i, key, bar = dropped
        exact[row[(key > bar[row]) | ((key == bar[row]) & (i < last[row]))]] = False
    return best, exact


def as_solved(request: Request) -> Request:
    """A request with the buckets that it is solved by."""
    exact = request.exact or request.lossless
    return by_cheapest_buckets(request) if exact else request


@lru_cache(maxsize=4096)
def by_cheapest_buckets(request: Request) -> Request:
    """An exact request with buckets that cost least here: one `max` of each gives a good bar.

    4 k of them hold most of the true top-k. Whole rows where these are no small part of the row.
    """
    b = max(FEWEST_BUCKETS, 4 * request.k)
    if 4 * b > request.n:
        return request.by_whole_rows()
    return replace(request, b=b, kb=1, interleaved=True, exact=True)


def among_all(values: _Array, request: Request) -> Reaching:
    """What reaches the k-th best of all elements of a row."""
    read = Reader(request.largest, as_keys=True)
    bar = kth_best(read(values), request.k, True)
    places = reaching(values, bar, read, values.size, request.k)
    assert places is not None  # there are no more elements than that
    return Reaching(*places, read(values[places]), bar[:, 0])


class Kept(NamedTuple):
    """What must be known of the queues of all buckets to tell whether they kept an element."""

    worst: UintArray  #: the key of the worst that each bucket kept
    equals: NDArray[np.int32]  #: how many it kept of that key

    @classmethod
    def of(cls, queues: _Array, read: Reader) -> Kept:
        """From stage 1."""
        worst = queues[-1]
        equals = (queues == worst).sum(axis=0, dtype=np.int32)
        return cls(read.keys(worst).reshape(-1), equals.reshape(-1))


def reaching_the_candidates(
    values: _Array, request: Request
) -> tuple[Reaching, Kept | None] | None:
    """What reaches the k-th best candidate of its row, and what tells which of it was kept.

    An exact answer asks nothing of the latter. None where it would have to sort out so much that
    all elements are no more work.
    """
    kept, read = keep_best(values, request)
    candidates = kept.swapaxes(0, 1).reshape(len(values), -1)
    bar = kth_best(candidates, request.k, read.direction.largest)
    queues = None if request.exact else Kept.of(kept, read)
    places, most, enough = None, values.size, values.shape[1]
    if request.exact:
        most //= CROWD
        bucket = np.flatnonzero(read.direction.as_good(candidates, bar))
        if len(bucket) > 2 * request.k * len(values):  # many tie
            enough = request.k
        if values.flags.c_contiguous and not read.copies(values):
            places = reaching_in_few(values, bucket, request.b, bar, read)
        del bucket  # what is no longer needed goes at once: there are no larger arrays
    del kept, candidates
    if places is None:
        places = reaching(values, bar, read, most, enough)
    if places is None:
        return None
    key = order_keys(values[places], request.largest)
    return Reaching(*places, key, read.keys(bar)[:, 0]), queues


def keep_best(values: _Array, request: Request) -> tuple[_Array, Reader]:
    """The best of each bucket, shape (kb, rows, b), and how elements were read to compare them."""
    keep = keep_interleaved if request.interleaved else keep_runs
    read = Reader(request.largest, as_keys=values.dtype.name in SLOW)
    kept = keep(values, request.b, request.kb, read)
    if kept is None:
        read = Reader(request.largest, as_keys=True)
        kept = keep(values, request.b, request.kb, read)
        assert kept is not None  # keys have no NaN
    return kept, read


def winners(found: Reaching, k: int) -> tuple[_Integers, _Integers]:
    """Indices of the `k` best of each row, ascending; the greatest of those that equal the bar.

    Fewer than `k` elements of a row are better than its bar.
    """
    row, i, key, bar = found
    wins = key > bar[row]
    wanted = k - np.bincount(row[wins], minlength=len(bar))
    ties = np.flatnonzero(~wins)
    ties = ties[first_of_each(row[ties], wanted)]
    wins[ties] = True
    last = np.zeros(len(bar), dtype=np.int64)
    np.maximum.at(last, row[ties], i[ties])
    return i[wins].reshape(len(bar), k), last


def raised(found: Reaching, k: int) -> Reaching:
    """What reaches bars raised to the k-th best of each row."""
    row, _, key, bar = found
    count = np.bincount(row, minlength=len(bar))
    crowded = np.flatnonzero(count > k)
    if not len(crowded):
        return found
    table = np.zeros((len(crowded), count.max()), key.dtype)  # 0 is the least key
    table[np.arange(table.shape[1]) < count[crowded, None]] = key[(count > k)[row]]
    bar[crowded] = kth_best(table, k, True)[:, 0]
    return found.only(key >= bar[row])


def kth_best(candidates: _Array, k: int, largest: bool) -> _Array:
    """The `k`-th best of each row, as a column."""
    at = candidates.shape[1] - k if largest else k - 1
    return np.partition(candidates, at, axis=1)[:, [at]]


def kept_by(kept: Kept, bucket: _Integers, key: UintArray) -> _Booleans:
    """Which elements their buckets kept, of those that reach the bar, in the order of the index.

    All that are better than the worst kept one, and of its equals as many as were kept.
    """
    worst = kept.worst[bucket]
    was_kept: _Booleans = key > worst
    equals = np.flatnonzero(key == worst)
    was_kept[equals[first_of_each(bucket[equals], kept.equals)]] = True
    return was_kept


def reaching(
    values: _Array, bar: _Array, read: Reader, most: int, enough: int
) -> tuple[NDArray[np.int32], _Integers] | None:
    """Rows and indices of the elements at least as good as their row's `bar`, in their order.

    None if there are more than `most`. Where the first part of every row has `enough` of them,
    none that merely equals the bar can win later on; else rows of one value would all be found.
    """
    rows, n = values.shape
    as_good = read.direction.as_good
    size = part(rows, n)
    start, stop = 0, min(size, n // FIRST_PART if enough < n // FIRST_PART else n)
    found, count = [], 0
    while start < n:
        chunk = read(values[:, start:stop])
        reach = np.flatnonzero(as_good(chunk, bar))
        count += len(reach)
        if count > most:
            return None
        row = rows_of(reach, rows, chunk.shape[1])
        reach += start
        found.append((row, reach))
        if start == 0 and np.bincount(row, minlength=rows).min() >= enough:
            as_good = np.greater if read.direction.largest else np.less
        start, stop = stop, min(stop + size, n)
    if len(found) == 1:
        return found[0]
    row, i = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if rows > 1:
        order = np.argsort(row, kind="stable")
        row, i = row[order], i[order]
    return row, i


def reaching_in_few(
    values: _Array, bucket: _Integers, b: int, bar: _Array, read: Reader
) -> tuple[NDArray[np.int32], _Integers] | None:
    """`reaching`, from the interleaved buckets whose best do. None where these are many.

    `bucket` counts them through all rows, and is used up. Values are neighbours, read as they are.
    """
    rows, n = values.shape
    as_good = read.direction.as_good
    if FEW * len(bucket) > rows * b:
        return None
    row = rows_of(bucket, rows, b)
    bars, first = bar[row, 0], bucket + np.multiply(row, n, dtype=np.int64)
    steps, rest = divmod(n, b)
    together = max(1, rows * part(rows, n) // (FEW * len(bucket)))
    found, elements = [], values.reshape(-1)
    for step in range(0, steps, together):
        at = first + b * np.arange(step, min(step + together, steps))[:, None]
        found.append(at[as_good(elements[at], bars)])
    at = first[bucket < rest] + b * steps
    found.append(at[as_good(elements[at], bars[bucket < rest])])
    i = np.concatenate(found)
    if rows > 1:
        i.sort()
    return rows_of(i, rows, n), i


def rows_of(places: _Integers, rows: int, n: int) -> NDArray[np.int32]:
    """The rows of ascending places in several rows of `n`; the places become those in their row."""
    if rows == 1:
        return np.zeros(len(places), dtype=np.int32)
    ends = np.searchsorted(places, n * np.arange(rows + 1))
    row = np.repeat(np.arange(rows, dtype=np.int32), np.diff(ends))  # a block has no more rows
    places -= np.multiply(row, n, dtype=np.int64)
    return row


def buckets_of(found: Reaching, request: Request) -> _Integers:
    """The buckets that hold these elements, counted through all rows."""
    bucket = buckets_at(found.i, request)
    if len(found.bar) > 1:
        bucket += np.multiply(found.row, request.b, dtype=np.int64)
    return bucket


def buckets_at(i: _Integers, request: Request) -> _Integers:
    """The buckets of the elements with these indices."""
    if request.interleaved:
        return i % request.b
    short, longer = divmod(request.n, request.b)
    first = longer * (short + 1)  # of the shorter buckets
    return np.where(i < first, i // (short + 1), longer + (i - first) // max(short, 1))


def first_of_each(group: _Integers, wanted: _Integers) -> _Booleans:
    """Which members are among the first ``wanted[group]`` of their group."""
    count = np.bincount(group, minlength=len(wanted))
    first = np.ones(len(group), dtype=np.bool_)
    crowded = np.flatnonzero((count > wanted)[group])  # rarely any
    if len(crowded):
        order = np.argsort(group[crowded], kind="stable")
        members = group[crowded][order]
        starts = np.searchsorted(members, members)
        first[crowded[order]] = np.arange(len(members)) - starts < wanted[members]
    return first
