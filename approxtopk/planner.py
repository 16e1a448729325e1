"""Choose (b, kb): the cheapest plan whose expected recall reaches what was asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import validate
from .backend import count_candidates, is_lossless
from .cost import cost_floor, exact_cost, plan_cost
from .exactness import read_again, repair_probability
from .hypergeometric import expected_recall as _expected_recall

#: JAX's `approx_max_k` has the same default.
DEFAULT_RECALL = 0.95

#: Queue lengths that the planner considers by itself; longer ones cost more than they save.
PLANNED_KB = (1, 2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Plan:
    """How a row of `n` elements is searched for its top `k`.

    Attributes
    ----------
    n, k : int
        Length of the row and how many elements are wanted.
    b, kb : int
        Number of buckets, and how many elements of each are kept.
    recall : float
        Expected share of the true top-k that is returned, on randomly ordered values; 1.0 where
        the answer is exact.
    exact : bool
        Whether the answer is the true top-k for every input.
    """

    n: int
    k: int
    b: int
    kb: int
    recall: float
    exact: bool

    @property
    def candidates(self) -> int:
        """How many elements reach stage 2."""
        return count_candidates(self.n, self.b, self.kb)

    @property
    def cost(self) -> float:
        """Estimated cost over that of reading the row once; see `approxtopk.cost`."""
        cost = exact_cost if self.exact else plan_cost
        return cost(self.n, self.k, self.b, self.kb) / max(self.n, 1)

    @property
    def repair_probability(self) -> float:
        """Probability that what stages 1 and 2 find in a row isn't its true top-k.

        On randomly ordered values. Such a row is repaired if the answer is to be exact; otherwise
        it gets no certificate.
        """
        return repair_probability(self.n, self.k, self.b, self.kb) if self.n else 0.0

    @property
    def read_again(self) -> float:
        """Expected number of elements of a row that are in flagged buckets.

        These can hide one of the true top-k, as far as the answer tells, on randomly ordered
        values. Backends that know more read fewer of them again; see `approxtopk.explain`.
        """
        return read_again(self.n, self.k, self.b, self.kb) if self.n else 0.0


def plan(
    n: int,
    k: int,
    *,
    recall: float | None = None,
    b: int | None = None,
    kb: int | None = None,
) -> Plan:
    """Choose how to search rows of `n` elements for their top `k`.

    Parameters
    ----------
    n : int
        Length of the selection axis.
    k : int
        How many elements are wanted, in [0, n].
    recall : float, optional
        Expected recall to reach, in (0, 1]; 1.0 is exact for every input. Default 0.95 unless `b`
        is given. With both `b` and `kb` only 1.0 can be given: that plan is used, and what it
        misses is repaired.
    b : int, optional
        Number of buckets, in [1, n]. Alone: ``kb = ceil(k / b)``, whatever its recall. With
        `recall`: the smallest `kb` that reaches it (at 1.0 the cheapest).
    kb : int, optional
        Elements kept per bucket. Alone or with `recall`: the cheapest `b` that reaches the
        recall, which may be more than the smallest. With `b`: as given, in [1, ceil(n / b)].

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        An argument out of range, fewer candidates than `k`, or all three of `recall`, `b`, `kb`
        with a `recall` below 1.
    TypeError
        An argument that isn't an integer (or, for `recall`, a real number).

    Notes
    -----
    Pure arithmetic, cached, a few milliseconds at most; only `b` with `recall` can take seconds,
    where a bucket holds billions of the top k. The recall model is that of
    "Approximate Top-k for Increased Parallelism" (arXiv 2412.04358) with exact hypergeometric
    probabilities; see `expected_recall`.

    Examples
    --------
    >>> import approxtopk
    >>> p = approxtopk.plan(131072, 64, recall=0.99)
    >>> p.recall >= 0.99, p.candidates < 131072 // 16
    (True, True)
    """
    n = validate.integer("n", n, 0, 2**63 - 1)
    k = validate.integer("k", k, 0, n)
    return choose(n, k, recall, b, kb)


def expected_recall(n: int, k: int, b: int, kb: int) -> float:
    """Expected share of the true top-k that (b, kb) returns, on randomly ordered values.

    Parameters
    ----------
    n : int
        Length of the selection axis, at least 1; accurate to 1e-9 up to 2**40 and beyond.
    k : int
        How many elements are wanted, in [0, n].
    b : int
        Number of buckets, in [1, n]; their sizes differ by at most one.
    kb : int
        Elements kept per bucket, in [1, ceil(n / b)].

    Returns
    -------
    float
        ``(1/k) * sum_j E[min(kb, X_j)]`` with ``X_j ~ Hypergeometric(n, k, size of bucket j)``,
        exactly; 1.0 for ``k = 0``. Ties and ordered data can make the measured recall differ.

    Notes
    -----
    O(kb) for short queues. Source: "A Faster Generalized Two-Stage Approximate Top-K"
    (arXiv 2506.04165), which has the same expectation for equal buckets.

    Examples
    --------
    >>> import approxtopk
    >>> round(approxtopk.expected_recall(131072, 64, 4096, 1), 4)
    0.9926
    """
    n = validate.integer("n", n, 1, 2**63 - 1)
    k = validate.integer("k", k, 0, n)
    b = validate.integer("b", b, 1, n)
    kb = validate.integer("kb", kb, 1, -(-n // b), f" for b={b}")
    return _expected_recall(n, k, b, kb)


def choose(n: int, k: int, recall: float | None, b: int | None, kb: int | None) -> Plan:
    """`plan` for valid `n` and `k`; checks the other three."""
    if recall is not None:
        recall = validate.probability("recall", recall)
    if recall not in (None, 1.0) and b is not None and kb is not None:
        raise ValueError(
            f"give at most two of recall, b and kb unless recall is 1, got {recall=}, {b=}, {kb=}"
        )
    if b is not None:
        b = validate.integer("b", b, 1, n, " (the length of the axis)")
    if kb is not None:
        longest = -(-n // b) if b is not None else n
        kb = validate.integer("kb", kb, 1, longest, " (the largest bucket)")
    return _choose(n, k, recall, b, kb)


@lru_cache(maxsize=4096)
def _choose(n: int, k: int, recall: float | None, b: int | None, kb: int | None) -> Plan:
    target = DEFAULT_RECALL if recall is None else recall
    if b is not None and kb is not None:
        candidates = count_candidates(n, b, kb)
        if candidates < k:
            raise ValueError(
                f"b={b} buckets with kb={kb} keep {candidates} candidates of n={n}, fewer than "
                f"k={k}; kb must be in [{_smallest_kb(n, k, b, None)}, {-(-n // b)}] for this b"
            )
    elif k == 0:  # nothing to select: one bucket, so that every field is in range
        b, kb = b or min(n, 1), kb or min(n, 1)
    elif b is not None:
        kb = _exact_kb(n, k, b) if recall == 1.0 else _smallest_kb(n, k, b, recall)
    elif kb is not None:
        b = _exact_b(n, k, kb) if recall == 1.0 else _good_b(n, k, kb, target)
        kb = min(kb, -(-n // b))
    else:
        return _cheapest(alternatives(n, k, target))
    return _make(n, k, b, kb, repaired=recall == 1.0)


def _cheapest(plans: Iterator[Plan]) -> Plan:
    """The plan of least cost, without looking at queues too long to compete."""
    best = next(plans)
    for kb in PLANNED_KB[1:]:
        if cost_floor(best.n, best.k, kb) >= best.cost * best.n:
            break
        best = min(best, next(plans, best), key=lambda p: (p.cost, p.candidates))
    return best


def alternatives(n: int, k: int, recall: float) -> Iterator[Plan]:
    """The cheapest good plan for each queue length that the planner considers."""
    exact = recall == 1.0
    for kb in PLANNED_KB:
        if kb <= k:
            b = _exact_b(n, k, kb) if exact else _good_b(n, k, kb, recall)
            yield _make(n, k, b, min(kb, -(-n // b)), repaired=exact)


def _make(n: int, k: int, b: int, kb: int, repaired: bool = False) -> Plan:
    if repaired or is_lossless(n, k, b, kb):
        return Plan(n, k, b, kb, 1.0, exact=True)
    return Plan(n, k, b, kb, _expected_recall(n, k, b, kb), exact=False)


def _reaches(n: int, k: int, b: int, kb: int, recall: float) -> bool:
    """Whether the plan is good enough, for a recall below 1."""
    return count_candidates(n, b, kb) >= k and _expected_recall(n, k, b, kb) >= recall


def _smallest_kb(n: int, k: int, b: int, recall: float | None) -> int:
    """The smallest kb for `b`: for the recall, or for enough candidates if None. Recall rises."""
    kb = -(-k // b)  # enough: either all buckets hold that many, or they are kept whole
    if recall is None:
        return kb
    longest = -(-n // b)
    return bisect_left(
        range(longest), True, lo=kb - 1, key=lambda i: _reaches(n, k, b, i + 1, recall)
    ) + 1  # fmt: skip


def _good_b(n: int, k: int, kb: int, recall: float) -> int:
    """The width of least cost that reaches the recall. Wider ones do too, and may cost less."""
    grid = widths(n)
    smallest = bisect_left(grid, _smallest_b(n, k, kb, recall))
    good = (b for b in grid[smallest:] if b == grid[smallest] or kb <= -(-n // b))
    return min(good, key=lambda b: plan_cost(n, k, b, kb))


def _exact_kb(n: int, k: int, b: int) -> int:
    """The queue length of least cost for `b` buckets and an exact answer."""
    least = -(-k // b)
    longest = min(-(-n // b), least + PLANNED_KB[-1])
    return min(range(least, longest + 1), key=lambda kb: exact_cost(n, k, b, kb))


def _exact_b(n: int, k: int, kb: int) -> int:
    """The width of least cost for queues of `kb` and an exact answer."""

    def least(b: int) -> float:  # without repair
        return plan_cost(n, k, b, min(kb, -(-n // b)))

    best, cost = n, least(n)
    for b in sorted((b for b in widths(n) if b * kb >= k), key=least):
        if least(b) >= cost:
            break
        found = exact_cost(n, k, b, min(kb, -(-n // b)))
        if found < cost:
            best, cost = b, found
    return best


def _smallest_b(n: int, k: int, kb: int, recall: float) -> int:
    """The smallest width in `widths` at which `kb` per bucket reaches the recall. Recall rises."""
    grid = widths(n)
    low = bisect_left(grid, -(-k // kb))
    high, step = low, 1
    while not _reaches(n, k, grid[high], min(kb, -(-n // grid[high])), recall):
        low = high + 1
        high = min(high + step, len(grid) - 1)
        step *= 2
    good = range(low, high)
    return grid[
        low
        + bisect_left(
            good, True, key=lambda i: _reaches(n, k, grid[i], min(kb, -(-n // grid[i])), recall)
        )
    ]


@lru_cache(maxsize=256)
def widths(n: int) -> tuple[int, ...]:
    """Bucket counts that kernels like: powers of two, and n.

    Threads share a row's buckets, or their parts, equally then.
    """
    return (*(2**i for i in range((n - 1).bit_length())), n)
