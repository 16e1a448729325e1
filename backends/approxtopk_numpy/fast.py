"""Bucketed top-k with NumPy's own SIMD loops: maxima first, indices only for the winners.

It says the same as `reference`, which checks it. Stage 1 keeps values alone; the k-th best of
them is the bar that a winner has to reach, and the few elements of the row that do are looked up.
A bucket may hold more of these than it kept, and more may tie with the bar than are wanted; in
both cases the first ones win.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .keys import UintArray, order_keys

_Array = NDArray[Any]
_Booleans = NDArray[np.bool_]
_Integers = NDArray[np.int64]

#: Types that NumPy compares one by one: their keys are compared instead.
SLOW = ("float16", "bfloat16")

#: Elements looked at together: as many as leave temporary arrays in the processor's cache.
CHUNK = 1 << 18

#: Queues longer than that are filled by sorting.
LONG_QUEUE = 16

#: Where more than one in that many elements reaches the bar of the candidates, an exact answer
#: looks at all of them instead.
CROWD = 8

#: A row of that many neighbours is read at full speed.
FEWEST_BUCKETS = 4096

#: One call on a stretch of this many elements hides what it costs to make the call.
STRETCH = 1 << 13


class Direction(NamedTuple):
    """Which elements are better, where none is NaN."""

    largest: bool

    def better(self, a: _Array, b: _Array) -> _Array:
        """The better of two elements."""
        better: _Array = (np.maximum if self.largest else np.minimum)(a, b)
        return better

    def worse(self, a: _Array, b: _Array) -> _Array:
        """The other one."""
        worse: _Array = (np.minimum if self.largest else np.maximum)(a, b)
        return worse

    def best(self, values: _Array, axis: int) -> _Array:
        """The best along an axis."""
        best: _Array = values.max(axis) if self.largest else values.min(axis)
        return best

    def sorted(self, values: _Array, axis: int) -> _Array:
        """The best first."""
        rising = np.sort(values, axis)
        return np.flip(rising, axis) if self.largest else rising

    def worst(self, dtype: np.dtype[Any]) -> Any:
        """What any other element is at least as good as."""
        if dtype.kind == "f":
            return -np.inf if self.largest else np.inf
        return np.iinfo(dtype).min if self.largest else np.iinfo(dtype).max


class Reaching(NamedTuple):
    """Elements at least as good as the bar of their row, in the order of row and index."""

    row: _Integers
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
        Native byte order. One row, or CHUNK elements at most.
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
    if request.exact or request.lossless:
        request = by_cheapest_buckets(request)
    found = None if request.lossless else reaching_the_candidates(values, request)
    if found is None:
        return winners(among_all(values, request), request.k)[0], exact
    reached, kept = found
    if request.exact:
        return winners(raised(reached, request.k), request.k)[0], exact
    was_kept = kept_by(kept, reached.row * request.b + bucket_of(reached.i, request), reached.key)
    best, last = winners(reached.only(was_kept), request.k)
    if request.certificate:
        row, i, key, bar = reached.only(~was_kept)
        exact[row[(key > bar[row]) | ((key == bar[row]) & (i < last[row]))]] = False
    return best, exact


def by_cheapest_buckets(request: Request) -> Request:
    """An exact request with buckets that cost least here: one `max` of each gives a good bar.

    8 k of them hold most of the true top-k. Whole rows where these are no small part of the row.
    """
    b = max(FEWEST_BUCKETS, 8 * request.k)
    if 4 * b > request.n:
        return request.by_whole_rows()
    return replace(request, b=b, kb=1, interleaved=True, exact=True)


def among_all(values: _Array, request: Request) -> Reaching:
    """What reaches the k-th best of all elements of a row."""
    keys = order_keys(values, request.largest)
    bar = kth_best(keys, request.k, True)
    places = reaching(keys, bar, True, keys.size)
    assert places is not None  # there are no more elements than that
    return Reaching(*places, keys[places], bar[:, 0])


def reaching_the_candidates(values: _Array, request: Request) -> tuple[Reaching, UintArray] | None:
    """What reaches the k-th best candidate of its row, and the keys that buckets kept.

    None where an exact answer would have to sort out so much that all elements are no more work.
    """
    k, b, kb, largest = request.k, request.b, request.kb, request.largest
    keep = keep_interleaved if request.interleaved else keep_runs
    kept = None
    if values.dtype.name not in SLOW:
        kept = keep(values, b, kb, Direction(largest))
    if kept is None:
        values, largest = order_keys(values, largest), True
        kept = keep(values, b, kb, Direction(True))
        assert kept is not None  # keys have no NaN
    bar = kth_best(np.moveaxis(kept, 0, 1).reshape(len(values), -1), k, largest)
    places = reaching(values, bar, largest, values.size // (CROWD if request.exact else 1))
    if places is None:
        return None
    key, bar = order_keys(values[places], largest), order_keys(bar, largest)
    return Reaching(*places, key, bar[:, 0]), order_keys(kept, largest)


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


def kept_by(kept: UintArray, bucket: _Integers, key: UintArray) -> _Booleans:
    """Which elements their buckets kept, of those that reach the bar, in the order of the index.

    All that are better than the worst kept one, and of its equals as many as were kept.
    """
    queues = kept.reshape(len(kept), -1)
    worst = queues[-1]
    was_kept: _Booleans = key > worst[bucket]
    equals = np.flatnonzero(key == worst[bucket])
    spots = (queues == worst).sum(axis=0)
    was_kept[equals[first_of_each(bucket[equals], spots)]] = True
    return was_kept


def keep_interleaved(values: _Array, b: int, kb: int, direction: Direction) -> _Array | None:
    """The `kb` best of each interleaved bucket, best first: shape (kb, rows, b).

    None if a NaN came in between.
    """
    rows, n = values.shape
    steps = n // b
    whole = values[:, : steps * b].reshape(rows, steps, b)
    if kb == 1:
        kept = direction.best(whole, axis=1)[None]
    elif kb > LONG_QUEUE:
        kept = _empty(kb, rows, b, values.dtype, direction)
        few = min(kb, steps)
        kept[:few] = np.moveaxis(direction.sorted(whole, axis=1)[:, :few], 1, 0)
    else:
        spread = max(1, min(STRETCH // (rows * b), steps // (2 * kb)))  # lanes to a bucket
        groups = steps // spread
        lanes = whole[:, : groups * spread].reshape(rows, groups, spread * b)
        kept = _empty(kb, rows, spread * b, values.dtype, direction)
        for group in range(groups):
            insert(kept, lanes[:, group], direction)
        if has_nan(kept):  # which would be lost in sorting
            return None
        if spread > 1:
            lanes = np.moveaxis(kept.reshape(kb, rows, spread, b), 0, 1).reshape(rows, -1, b)
            kept = np.moveaxis(direction.sorted(lanes, axis=1)[:, :kb], 1, 0).copy()
        for step in range(groups * spread, steps):
            insert(kept, whole[:, step], direction)
    rest = n - steps * b
    if rest:
        insert(kept[:, :, :rest], values[:, steps * b :], direction)
    return None if has_nan(kept) else kept


def insert(queues: _Array, elements: _Array, direction: Direction) -> None:
    """Put one element into each queue; the worst falls out."""
    for queue in queues[:-1]:
        better = direction.better(queue, elements)
        elements = direction.worse(queue, elements)
        queue[...] = better
    queues[-1] = direction.better(queues[-1], elements)


def keep_runs(values: _Array, b: int, kb: int, direction: Direction) -> _Array | None:
    """`keep_interleaved` for contiguous buckets."""
    rows, n = values.shape
    short, longer = divmod(n, b)
    kept = _empty(kb, rows, b, values.dtype, direction)
    for size, first, last in ((short + 1, 0, longer), (short, longer, b)):
        start = first * short + min(first, longer)
        chunk = max(1, CHUNK // (4 * size * rows))
        for at in range(first, last, chunk):
            end = min(at + chunk, last)
            where = slice(start + (at - first) * size, start + (end - first) * size)
            runs = values[:, where].reshape(rows, end - at, size)
            if kb == 1:
                kept[0, :, at:end] = direction.best(runs, axis=2)
                continue
            few = min(kb, size)
            best = direction.sorted(runs, axis=2)[:, :, :few]
            kept[:few, :, at:end] = np.moveaxis(best, 2, 0)
    return None if has_nan(kept) else kept


def has_nan(values: _Array) -> bool:
    """Whether NaN is among them; there is none among integers."""
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def reaching(
    values: _Array, bar: _Array, largest: bool, most: int
) -> tuple[_Integers, _Integers] | None:
    """Rows and indices of the elements at least as good as their row's `bar`, in their order.

    None if there are more than `most`.
    """
    found, count = [], 0
    for start in range(0, values.shape[1], CHUNK):
        chunk = values[:, start : start + CHUNK]
        reach = np.flatnonzero(chunk >= bar if largest else chunk <= bar)
        count += len(reach)
        if count > most:
            return None
        row, i = np.divmod(reach, chunk.shape[1])
        found.append((row, i + start))
    row, i = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row, i


def bucket_of(i: _Integers, request: Request) -> _Integers:
    """The bucket that holds element `i`."""
    if request.interleaved:
        return i % request.b
    short, longer = divmod(request.n, request.b)
    return np.where(i < longer * (short + 1), i // (short + 1), (i - longer) // max(short, 1))


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


def _empty(kb: int, rows: int, b: int, dtype: np.dtype[Any], direction: Direction) -> _Array:
    return np.full((kb, rows, b), direction.worst(dtype), dtype)


def workspace(request: Request) -> int:
    """Bytes of temporary arrays, for elements of 8 bytes and the fewest possible ties."""
    rows = min(request.rows, max(1, CHUNK // request.n))
    candidates = request.n if request.lossless else request.candidates
    return rows * (40 * candidates + 64 * request.k) + 16 * CHUNK
