"""`Selection`: bucketed top-k as a kernel does it, in steps that a mutant can get wrong.

A queue per bucket, into which elements are inserted one by one; the best of what the queues hold;
and a second look into the buckets that may have dropped something better than the worst of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import approxtopk

from .case import as_numbers, as_rows
from .dtypes import Array, specials
from .oracle import Number

Key = tuple[int, Number]  #: greater for an element to be selected earlier, whatever it is
Entry = tuple[Key, int]  #: an element in a queue: its key and its index
NOTHING: Entry = ((-2, 0), -1)


class Selection:
    """A right selection."""

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
        certificate: bool = False,
    ) -> tuple[Array, ...]:
        """Select like `approxtopk.topk`, from NumPy arrays."""
        plan = approxtopk.plan(array.shape[axis], k, recall=recall, b=b, kb=kb)
        rows = self.read(array, axis)
        found = [
            self.select(numbers, plan, largest, interleaved, rows.dtype.name)
            for numbers in self.numbers(rows)
        ]
        best = np.array([indices for indices, _ in found], np.int64).reshape(len(rows), k)
        exact = self.certificates([proved for _, proved in found])
        values = self.values(np.take_along_axis(rows, best, axis=1))
        shape = np.moveaxis(array, axis, -1).shape[:-1]
        arrays = (a.reshape(*shape, k) for a in (values, self.indices(best)))
        out = tuple(np.moveaxis(a, -1, axis) for a in arrays)
        return (*out, np.array(exact, np.bool_).reshape(shape)) if certificate else out

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
    ) -> tuple[list[int], bool]:
        """Indices of one row's selection, best first, and whether it is exact."""
        first = self.empty(specials(dtype), largest)
        queues = [[first] * self.length(plan.kb) for _ in range(plan.b)]
        buckets: list[list[Entry]] = [[] for _ in range(plan.b)]
        for i in range(self.end(plan.n, plan.b)):
            bucket = self.bucket(i, plan.n, plan.b, interleaved)
            buckets[bucket].append((self.key(numbers[i], largest), i))
            self.insert(queues[bucket], buckets[bucket][-1])
        kept = [entry for queue in self.merged(queues) for entry in queue if entry[1] >= 0]
        best = in_order(kept)[: plan.k]
        flagged, hidden = self.look_again(best, buckets, plan.kb) if best else (0, [])
        proved = self.proved(flagged, hidden)
        if self.repairs(plan):
            best, proved = in_order([*best, *hidden])[: plan.k], True
        indices = [i for _, i in best]
        return indices + [0] * (plan.k - len(best)), proved  # memory starts as zeros

    def look_again(
        self, best: list[Entry], buckets: list[list[Entry]], kb: int
    ) -> tuple[int, list[Entry]]:
        """How many buckets are flagged, and what they hide that beats the answer's worst."""
        taken, worst, flagged, hidden = set(best), best[-1], 0, []
        for bucket in buckets:
            beating = len(taken.difference([worst]).intersection(bucket))
            if self.flagged(len(bucket), beating, kb):
                flagged += 1
                hidden += [e for e in bucket if e not in taken and self.beats(e, worst)]
        return flagged, hidden

    def proved(self, flagged: int, hidden: list[Entry]) -> bool:
        """Whether stages 1 and 2 were enough."""
        return not hidden

    def flagged(self, size: int, beating: int, kb: int) -> bool:
        """Whether a bucket with so many elements better than the answer's worst may hide one."""
        return size > kb and beating == kb

    def beats(self, entry: Entry, worst: Entry) -> bool:
        """Whether an element is better than the worst of the answer, by its index among equals."""
        return entry[0] > worst[0] or (entry[0] == worst[0] and entry[1] < worst[1])

    def repairs(self, plan: approxtopk.Plan) -> bool:
        """Whether what was hidden joins the answer."""
        return plan.exact

    def certificates(self, proved: list[bool]) -> list[bool]:
        """The certificates of all rows."""
        return proved

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


def in_order(entries: list[Entry]) -> list[Entry]:
    """The best first, by index among equals."""
    by_index = sorted(entries, key=lambda entry: entry[1])
    return sorted(by_index, key=lambda entry: entry[0], reverse=True)
