"""What is expected of repairs, against exact arithmetic and against what is measured."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import approxtopk
from approxtopk.exactness import (
    flagged_if_missed,
    flagged_in_groups,
    hides_more,
    most_read_again,
    read_again,
    read_in_groups,
    repair_probability,
    tail,
)
from approxtopk.testing import adversaries
from approxtopk_numpy import reference
from approxtopk_numpy.keys import order_keys

#: n, k, b, kb: recall from 0.94 up, buckets of one size and of two, some kept whole.
PLANS = [
    *((512, 8, 128, 1), (512, 8, 64, 2), (500, 20, 96, 2), (500, 40, 120, 3), (512, 64, 64, 4)),
    *((512, 64, 96, 3), (300, 30, 200, 1), (512, 8, 4, 5), (512, 100, 160, 4), (512, 1, 16, 1)),
]


def sizes(n, b):
    return [n // b + (j < n % b) for j in range(b)]


@pytest.mark.parametrize("n", [1, 7, 30])
def test_tails_are_exact(n):
    for k in range(n + 1):
        for s in range(1, n + 1):
            ways = [math.comb(k, x) * math.comb(n - k, s - x) for x in range(s + 1)]
            for x in range(-1, s + 2):
                exact = Fraction(sum(ways[max(x, 0) :]), math.comb(n, s))
                assert tail(x, n, k, s) == pytest.approx(float(exact), rel=1e-9, abs=1e-15)


def test_far_tails_keep_their_precision():
    n, k, s = 2**40, 64, 2**28
    ratio = tail(5, n, k, s) / (math.comb(k, 5) * (s / n) ** 5)
    assert ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("n", "k", "b", "kb"), PLANS)
def test_the_probability_of_a_repair_against_all_the_ways_there_are(n, k, b, kb):
    """A row keeps its top-k if no bucket holds more than kb of it: count these ways exactly."""
    ways = [1] + [0] * k  # to place that many of the top-k in the buckets so far
    for s in sizes(n, b):
        most = min(s, kb)
        ways = [
            sum(math.comb(s, x) * ways[total - x] for x in range(min(most, total) + 1))
            for total in range(k + 1)
        ]
    exact = float(1 - Fraction(ways[k], math.comb(n, k)))
    got = repair_probability(n, k, b, kb)
    upper = sum(tail(kb + 1, n, k, s) for s in sizes(n, b))
    assert got <= exact + 1e-12
    assert exact <= upper + 1e-12
    assert got == pytest.approx(exact, rel=0.1, abs=1e-12)


@pytest.mark.parametrize(("n", "k", "b", "kb"), PLANS)
def test_what_is_expected_is_measured(n, k, b, kb):
    """On random permutations: rows that miss something, and elements of flagged buckets.

    These are counted in the answer, of which the last is the worst; all that it misses is in them.
    """
    rows = 2000
    rng = np.random.default_rng([n, k, b, kb])
    keys = rng.permuted(np.tile(np.arange(n, dtype=np.uint32), (rows, 1)), axis=1)
    array = keys.astype(np.float32)
    how = {"b": b, "kb": kb, "sorted": True, "certificate": True, "backend": "numpy"}
    _, indices, exact = approxtopk.topk(array, k, **how)
    plan = approxtopk.plan(n, k, b=b, kb=kb)
    missed = 1 - exact.mean()
    error = math.sqrt(max(missed * (1 - missed), 1 / rows) / rows)
    assert abs(missed - plan.repair_probability) < 5 * error + 0.1 * plan.repair_probability

    size = np.array(sizes(n, b))
    better = (indices[:, :-1, None] % b == np.arange(b)).sum(axis=1)
    flagged = (better == kb) & (size > kb)
    assert (reference.flagged(keys, indices, b, kb, True) == flagged).all()
    row, place = np.nonzero(array >= n - k)
    lost = ~(indices[row] == place[:, None]).any(axis=1)
    assert flagged[row[lost], place[lost] % b].all()
    read = flagged @ size
    error = read.std() / math.sqrt(rows)
    assert abs(read.mean() - plan.read_again) <= 5 * error + 0.02 * plan.read_again
    assert read.max() <= most_read_again(n, k, b, kb)


@pytest.mark.parametrize(("n", "k", "b", "kb"), [*PLANS[1::2], (512, 96, 64, 2)])
def test_what_hides_something_is_measured(n, k, b, kb):
    """On random permutations: groups of buckets that dropped something better than the last."""
    rows, plan = 1000, (n, k, b, kb)
    rng = np.random.default_rng([*plan, 1])
    keys = rng.permuted(np.tile(np.arange(n, dtype=np.uint32), (rows, 1)), axis=1)
    answer = reference.select(keys, k, b, kb, True)
    row, place = np.nonzero(reference.hidden(keys, answer, b, kb, True))
    hides = np.zeros((rows, b), bool)
    hides[row, place % b] = True
    flagged = reference.flagged(keys, answer, b, kb, True)
    size = np.array(sizes(n, b))

    def check(read, expected):
        error = read.std() / math.sqrt(rows)
        assert abs(read.mean() - expected) <= 5 * error + 0.1 * expected

    for group in (1, 4):
        any_hides = np.array([hides[:, i : i + group].any(1) for i in range(0, b, group)]).T
        those = any_hides.repeat(group, axis=1)[:, :b]
        check(those @ size, read_in_groups(*plan, group))
        check((flagged & those) @ size, flagged_in_groups(*plan, group))
    check(flagged @ size * hides.any(1), flagged_if_missed(*plan))
    hidden = np.bincount(row, minlength=rows)
    for most in (1, 5, 20):
        assert abs((hidden > most).mean() - hides_more(*plan, most)) < 0.1


def test_no_order_has_more_read_again_than_the_most():
    fullest = 0.0
    for case in adversaries("float32", 64, seed=2):
        keys = order_keys(case.array, case.largest)
        answer = reference.select(keys, case.k, case.b, case.kb, case.interleaved)
        flags = reference.flagged(keys, answer, case.b, case.kb, case.interleaved)
        members = reference.bucket_positions(case.n, case.b, case.interleaved) < case.n
        read = (flags @ members.sum(axis=1)).max()
        most = most_read_again(case.n, case.k, case.b, case.kb)
        assert read <= most <= case.n
        fullest = max(fullest, read / max(most, 1))
    assert fullest == 1, "the bound is reached"


def test_the_reference_repairs():
    """Flagged buckets and hidden elements are enough to know and to mend every answer."""
    for case in adversaries("float32", 64, seed=3):
        keys = order_keys(case.array, case.largest)
        plan = (case.b, case.kb, case.interleaved)
        answer = reference.select(keys, case.k, *plan)
        true = np.argsort(~keys, axis=1, kind="stable")[:, : case.k]
        exact = (answer == true).all(axis=1)
        assert (exact == ~reference.hidden(keys, answer, *plan).any(axis=1)).all()
        assert (reference.repair(keys, answer, *plan) == true).all()


def test_nothing_is_read_again_where_nothing_can_be_missed():
    for n, k, b, kb in ((100, 0, 10, 1), (100, 5, 10, 5), (100, 50, 100, 1), (100, 90, 10, 10)):
        assert repair_probability(n, k, b, kb) == 0
        assert read_again(n, k, b, kb) == 0
        if k:
            assert read_in_groups(n, k, b, kb, 4) == flagged_in_groups(n, k, b, kb, 4) == 0
            assert flagged_if_missed(n, k, b, kb) == 0
    none = approxtopk.plan(0, 0)
    assert (none.repair_probability, none.read_again) == (0, 0)


@pytest.mark.parametrize("says", [True, False])
def test_explain_tells_both(says, monkeypatch):
    """What the backend says is read again; flagged buckets where it says nothing."""
    from approxtopk_numpy.backend import NumpyBackend

    if not says:
        monkeypatch.setattr(NumpyBackend, "read_again", approxtopk.Backend.read_again)
    array = np.zeros((128, 65536), np.float32)
    how = {"b": 2048, "kb": 2, "backend": "numpy"}
    why = approxtopk.explain(array, 64, recall=1.0, **how)
    plan = approxtopk.plan(65536, 64, b=2048, kb=2, recall=1.0)
    assert why.repair_probability == plan.repair_probability == pytest.approx(0.0088, abs=1e-4)
    flagged = pytest.approx(128 * 4 * plan.read_again)
    assert why.read_again_bytes == (0 if says else flagged)
    told = "nothing" if says else "14857 bytes"
    assert f"0.0088 of them expected to need more than b and kb find, {told} read" in str(why)
    asked = approxtopk.explain(array, 64, certificate=True, **how)
    assert asked.read_again_bytes == why.read_again_bytes
    assert f"0.0088 of them expected to be not certified, {told} read again" in str(asked)


def test_nothing_is_read_again_where_nobody_asks():
    """Where nothing is to be certified or exact, or nothing can be missed, no backend is asked."""

    def judged(n=100, kb=2, **how):
        return approxtopk.Request((4, n), "float32", "cpu", 1, 9, 20, kb, **how).judged

    assert judged(exact=True)
    assert judged(certificate=True)
    assert not judged()
    assert not judged(exact=True, kb=5)
    assert not judged(n=40, certificate=True)
    assert not approxtopk.Request((0, 100), "int8", "cpu", 1, 9, 20, 2, exact=True).judged
    plain = approxtopk.explain(np.zeros((128, 65536), np.float32), 64, b=2048, kb=2)
    assert plain.read_again_bytes == 0
    assert plain.repair_probability > 0
    assert "read again" not in str(plain)


def test_exact_plans():
    """recall=1.0 with any of b and kb: exact by repair, and by no longer queues than pay."""
    for n, k in ((131072, 64), (65536, 2048), (1000, 900), (5, 5), (1, 1)):
        free = approxtopk.plan(n, k, recall=1.0)
        assert free.exact
        assert free.recall == 1.0
        assert free.candidates >= k
    assert approxtopk.plan(131072, 64, recall=1.0).candidates < 131072 / 8
    both = approxtopk.plan(131072, 64, b=256, kb=1, recall=1.0)
    assert (both.b, both.kb, both.exact) == (256, 1, True)
    assert approxtopk.plan(131072, 64, b=256, recall=1.0).b == 256
    assert approxtopk.plan(131072, 64, kb=3, recall=1.0).kb == 3
