"""Wrong selections, each a small edit of a right one: laws that let one live test nothing.

`MUTANTS` says which laws kill each of the mutants of `Selection`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import approxtopk

from .case import as_numbers, as_rows
from .dtypes import FLOATS, Array, specials
from .oracle import Number
from .selection import NOTHING, Entry, Key, Selection


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


class CertificateForAll(Selection):
    """A bucket is flagged once it has more of the answer than it can have."""

    def flagged(self, size: int, beating: int, kb: int) -> bool:
        return size > kb and beating > kb


class HiddenTiesLost(Selection):
    """What equals the worst of the answer is never better, however low its index."""

    def beats(self, entry: Entry, worst: Entry) -> bool:
        return entry[0] > worst[0]


class HiddenTiesAll(Selection):
    """What equals the worst of the answer is better, however high its index."""

    def beats(self, entry: Entry, worst: Entry) -> bool:
        return entry[0] >= worst[0]

    def repairs(self, plan: approxtopk.Plan) -> bool:
        return False


class FlagIsEnough(Selection):
    """A flagged bucket is taken for one that hides something, unread."""

    def proved(self, flagged: int, hidden: list[Entry]) -> bool:
        return flagged == 0


class OneHiddenElement(Selection):
    """A repair takes the first element that a row hides, and leaves the others."""

    def look_again(self, *how: Any) -> tuple[int, list[Entry]]:
        flagged, hidden = super().look_again(*how)
        return flagged, hidden[:1]


class FirstFlaggedBucket(Selection):
    """Only the first flagged bucket is read again."""

    def look_again(self, *how: Any) -> tuple[int, list[Entry]]:
        self._first = True
        return super().look_again(*how)

    def flagged(self, size: int, beating: int, kb: int) -> bool:
        flagged = self._first and super().flagged(size, beating, kb)
        self._first = self._first and not flagged
        return flagged


class NeverRepaired(Selection):
    """``recall=1.0`` answers as any recall does."""

    def repairs(self, plan: approxtopk.Plan) -> bool:
        return False


class CertificateOfTheFirstRow(Selection):
    """All rows have the certificate of the first."""

    def certificates(self, proved: list[bool]) -> list[bool]:
        return proved[:1] * len(proved)


class RepairedUnasked(Selection):
    """A call for a certificate gets the exact answer."""

    def __call__(self, *args: Any, **how: Any) -> tuple[Array, ...]:
        if how.get("certificate"):
            how["recall"] = 1.0
        return super().__call__(*args, **how)


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
    CertificateForAll: "rt",
    HiddenTiesLost: "rt",
    HiddenTiesAll: "s",
    FlagIsEnough: "s",
    OneHiddenElement: "t",
    FirstFlaggedBucket: "rt",
    NeverRepaired: "t",
    CertificateOfTheFirstRow: "rs",
    RepairedUnasked: "u",
}
