"""The planner: exact recall, the cheapest plan, clear errors. No arrays anywhere."""

from __future__ import annotations

import csv
import itertools
import math
import random
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from approxtopk import Plan, expected_recall, plan
from approxtopk.cost import exact_cost, plan_cost
from approxtopk.hypergeometric import bucket_misses, probability
from approxtopk.planner import PLANNED_KB, alternatives, widths

REPETITIONS = 64  #: of the simulation in recall.csv


def recall_table():
    with (Path(__file__).parent / "data" / "recall.csv").open() as file:
        for row in csv.DictReader(file):
            yield (
                *(int(row[name]) for name in ("n", "k", "b", "kb")),
                float(row["expected_recall"]),
                float(row["simulated_recall_64_reps"]),
            )


def sizes(n, b):
    """How many buckets there are of each size."""
    short, longer = divmod(n, b)
    return [(b - longer, short), (longer, short + 1)] if longer else [(b, short)]


def test_every_row_of_the_table():
    for n, k, b, kb, exact, _ in recall_table():
        assert expected_recall(n, k, b, kb) == pytest.approx(exact, abs=1e-9), (n, k, b, kb)


def standard_error(n, k, b, kb):
    """An upper bound for that of the simulated mean, from exact moments of one bucket.

    One repetition returns sum_j min(kb, X_j) = k - sum_j (X_j - kb)+ true elements. The X_j are
    multivariate hypergeometric, hence negatively associated, and so are non-decreasing functions
    of them, one each: neither sum has a greater variance than if its terms were independent. The
    lesser of the two bounds is taken: the hits' is the tight one where few are returned, the
    misses' where nearly all are.
    """
    hits = misses = 0.0
    for count, s in sizes(n, b):
        mean = k * s / n
        lowest = max(0, k + s - n, int(mean - 14 * math.sqrt(mean) - 3))
        xs = range(lowest, min(k, s, int(mean + 14 * math.sqrt(mean) + 40)) + 1)
        p = [math.exp(log_probability(x, n, k, s)) for x in xs]
        for_hits, for_misses = [min(x, kb) for x in xs], [max(x - kb, 0) for x in xs]
        hits += count * variance(p, for_hits)
        misses += count * variance(p, for_misses)
    return math.sqrt(max(0.0, min(hits, misses)) / REPETITIONS) / k


def log_probability(x, n, k, s):
    """By log-gammas: less accurate than the library's way, and independent of it."""
    ways = (k, x), (n - k, s - x), (n, s)
    chosen, others, all_ = (
        math.lgamma(m + 1) - math.lgamma(j + 1) - math.lgamma(m - j + 1) for m, j in ways
    )
    return chosen + others - all_


def variance(p, values):
    mean = math.fsum(a * b for a, b in zip(p, values, strict=True))
    return math.fsum(a * (b - mean) ** 2 for a, b in zip(p, values, strict=True))


def test_the_simulation_agrees():
    """Within 5 standard errors of every row, and unbiased and as spread as it should be over all.

    A simulated mean moves in steps of one element in 64 repetitions, 1 / (64 k). Where less than
    one miss is expected in all of them, a single one is a step of many standard errors though
    likely enough among 1,397 rows, so that step is allowed for. The rows with at least five
    expected misses are nearly normal: together they would show a bias far below 5 of one row's.
    """
    scores = []
    for n, k, b, kb, _, simulated in recall_table():
        expected, error = expected_recall(n, k, b, kb), standard_error(n, k, b, kb)
        step = 1 / (REPETITIONS * k)
        assert abs(simulated - expected) <= 5 * error + step, (n, k, b, kb)
        if (1 - expected) / step >= 5:
            scores.append((simulated - expected) / error)
    assert len(scores) > 300
    assert abs(np.mean(scores)) * math.sqrt(len(scores)) < 5
    assert 0.6 < np.mean(np.square(scores)) < 1.4


