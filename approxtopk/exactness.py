"""How often an answer isn't exact, and what repairing it reads again: pure arithmetic, no arrays.

An answer's worst element is τ. A bucket is *flagged* if it is longer than kb and kb elements of the
answer, τ not counted, lie in it: it may have dropped something better than τ. On randomly ordered
values the number X of elements of a bucket of s that are among the best t is hypergeometric,
``X ~ Hypergeometric(n, t, s)``, so of each bucket is known

    P(it drops one of the true top-k) = P(X > kb),  t = k
    P(it is flagged) = P(X >= kb),  t = T - 1,  where τ is the T-th best of the row

The answer tells which buckets are flagged. Some of them *hide* something, having dropped an element
that is better than τ; which do, only who keeps track of what is dropped can know:

    P(it hides something) = P(X > kb),  t = T - 1, or k if that is more: where any is hidden,
                                        τ is behind the k-th

Two things are approximations, both of no account near recall 1. T is taken as the number that
fills the answer in expectation, ``sum over buckets of E[min(kb, X)] = k`` with t = T; it is k where
nothing is dropped. And a row is taken to keep its top-k as if its buckets did so independently:
they are negatively associated, so the true probability of a repair lies between the one given here
and the sum over the buckets.
"""

from __future__ import annotations

import math
from functools import lru_cache

from .hypergeometric import expected_recall, probability


def repair_probability(n: int, k: int, b: int, kb: int) -> float:
    """Probability that the answer of stages 1 and 2 isn't the true top-k of a row."""
    all_keep = 0.0  # log of the probability
    for count, s in _sizes(n, b):
        drops = tail(kb + 1, n, k, s)
        if drops >= 1.0:
            return 1.0
        all_keep += count * math.log1p(-drops)
    return abs(math.expm1(all_keep))


def read_again(n: int, k: int, b: int, kb: int) -> float:
    """Expected number of elements of a row that are in flagged buckets."""
    if k == 0:
        return 0.0
    better = place_of_worst(n, k, b, kb) - 1
    expected = sum(count * s * tail(kb, n, better, s) for count, s in _sizes(n, b) if s > kb)
    return min(expected, float(most_read_again(n, k, b, kb)))


def read_in_groups(n: int, k: int, b: int, kb: int, group: int) -> float:
    """Expected number of elements in groups of so many buckets, where one of these hides any."""
    chances = _chances(n, k, b, kb)
    expected = sum(elements * any_of(group, hides) for elements, _, hides in chances)
    return min(expected, float(n), float(group * most_read_again(n, k, b, kb)))


def flagged_in_groups(n: int, k: int, b: int, kb: int, group: int) -> float:
    """Expected number of elements in flagged buckets of such groups."""
    expected = 0.0
    for elements, flagged, hides in _chances(n, k, b, kb):
        expected += elements * (hides + (flagged - hides) * any_of(group - 1, hides))
    return min(expected, float(most_read_again(n, k, b, kb)))


def flagged_if_missed(n: int, k: int, b: int, kb: int) -> float:
    """Expected number of elements in flagged buckets of rows that hide any; 0 for other rows."""
    missed, expected = repair_probability(n, k, b, kb), 0.0
    for elements, flagged, hides in _chances(n, k, b, kb):
        expected += elements * (hides + (flagged - hides) * missed)
    return min(expected, float(most_read_again(n, k, b, kb)))


def hides_more(n: int, k: int, b: int, kb: int, most: int) -> float:
    """Probability that a row hides more than so many elements, as if these were independent."""
    mean = place_of_worst(n, k, b, kb) - k
    return math.erfc((most + 0.5 - mean) / math.sqrt(2 * mean)) / 2 if mean else 0.0


def most_read_again(n: int, k: int, b: int, kb: int) -> int:
    """The greatest number of elements of a row in flagged buckets, whatever its order.

    Each has kb of the k - 1 elements of the answer that are better than τ.
    """
    left = min((k - 1) // kb, b) if k else 0
    total = 0
    for count, s in reversed(_sizes(n, b)):
        if s > kb:
            total += min(left, count) * s
            left -= min(left, count)
    return total


def estimates(n: int, k: int, b: int, kb: int) -> tuple[float, float]:
    """`repair_probability` and `read_again` for a planner in a hurry: T = k, buckets of one size.

    The longer of the two sizes. One series gives both, and a plan is looked at some thirty times.
    """
    s = -(-n // b)
    if s <= kb:
        return 0.0, 0.0
    more = tail(kb + 1, n, k, s)
    flagged = more + probability(kb, n, k, s)
    return -math.expm1(-b * more), min(n * flagged, float(most_read_again(n, k, b, kb)))


@lru_cache(maxsize=4096)
def place_of_worst(n: int, k: int, b: int, kb: int) -> int:
    """The place among all elements, counted from 1, at which k have been kept in expectation.

    By Newton's method from below: each of the next elements is kept with probability 1 at most.
    """
    place = k
    while place < n:
        missing = k - place * expected_recall(n, place, b, kb)
        if missing < 0.5:
            break
        place = min(n, place + math.ceil(missing))
    return place


def tail(x: int, n: int, k: int, s: int) -> float:
    """Hypergeometric P(X >= x), summed over the side on which the terms fall from x on."""
    rest, most = n - k - s, min(k, s)
    if x <= max(0, -rest):
        return 1.0
    if x > most:
        return 0.0
    total = 0.0
    if x * n > k * s:
        p = probability(x, n, k, s)
        while p > 1e-18 * total:
            total += p
            p *= (k - x) * (s - x) / ((x + 1) * (rest + x + 1))
            x += 1
        return min(1.0, total)
    x -= 1
    p = probability(x, n, k, s)
    while p > 1e-18 * total:
        total += p
        p *= x * (rest + x) / ((k - x + 1) * (s - x + 1))
        x -= 1
    return max(0.0, 1.0 - total)


def any_of(number: int, probability: float) -> float:
    """Probability that of so many independent events any happens."""
    if probability >= 1.0:
        return float(number > 0)
    return -math.expm1(number * math.log1p(-probability))


def _chances(n: int, k: int, b: int, kb: int) -> list[tuple[int, float, float]]:
    """Elements of all buckets of a size; the probabilities that one is flagged, and hides any."""
    better = max(k, place_of_worst(n, k, b, kb) - 1)
    return [
        (count * s, tail(kb, n, better, s), tail(kb + 1, n, better, s))
        for count, s in _sizes(n, b)
        if s > kb
    ]


def _sizes(n: int, b: int) -> list[tuple[int, int]]:
    """How many buckets there are of each size, the shorter first."""
    short, longer = divmod(n, b)
    return [(b - longer, short), (longer, short + 1)] if longer else [(b, short)]
