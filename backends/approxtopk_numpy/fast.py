"""Bucketed top-k with NumPy's own SIMD loops: maxima first, indices only for the winners.

It says the same as `reference`, which checks it. Stage 1 keeps values alone; the k-th best of
them is the bar that a winner has to reach, and the few elements of the row that do are looked up.
A bucket may hold more of these than it kept, and more may tie with the bar than are wanted; in
both cases the first ones win.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk import Request

from .keys import UintArray, order_keys

_Array = NDArray[Any]
_Integers = NDArray[np.int64]

#: Types that NumPy compares one by one: their keys are compared instead.
SLOW = ("float16", "bfloat16")

#: Elements looked at together: as many as leave temporary arrays in the processor's cache.
CHUNK = 1 << 18

#: Queues longer than that are filled by sorting.
LONG_QUEUE = 16

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


def select(values: _Array, request: Request) -> _Integers:
    """Indices of the selected elements of each row: ascending, or best first if asked for.

    Parameters
    ----------
    values : ndarray, shape (rows, n)
        Native byte order. One row, or CHUNK elements at most.
    request : Request
        Of any number of rows.
    """
    with np.errstate(invalid="ignore"):  # comparing a signalling NaN
        best = ascending(values, request)
    if not request.sorted:
        return best
    keys = order_keys(np.take_along_axis(values, best, axis=1), request.largest)
    return np.take_along_axis(best, np.argsort(~keys, axis=1, kind="stable"), axis=1)


def ascending(values: _Array, request: Request) -> _Integers:
    """Indices of the selected elements of each row, ascending."""
    k, b, kb, largest = request.k, request.b, request.kb, request.largest
    rows, n = values.shape
    exact = kb >= min(k, -(-n // b))  # then no bucket can lose a winner
    keep = keep_interleaved if request.interleaved else keep_runs
    kept = None
    if not exact and values.dtype.name not in SLOW:
        kept = keep(values, b, kb, Direction(largest))
    if kept is None:
        values, largest = order_keys(values, largest), True
        kept = values[None] if exact else keep(values, b, kb, Direction(True))
        assert kept is not None  # keys have no NaN
    bar = kth_best(np.moveaxis(kept, 0, 1).reshape(rows, -1), k, largest)
    row, i = reaching(values, bar, largest)
    key = order_keys(values[row, i], largest)
    if not exact:
        bucket = row * b + (i % b if request.interleaved else run_of(i, n, b))
        was_kept = kept_by(order_keys(kept, largest), bucket, key)
        row, i, key = row[was_kept], i[was_kept], key[was_kept]
    bar_key = order_keys(bar, largest)[:, 0]
    wins = key > bar_key[row]
    wanted = k - np.bincount(row[wins], minlength=rows)
    ties = np.flatnonzero(~wins)
    wins[ties[first_of_each(row[ties], wanted)]] = True
    return i[wins].reshape(rows, k)


def kth_best(candidates: _Array, k: int, largest: bool) -> _Array:
    """The `k`-th best of each row, as a column."""
    at = candidates.shape[1] - k if largest else k - 1
    return np.partition(candidates, at, axis=1)[:, [at]]


def kept_by(kept: UintArray, bucket: _Integers, key: UintArray) -> NDArray[np.bool_]:
    """Which elements their buckets kept, of those that reach the bar, in the order of the index.

    All that are better than the worst kept one, and of its equals as many as were kept.
    """
    queues = kept.reshape(len(kept), -1)
    worst = queues[-1]
    was_kept: NDArray[np.bool_] = key > worst[bucket]
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


def reaching(values: _Array, bar: _Array, largest: bool) -> tuple[_Integers, _Integers]:
    """Rows and indices of the elements at least as good as their row's `bar`, in their order."""
    found = []
    for start in range(0, values.shape[1], CHUNK):
        chunk = values[:, start : start + CHUNK]
        reach = np.flatnonzero(chunk >= bar if largest else chunk <= bar)
        row, i = np.divmod(reach, chunk.shape[1])
        found.append((row, i + start))
    row, i = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row, i


def run_of(i: _Integers, n: int, b: int) -> _Integers:
    """The contiguous bucket that holds element `i`."""
    short, longer = divmod(n, b)
    return np.where(i < longer * (short + 1), i // (short + 1), (i - longer) // max(short, 1))


def first_of_each(group: _Integers, wanted: _Integers) -> NDArray[np.bool_]:
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
    candidates = request.n if request.exact else request.candidates
    return rows * (40 * candidates + 64 * request.k) + 16 * CHUNK