@cache
def exact_hits(n, k, s, kb):
    """E[min(kb, X)] as a fraction; the lesser of k and s is the number of draws."""
    draws, marked = sorted((k, s))
    ways = (
        min(kb, x) * math.comb(marked, x) * math.comb(n - marked, draws - x)
        for x in range(max(0, k + s - n), draws + 1)
    )
    return Fraction(sum(ways), math.comb(n, draws))


def exact_recall(n, k, b, kb):
    return sum(count * exact_hits(n, k, s, kb) for count, s in sizes(n, b)) / k


def test_unequal_buckets_exactly():
    """All (k, b, kb) for every small n: most b leave buckets of two sizes."""
    for n in (1, 2, 3, 5, 8, 13, 21):
        for k in range(1, n + 1):
            for b in range(1, n + 1):
                for kb in range(1, -(-n // b) + 1):
                    exact = float(exact_recall(n, k, b, kb))
                    assert expected_recall(n, k, b, kb) == pytest.approx(exact, abs=2e-14)


@pytest.mark.parametrize("n", [2**20 - 3, 2**31 + 11, 2**40, 2**40 + 1])
@pytest.mark.parametrize(
    ("k", "b", "kb"),
    [
        (1, 1000, 1),
        (64, 64, 1),
        (64, 1000, 1),
        (64, 60_000, 1),
        (200, 10, 16),
        (200, 10, 20),  # the mean
        (200, 10, 31),
        (200, 3, 100),
        (64, 2**20 - 4, 1),  # many buckets: recall within 1e-9 of 1 and misses still exact
        (2**19, 2**14 + 1, 40),  # short buckets where n is short, else the mean is small
    ],
)
def test_stable_for_long_axes(n, k, b, kb):
    if min(k, n // b) > 3000:
        b = n // 700  # exact arithmetic needs either k or the bucket short
    kb = min(kb, -(-n // b))
    exact = exact_recall(n, k, b, kb)
    assert expected_recall(n, k, b, kb) == pytest.approx(float(exact), abs=1e-12)
    _, s = sizes(n, b)[-1]
    misses = Fraction(k * s, n) - exact_hits(n, k, s, kb)
    assert bucket_misses(n, k, s, kb) == pytest.approx(float(misses), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("n", [2**30, 2**40, 2**40 - 87])
@pytest.mark.parametrize("share", [2**-20, 2**-10, 0.25, 0.7])
@pytest.mark.parametrize("deviations", [-9.0, -2.0, 0.0, 0.5, 3.0, 12.0])
def test_identities_where_everything_is_long(n, share, deviations):
    """Two symmetries of the distribution, which the tails' sums know nothing of.

    Which elements are drawn and which marked doesn't matter; and the unmarked elements drawn,
    s - X, are hypergeometric too, so that (X - kb)+ = (s - kb) - (s - X) + ((s - X) - (s - kb))+.
    """
    k, s = int(n * share), n // 1000
    mean = k * s / n
    kb = round(mean + deviations * math.sqrt(mean * (1 - k / n) * (1 - s / n)))
    misses = bucket_misses(n, k, s, kb)
    assert misses == pytest.approx(bucket_misses(n, s, k, kb), rel=1e-7)
    others = (s - kb) - (n - k) * s / n + bucket_misses(n, n - k, s, s - kb)
    assert misses == pytest.approx(others, rel=1e-7, abs=1e-7 * math.sqrt(mean))


def test_probabilities_add_up():
    n, k, s = 2**40, 3000, 2**38
    total = math.fsum(probability(x, n, k, s) for x in range(k + 1))
    mean = math.fsum(x * probability(x, n, k, s) for x in range(k + 1))
    assert total == pytest.approx(1, abs=1e-11)
    assert mean == pytest.approx(k * s / n, rel=1e-11)
    assert probability(-1, n, k, s) == probability(k + 1, n, k, s) == 0.0


@pytest.mark.parametrize(("n", "k"), [(60, 7), (97, 40), (64, 64), (1000, 30)])
def test_recall_never_falls_with_b_or_kb(n, k):
    for kb in (1, 2, 3, 5):
        by_b = [expected_recall(n, k, b, kb) for b in range(1, -(-n // kb) + 1)]
        assert all(later >= before - 1e-13 for before, later in itertools.pairwise(by_b))
    for b in (1, 3, 10, n // 2, n):
        by_kb = [expected_recall(n, k, b, kb) for kb in range(1, -(-n // b) + 1)]
        assert all(later >= before - 1e-13 for before, later in itertools.pairwise(by_kb))
        assert by_kb[-1] == 1.0


CASES = [
    (n, k)
    for n in (1, 2, 37, 1000, 65536, 131072, 10**6 + 3)
    for k in (1, 2, 9, 64, 5000)
    if k <= n
]


@pytest.mark.parametrize(("n", "k"), CASES)
@pytest.mark.parametrize("recall", [0.01, 0.5, 0.95, 0.99, 0.99999, 1.0])
def test_the_plan_is_the_cheapest_of_the_grid(n, k, recall):
    chosen = plan(n, k, recall=recall)
    assert chosen.recall >= recall
    assert chosen.exact or chosen.recall == expected_recall(n, k, chosen.b, chosen.kb)
    assert chosen.candidates >= k
    cost = exact_cost if recall == 1.0 else plan_cost
    costs = [
        cost(n, k, b, min(kb, -(-n // b)))
        for kb in PLANNED_KB
        for b in widths(n)
        if sum(count * min(kb, s) for count, s in sizes(n, b)) >= k
        and (recall == 1.0 or expected_recall(n, k, b, min(kb, -(-n // b))) >= recall)
    ]
    assert chosen.cost * n <= min(costs) * (1 + 1e-12)
    assert chosen in alternatives(n, k, recall)


@pytest.mark.parametrize(("n", "k"), CASES)
def test_each_way_to_ask(n, k):
    assert plan(n, k) == plan(n, k, recall=0.95)
    for b in {1, max(1, n // 3), n}:
        alone = plan(n, k, b=b)
        assert (alone.b, alone.kb) == (b, -(-k // b))
        reached = plan(n, k, b=b, recall=0.9)
        assert reached.b == b
        assert reached.recall >= 0.9
        if reached.kb > 1 and b * (reached.kb - 1) >= k:  # no shorter queue does
            assert expected_recall(n, k, b, reached.kb - 1) < 0.9
        assert plan(n, k, b=b, recall=1.0).exact
    for kb in {1, 2, 4, 16}:
        if kb > n:
            continue
        alone = plan(n, k, kb=kb)
        assert alone == plan(n, k, kb=kb, recall=0.95)
        assert alone.recall >= 0.95
        assert alone.kb == min(kb, -(-n // alone.b))
        for b in widths(n):  # a narrower one is not good enough, or costs more
            if b < alone.b and b * kb >= k and kb <= -(-n // b):
                worse = expected_recall(n, k, b, kb) < 0.95
                assert worse or plan_cost(n, k, b, kb) > alone.cost * n
        exact = plan(n, k, kb=kb, recall=1.0)
        assert exact.exact
        assert exact.recall == 1.0


def test_both_are_used_as_given():
    assert plan(1000, 10, b=7, kb=2) == Plan(1000, 10, 7, 2, expected_recall(1000, 10, 7, 2), False)
    assert plan(10, 10, b=3, kb=4).candidates == 10  # buckets of 4, 3, 3
    assert plan(10, 10, b=3, kb=4).exact


@pytest.mark.parametrize("recall", [None, 0.5, 1.0])
@pytest.mark.parametrize("n", [0, 5])
def test_nothing_to_select(n, recall):
    nothing = plan(n, 0, recall=recall)
    assert (nothing.recall, nothing.exact) == (1.0, True)
    assert expected_recall(5, 0, 2, 1) == 1.0


def test_exact_is_no_rounding():
    """So close to 1 that the float is 1.0, yet an unlucky order loses elements."""
    close = plan(2**20, 16, b=2**19, kb=1)
    assert close.recall < 1.0
    assert plan(2**20, 3, b=4096, kb=2).exact is False
    assert plan(2**20, 3, b=4096, kb=2, recall=1.0).exact is True  # for it is repaired


def test_widths():
    for n in (1, 2, 3, 4, 5, 100, 511, 512, 513, 2**20, 10**6 + 3):
        grid = widths(n)
        assert list(grid) == sorted(set(grid))
        assert grid[0] == 1
        assert grid[-1] == n
        assert list(grid[:-1]) == [2**i for i in range(len(grid) - 1)]
        assert all(after <= 2 * before for before, after in itertools.pairwise(grid))


ask = partial(dict, n=10, k=2)
BAD_VALUES = [
    (ask(n=-1), "n must be in [0, 9223372036854775807], got -1"),
    (ask(k=11), "k must be in [0, 10], got 11"),
    (ask(k=-1), "k must be in [0, 10], got -1"),
    (ask(k=2**63), "k must be in [0, 10], got 9223372036854775808"),
    (ask(b=0), "b must be in [1, 10] (the length of the axis), got 0"),
    (ask(b=11), "b must be in [1, 10] (the length of the axis), got 11"),
    (ask(kb=0), "kb must be in [1, 10]"),
    (ask(b=4, kb=4), "kb must be in [1, 3] (the largest bucket), got 4"),
    (ask(k=5, b=4, kb=1), "b=4 buckets with kb=1 keep 4 candidates of n=10, fewer than k=5"),
    (ask(k=5, b=4, kb=1), "kb must be in [2, 3] for this b"),
    (ask(recall=0), "recall must be in (0, 1], got 0.0"),
    (ask(recall=1.01), "recall must be in (0, 1], got 1.01"),
    (ask(recall=math.nan), "recall must be in (0, 1], got nan"),
    (
        ask(recall=0.5, b=2, kb=3),
        "most two of recall, b and kb unless recall is 1, got recall=0.5, b=2, kb=3",
    ),
]
BAD_TYPES = [
    (ask(n="10"), "n must be an integer, got '10' of type str"),
    (ask(k=True), "k must be an integer, got the bool True"),
    (ask(k=2.0), "k must be an integer, got 2.0 of type float"),
    (ask(b=1.5), "b must be an integer, got 1.5"),
    (ask(kb=np.True_), "kb must be an integer, got the bool True"),
    (ask(recall=True), "recall must be a real number, got True of type bool"),
    (ask(recall="most"), "recall must be a real number, got 'most' of type str"),
]


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [*((ValueError, *case) for case in BAD_VALUES), *((TypeError, *case) for case in BAD_TYPES)],
    ids=str,
)
def test_errors_name_argument_value_and_range(error, arguments, message):
    with pytest.raises(error) as caught:
        plan(**arguments)
    assert message in str(caught.value)


def test_errors_of_expected_recall():
    with pytest.raises(ValueError, match=r"n must be in \[1, "):
        expected_recall(0, 0, 1, 1)
    with pytest.raises(ValueError, match=r"kb must be in \[1, 3\] for b=4, got 4"):
        expected_recall(10, 2, 4, 4)


def test_numpy_integers_are_integers():
    assert plan(np.int64(1000), np.int32(10), b=np.uint8(100)) == plan(1000, 10, b=100)
    assert type(plan(np.int64(1000), 10).n) is int


def test_random_plans_keep_their_promise():
    """What the planner expects is what happens, here by drawing where the true top-k are."""
    random.seed(4)
    for n, k, recall in [(5000, 20, 0.9), (3001, 100, 0.8), (600, 30, 0.95)]:
        chosen = plan(n, k, recall=recall)
        assert not chosen.exact
        got = []
        for _ in range(400):
            hits = [0] * chosen.b
            for position in random.sample(range(n), k):
                hits[position % chosen.b] += 1
            got.append(sum(min(chosen.kb, found) for found in hits) / k)
        error = np.std(got, ddof=1) / math.sqrt(len(got))
        assert abs(np.mean(got) - chosen.recall) < 5 * error
