"""Wrong selections, each a small edit of a right one: laws that let one live test nothing.

`Selection` is bucketed top-k as a kernel does it: a queue per bucket, into which elements are
inserted one by one. `MUTANTS` says which laws kill each of its mutants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import approxtopk

from .case import as_numbers, as_rows
from .dtypes import FLOATS, Array, specials
from .oracle import Number

Key = tuple[int, Number]  #: greater for an element to be selected earlier, whatever it is
Entry = tuple[Key, int]  #: an element in a queue: its key and its index
NOTHING: Entry = ((-2, 0), -1)


class Selection:
    """A right selection, in steps that a mutant can get wrong."""

    def __call__(
        self,
        array: Array,
        k: int,
        *,
        b: int | None = None,
        kb: int | None = None,
        recall: float | None = None,
        axis: int = -1,
        largest: bool = True,
        sorted: bool = False,
        interleaved: bool = True,
    ) -> tuple[Array, Array]:
        """Select like `approxtopk.topk`, from NumPy arrays."""
        plan = approxtopk.plan(array.shape[axis], k, recall=recall, b=b, kb=kb)
        rows = self.read(array, axis)
        best = np.array(
            [self.select(numbers, plan, largest, interleaved, rows.dtype.name)
             for numbers in self.numbers(rows)], np.int64
        ).reshape(len(rows), k)  # fmt: skip
        values = self.values(np.take_along_axis(rows, best, axis=1))
        shape = np.moveaxis(array, axis, -1).shape[:-1]
        indices = self.indices(best)
        out = (np.moveaxis(a.reshape(*shape, k), -1, axis) for a in (values, indices))
        return next(out), next(out)

    def read(self, array: Array, axis: int) -> Array:
        """The rows of an array."""
        return as_rows(array, axis)

    def numbers(self, rows: Array) -> list[list[Number]]:
        """What is compared, row by row."""
        return [as_numbers(row) for row in rows]

    def select(
        self,
        numbers: list[Number],
        plan: approxtopk.Plan,
        largest: bool,
        interleaved: bool,
        dtype: str,
    ) -> list[int]:
        """Indices of one row's selection, best first."""
        first = self.empty(specials(dtype), largest)
        queues = [[first] * self.length(plan.kb) for _ in range(plan.b)]
        for i in range(self.end(plan.n, plan.b)):
            queue = queues[self.bucket(i, plan.n, plan.b, interleaved)]
            self.insert(queue, (self.key(numbers[i], largest), i))
        kept = [entry for queue in self.merged(queues) for entry in queue if entry[1] >= 0]
        by_index = sorted(kept, key=lambda entry: entry[1])
        best = sorted(by_index, key=lambda entry: entry[0], reverse=True)[: plan.k]
        return [i for _, i in best] + [0] * (plan.k - len(best))  # memory starts as zeros

    def key(self, x: Number, largest: bool) -> Key:
        """NaN is above everything, and last where the smallest are wanted."""
        if x != x:
            return (1, 0) if largest else (-1, 0)
        return (0, x) if largest else (0, -x)

    def empty(self, special: Any, largest: bool) -> Entry:
        """What a queue holds at first: worse than any element, and dropped in the end."""
        return NOTHING

    def length(self, kb: int) -> int:
        """How many elements a queue holds."""
        return kb

    def end(self, n: int, b: int) -> int:
        """How many elements are read."""
        return n

    def bucket(self, i: int, n: int, b: int, interleaved: bool) -> int:
        """The bucket of element `i`."""
        if interleaved:
            return i % b
        short, longer = divmod(n, b)
        of_longer = longer * (short + 1)
        return i // (short + 1) if i < of_longer else longer + (i - of_longer) // short

    def better(self, new: Key, old: Key) -> bool:
        """Whether a new element goes before one that is in the queue."""
        return new > old

    def insert(self, queue: list[Entry], entry: Entry) -> None:
        """Put an element in its place; the last one drops out."""
        place = len(queue)
        while place and self.better(entry[0], queue[place - 1][0]):
            place -= 1
        queue.insert(place, entry)
        queue.pop()

    def merged(self, queues: list[list[Entry]]) -> list[list[Entry]]:
        """The queues that stage 2 reads."""
        return queues

    def values(self, values: Array) -> Array:
        """The values to report."""
        return values

    def indices(self, best: Array) -> Array:
        """The indices to report."""
        return best


class LowestAsInitialValue(Selection):
    """Queues start with the lowest finite value, so that -inf and INT_MIN never get in."""

    def empty(self, special: Any, largest: bool) -> Entry:
        (worst,) = as_numbers(np.array([special.lowest if largest else special.greatest]))
        return self.key(worst, largest), 0


class NanIgnored(Selection):
    """No comparison with a NaN is true, so it is never selected before anything."""

    def key(self, x: Number, largest: bool) -> Key:
        return (-1, 0) if x != x else super().key(x, largest)


