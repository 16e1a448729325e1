"""Stage 1 with NumPy's own SIMD loops: the best values of each bucket, without their indices.

Rows are read a part at a time, so that what has to be converted (other byte orders, types that
NumPy compares slowly, NaN) is never there as a whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .keys import UintArray, order_keys

_Array = NDArray[Any]

#: Types that NumPy compares one by one: their keys are compared instead.
SLOW = ("float16", "bfloat16")

#: The least number above zero; a processor can be told to take such for zero.
LEAST = np.array([1], np.uint32).view(np.float32)

#: Elements looked at together: as many as leave temporary arrays in the processor's cache.
CHUNK = 1 << 18

#: A row is read in 24 parts, but in none shorter than that.
SHORT_PART = 1 << 16

#: Queues longer than that are filled by sorting.
LONG_QUEUE = 16

#: One call on a stretch of this many elements hides what it costs to make the call.
STRETCH = 1 << 13


def rather_keys(dtype: np.dtype[Any]) -> bool:
    """Whether to compare keys: elements would be slow or, as this thread is told, wrong."""
    return dtype.name in SLOW or (dtype.kind == "f" and not np.greater(LEAST, 0)[0])


def part(rows: int, n: int) -> int:
    """How many elements of rows of `n` are read at once, where reading takes memory."""
    return n if rows > 1 else min(n, CHUNK, max(SHORT_PART, n // 24))


def run_elements(rows: int, n: int) -> int:
    """How many elements of contiguous buckets are sorted at once."""
    return min(rows * part(rows, n), CHUNK // 4)


class Direction(NamedTuple):
    """Which elements are better, where none is NaN."""

    largest: bool

    def better(self, a: _Array, b: _Array, out: _Array | None = None) -> _Array:
        """The better of two elements."""
        better: _Array = (np.maximum if self.largest else np.minimum)(a, b, out=out)
        return better

    def worse(self, a: _Array, b: _Array) -> _Array:
        """The other one."""
        worse: _Array = (np.minimum if self.largest else np.maximum)(a, b)
        return worse

    @property
    def as_good(self) -> np.ufunc:
        """Whether elements are at least as good as others."""
        as_good: np.ufunc = np.greater_equal if self.largest else np.less_equal
        return as_good

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


class Reader(NamedTuple):
    """How elements are read to be compared: as they are, or as keys."""

    largest: bool
    as_keys: bool

    def __call__(self, values: _Array) -> _Array:
        """Some elements, in native byte order: no copy where there is nothing to do."""
        if self.as_keys:
            return order_keys(values, self.largest)
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def copies(self, values: _Array) -> bool:
        """Whether reading takes memory."""
        return self.as_keys or not values.dtype.isnative

    def dtype(self, values: _Array) -> np.dtype[Any]:
        """The type of what is read."""
        return self(values[:, :1]).dtype

    @property
    def direction(self) -> Direction:
        """Which of what was read is better."""
        return Direction(self.largest or self.as_keys)

    def keys(self, read: _Array) -> UintArray:
        """The keys of what was read."""
        return read if self.as_keys else order_keys(read, self.largest)

    def rising(self, read: _Array) -> _Array:
        """What was read, as numbers that are greater if better: what costs least."""
        if self.direction.largest:
            return read
        return -read if read.dtype.kind == "f" else ~read


def keep_interleaved(values: _Array, b: int, kb: int, read: Reader) -> _Array | None:
    """The `kb` best of each interleaved bucket, best first: shape (kb, rows, b).

    None if a NaN came in between.
    """
    rows, n = values.shape
    steps, direction = n // b, read.direction
    whole = values[:, : steps * b].reshape(rows, steps, b)  # a view, whatever the strides
    spread = 1  # lanes to a bucket
    if kb == 1:
        kept = _best_of_steps(whole, read)[None]
    elif kb > LONG_QUEUE:
        kept = _sorted_steps(whole, kb, read)
    else:
        spread = max(1, min(STRETCH // (rows * b), steps // (2 * kb)))
        groups = steps // spread
        lanes = whole[:, : groups * spread].reshape(rows, groups, spread * b)
        kept = _empty(kb, rows, spread * b, read.dtype(values), direction)
        for group in range(groups):
            insert(kept, read(lanes[:, group]), direction)
        if has_nan(kept):  # which would be lost in sorting
            return None
        if spread > 1:
            lanes = np.moveaxis(kept, 0, 1).reshape(rows, -1, b)
            kept = np.moveaxis(direction.sorted(lanes, axis=1)[:, :kb], 1, 0).copy()
        for step in range(groups * spread, steps):
            insert(kept, read(whole[:, step]), direction)
    rest = n - steps * b
    if rest:
        insert(kept[:, :, :rest], read(values[:, steps * b :]), direction)
    return None if has_nan(kept) else kept


def _best_of_steps(whole: _Array, read: Reader) -> _Array:
    """The best of each bucket, for elements of shape (rows, steps, b)."""
    rows, steps, b = whole.shape
    chunk = max(1, part(rows, steps * b) // b) if read.copies(whole) else steps
    kept = read.direction.best(read(whole[:, :chunk]), axis=1)
    for at in range(chunk, steps, chunk):
        best = read.direction.best(read(whole[:, at : at + chunk]), axis=1)
        read.direction.better(kept, best, out=kept)
    return kept


def _sorted_steps(whole: _Array, kb: int, read: Reader) -> _Array:
    """The best of each bucket, where queues would take longer than sorting."""
    rows, steps, b = whole.shape
    kept = _empty(kb, rows, b, read.dtype(whole[:, 0]), read.direction)
    few = min(kb, steps)
    chunk = max(1, part(rows, steps * b) // steps)
    for at in range(0, b, chunk):
        best = read.direction.sorted(read(whole[:, :, at : at + chunk]), axis=1)
        kept[:few, :, at : at + chunk] = np.moveaxis(best[:, :few], 1, 0)
    return kept


def insert(queues: _Array, elements: _Array, direction: Direction) -> None:
    """Put one element into each queue; the worst falls out."""
    for queue in queues[:-1]:
        worse = direction.worse(queue, elements)
        direction.better(queue, elements, out=queue)
        elements = worse
    direction.better(queues[-1], elements, out=queues[-1])


def keep_runs(values: _Array, b: int, kb: int, read: Reader) -> _Array | None:
    """`keep_interleaved` for contiguous buckets."""
    rows, n = values.shape
    short, longer = divmod(n, b)
    kept = _empty(kb, rows, b, read.dtype(values), read.direction)
    for size, first, last in ((short + 1, 0, longer), (short, longer, b)):
        start = first * short + min(first, longer)
        chunk = max(1, run_elements(rows, n) // (rows * size))
        for at in range(first, last, chunk):
            end = min(at + chunk, last)
            where = slice(start + (at - first) * size, start + (end - first) * size)
            runs = read(values[:, where]).reshape(rows, end - at, size)
            if kb == 1:
                kept[0, :, at:end] = read.direction.best(runs, axis=2)
                continue
            few = min(kb, size)
            best = read.direction.sorted(runs, axis=2)[:, :, :few]
            kept[:few, :, at:end] = np.moveaxis(best, 2, 0)
    return None if has_nan(kept) else kept


def has_nan(values: _Array) -> bool:
    """Whether NaN is among them; there is none among integers."""
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def _empty(kb: int, rows: int, b: int, dtype: np.dtype[Any], direction: Direction) -> _Array:
    """Queues that anything gets into; those of a row lie together, as stage 2 wants them."""
    return np.moveaxis(np.full((rows, kb, b), direction.worst(dtype), dtype), 1, 0)
