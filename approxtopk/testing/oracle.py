"""Bucketed top-k by brute force: loops, tuples and Python's own sort, nothing clever.

It shares no code and no idea with any backend, the NumPy reference included: no bit operations, no
arrays. A row is a list of Python numbers, an element is a pair (value, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

Number = int | float
Element = tuple[Number, int]


def greater(x: Number, y: Number) -> bool:
    """Whether x is above y in the order -inf < finite < +inf < NaN, in which all NaNs tie."""
    x_is_nan, y_is_nan = x != x, y != y
    if x_is_nan or y_is_nan:
        return x_is_nan and not y_is_nan
    return x > y


def before(one: Element, other: Element, largest: bool) -> bool:
    """Whether one element is selected before another: the better, among equals the earlier."""
    if greater(one[0], other[0]):
        return largest
    if greater(other[0], one[0]):
        return not largest
    return one[1] < other[1]


def best_first(elements: Sequence[Element], largest: bool) -> list[Element]:
    """All elements in the order of selection, which is that of `before`.

    Python's sort leaves equal elements in their order, also in reverse; NaN it can't compare.
    """
    by_index = sorted(elements, key=itemgetter(1))
    numbers = [element for element in by_index if element[0] == element[0]]
    nans = [element for element in by_index if element[0] != element[0]]
    numbers.sort(key=itemgetter(0), reverse=largest)
    return nans + numbers if largest else numbers + nans


def buckets(n: int, b: int, interleaved: bool) -> list[list[int]]:
    """The indices in each bucket."""
    found: list[list[int]] = [[] for _ in range(b)]
    if interleaved:
        for i in range(n):
            found[i % b].append(i)
        return found
    i = 0
    for bucket in range(b):
        for _ in range(n // b + (1 if bucket < n % b else 0)):
            found[bucket].append(i)
            i += 1
    return found


def exact(row: Sequence[Number], k: int, largest: bool) -> list[int]:
    """Indices of the true top-k, best first."""
    elements = [(value, i) for i, value in enumerate(row)]
    return [i for _, i in best_first(elements, largest)[:k]]


def topk(
    row: Sequence[Number], k: int, b: int, kb: int, largest: bool, interleaved: bool
) -> list[int]:
    """Indices that `approxtopk.topk` must select, best first."""
    candidates: list[Element] = []
    for bucket in buckets(len(row), b, interleaved):
        candidates += best_first([(row[i], i) for i in bucket], largest)[:kb]
    return [i for _, i in best_first(candidates, largest)[:k]]


def ranks(values: Sequence[Number]) -> list[int]:
    """How many different values lie below each: equal for ties, rising with the order."""
    ascending = best_first([(value, i) for i, value in enumerate(values)], largest=False)
    found = [0] * len(values)
    rank = 0
    for previous, (value, i) in zip([None, *ascending], ascending, strict=False):
        if previous is not None and greater(value, previous[0]):
            rank += 1
        found[i] = rank
    return found