class NanKeptThenDisplaced(Selection):
    """``not (new <= old)`` lets a NaN in, and then anything before it."""

    def better(self, new: Key, old: Key) -> bool:
        return new[0] == 1 or old[0] == 1 or new > old


class DroppedTail(Selection):
    """The last n % b elements are not read."""

    def end(self, n: int, b: int) -> int:
        return n - n % b


class OneTooManyPerBucket(Selection):
    """Queues are kb + 1 long."""

    def length(self, kb: int) -> int:
        return kb + 1


class SwappedInterleave(Selection):
    """Interleaved buckets are contiguous, and the other way round."""

    def bucket(self, i: int, n: int, b: int, interleaved: bool) -> int:
        return super().bucket(i, n, b, not interleaved)


class OffByOneIndex(Selection):
    """Indices count from one."""

    def indices(self, best: Array) -> Array:
        return best + 1


class HalfPrecisionCompare(Selection):
    """Values are compared after rounding to float16."""

    def numbers(self, rows: Array) -> list[list[Number]]:
        with np.errstate(all="ignore"):
            return super().numbers(rows.astype(np.float16))


class LargestIgnored(Selection):
    """The largest are selected, always."""

    def key(self, x: Number, largest: bool) -> Key:
        return super().key(x, True)


class MinusZeroNormalised(Selection):
    """Values are the right ones, but -0.0 comes out as 0.0."""

    def values(self, values: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.where(values == 0, np.zeros_like(values), values)


class DuplicateIndex(Selection):
    """The last element of a row is its first once more."""

    def indices(self, best: Array) -> Array:
        best[:, -1:] = best[:, :1]
        return best


class FlushToZero(Selection):
    """Denormals are compared as zeros."""

    def numbers(self, rows: Array) -> list[list[Number]]:
        if rows.dtype.name not in FLOATS:
            return super().numbers(rows)
        least = float(specials(rows.dtype.name).greatest_denormal)
        return [[0.0 if abs(x) <= least else x for x in row] for row in super().numbers(rows)]


class LastIndexOnTies(Selection):
    """An element goes before an equal one that came earlier."""

    def better(self, new: Key, old: Key) -> bool:
        return new >= old


class RowStrideIgnored(Selection):
    """Every row is selected by the first row's values."""

    def numbers(self, rows: Array) -> list[list[Number]]:
        return super().numbers(np.broadcast_to(rows[:1], rows.shape))


class StridesIgnored(Selection):
    """Memory is read from its first byte on, as if the array were contiguous."""

    def read(self, array: Array, axis: int) -> Array:
        ahead = array[tuple(slice(None, None, -1 if step < 0 else 1) for step in array.strides)]
        steps = zip(ahead.shape, ahead.strides, strict=True)
        size = 1 + sum((length - 1) * step for length, step in steps) // array.itemsize
        memory = np.lib.stride_tricks.as_strided(ahead, (size,), (array.itemsize,))
        return as_rows(np.resize(memory, array.shape), axis)


class Racing(Selection):
    """Every other call breaks ties the other way, as threads may that don't wait."""

    def __init__(self) -> None:
        self.calls = 0

    def read(self, array: Array, axis: int) -> Array:
        self.calls += 1
        return super().read(array, axis)

    def better(self, new: Key, old: Key) -> bool:
        return new >= old if self.calls % 2 else new > old


class WideBucketsLost(Selection):
    """Only the first 16 buckets are merged, as if one group of threads held them all."""

    def merged(self, queues: list[list[Entry]]) -> list[list[Entry]]:
        return queues[:16]


class LongQueueUnsorted(Selection):
    """A queue longer than 3 has no code of its own and keeps what comes first."""

    def better(self, new: Key, old: Key) -> bool:
        return (self._short and new > old) or old == NOTHING[0]

    def insert(self, queue: list[Entry], entry: Entry) -> None:
        self._short = len(queue) <= 3
        super().insert(queue, entry)


#: Each mutant, and the laws that kill it.
MUTANTS: dict[type[Selection], str] = {
    LowestAsInitialValue: "bcdfghijkq",
    NanIgnored: "cefghijq",
    NanKeptThenDisplaced: "ceghikq",
    DroppedTail: "bcdefhjkq",
    OneTooManyPerBucket: "cdhq",
    SwappedInterleave: "cdhkq",
    OffByOneIndex: "abcdefhjq",
    HalfPrecisionCompare: "cefghijkmq",
    LargestIgnored: "cefhijq",
    MinusZeroNormalised: "aq",
    DuplicateIndex: "abcdfhjq",
    FlushToZero: "cefghikq",
    LastIndexOnTies: "cefhq",
    RowStrideIgnored: "cefhjknq",
    StridesIgnored: "acefghijklmnoq",
    Racing: "nop",
    WideBucketsLost: "bcdefhjklq",
    LongQueueUnsorted: "cfhkq",
}
