"""Expected recall of bucketed top-k: pure arithmetic, no arrays.

A bucket of ``s`` out of ``n`` elements holds ``X`` of the true top-k, and on randomly ordered
values ``X ~ Hypergeometric(n, k, s)``.  It returns ``min(kb, X)`` of them, so

    recall = (1/k) * sum over buckets of E[min(kb, X)]        (arXiv 2412.04358, section 3)

``E[min(kb, X)] = E[X] - E[(X - kb)+]`` and the means ``E[X]`` add up to ``k``; what is computed
here is the expected number of *misses* of one bucket, ``E[(X - kb)+]``, because near recall 1 it
keeps its relative precision.
"""

from __future__ import annotations

import math
from functools import lru_cache

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@lru_cache(maxsize=1 << 16)
def expected_recall(n: int, k: int, b: int, kb: int) -> float:
    """`approxtopk.expected_recall` for arguments that are known to be valid."""
    if k == 0:
        return 1.0
    short, longer = divmod(n, b)  # `longer` buckets have short + 1 elements, the others short
    misses = (b - longer) * bucket_misses(n, k, short, kb)
    if longer:
        misses += longer * bucket_misses(n, k, short + 1, kb)
    return min(1.0, max(0.0, 1.0 - misses / k))


def bucket_misses(n: int, k: int, s: int, kb: int) -> float:
    """Expected number of top-k elements that a bucket of `s` elements drops, E[(X - kb)+].

    The sum runs from the queue's end outwards, over the tail in which the terms fall, by the
    ratio of neighbouring probabilities; it costs O(min(kb, standard deviation of X)).
    """
    most = min(k, s)
    if kb >= most:
        return 0.0
    mean = k * s / n
    rest = n - k - s
    if kb >= mean:  # upper tail: sum of (x - kb) P(x) for x > kb
        x = max(kb + 1, -rest)
        p = probability(x, n, k, s)
        total = 0.0
        while True:
            term = (x - kb) * p
            total += term
            if x >= most or term <= 1e-18 * total:
                return total
            p *= (k - x) * (s - x) / ((x + 1) * (rest + x + 1))
            x += 1
    # lower tail: E[(X - kb)+] = mean - kb + E[(kb - X)+]
    x = kb - 1
    p = probability(x, n, k, s)
    total = 0.0
    while x >= 0 and p > 0.0:
        term = (kb - x) * p
        total += term
        if term <= 1e-18 * total:
            break
        p *= x * (rest + x) / ((k - x + 1) * (s - x + 1))
        x -= 1
    return mean - kb + total


def probability(x: int, n: int, k: int, s: int) -> float:
    """Hypergeometric P(X = x), by three binomials in saddle-point form.

    Stable for n up to 2**40 and beyond, where differences of log-gammas lose every digit.
    Source: C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000).
    """
    if x < max(0, k + s - n) or x > min(k, s):
        return 0.0
    if s == n:
        return 1.0
    p = s / n
    q = (n - s) / n
    return math.exp(
        _log_binomial(x, k, p, q) + _log_binomial(s - x, n - k, p, q) - _log_binomial(s, n, p, q)
    )


def _log_binomial(x: int, trials: int, p: float, q: float) -> float:
    """log P(X = x) for X ~ Binomial(trials, p), with q = 1 - p given to full precision."""
    if x == 0:
        return trials * (math.log1p(-p) if p < 0.5 else math.log(q))
    if x == trials:
        return trials * (math.log1p(-q) if q < 0.5 else math.log(p))
    y = trials - x
    return (
        _stirling_error(trials)
        - _stirling_error(x)
        - _stirling_error(y)
        - _deviance(x, trials * p)
        - _deviance(y, trials * q)
        - _HALF_LOG_2PI
        + 0.5 * math.log(trials / x / y)
    )


def _stirling_error(m: int) -> float:
    """log(m!) minus Stirling's formula for it."""
    if m < 16:
        return math.lgamma(m + 1.0) - (m + 0.5) * math.log(m) + m - _HALF_LOG_2PI
    mm = 1.0 / (float(m) * m)
    series = 1 / 1260 - mm * (1 / 1680 - mm / 1188)
    return (1 / 12 - mm * (1 / 360 - mm * series)) / m


def _deviance(x: float, mean: float) -> float:
    """x log(x / mean) + mean - x, without cancellation where x is close to the mean."""
    difference = x - mean
    if abs(difference) >= 0.1 * (x + mean):
        return x * math.log(x / mean) - difference
    v = difference / (x + mean)
    total = difference * v
    term = 2.0 * x * v
    v *= v
    for j in range(3, 2000, 2):
        term *= v
        larger = total + term / j
        if larger == total:
            break
        total = larger
    return total
