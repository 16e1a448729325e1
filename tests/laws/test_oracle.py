"""The oracle by hand, and every backend against it on every small input there is."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest

from approxtopk.backend import count_candidates
from approxtopk.testing import Subject, oracle

VALUES = (-math.inf, 0.0, 1.0, math.nan)


def test_the_order() -> None:
    nan, inf = math.nan, math.inf
    row = [0.0, nan, -inf, -0.0, inf, nan, 1.0]
    assert oracle.exact(row, 7, largest=True) == [1, 5, 4, 6, 0, 3, 2]
    assert oracle.exact(row, 7, largest=False) == [2, 0, 3, 6, 4, 1, 5]
    assert oracle.ranks(row) == [1, 4, 0, 1, 3, 4, 2]


@pytest.mark.parametrize("largest", [True, False])
def test_the_order_is_that_of_an_explicit_comparison(largest: bool) -> None:
    for row in product((*VALUES, -0.0), repeat=5):
        for places in ((0, 1, 2, 3, 4), (3, 0, 4, 2, 1)):
            order = oracle.best_first(list(zip(row, places, strict=True)), largest)
            assert sorted(i for _, i in order) == [0, 1, 2, 3, 4]
            assert all(oracle.before(*pair, largest) for pair in combinations(order, 2))


def test_buckets() -> None:
    assert oracle.buckets(7, 3, interleaved=True) == [[0, 3, 6], [1, 4], [2, 5]]
    assert oracle.buckets(7, 3, interleaved=False) == [[0, 1, 2], [3, 4], [5, 6]]
    assert oracle.buckets(8, 3, interleaved=False) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_a_worked_example() -> None:
    row = [5, 9, 8, 7, 1, 6]
    assert oracle.topk(row, 2, 2, 1, largest=True, interleaved=True) == [1, 2]
    assert oracle.topk(row, 2, 2, 1, largest=True, interleaved=False) == [1, 3]
    assert oracle.topk(row, 3, 2, 2, largest=False, interleaved=True) == [4, 0, 5]
    assert oracle.topk(row, 3, 3, 1, largest=True, interleaved=True) == [1, 2, 3]


@cache
def every_row(n: int) -> list[tuple[float, ...]]:
    return list(product(VALUES, repeat=n))


@cache
def expected(n: int, k: int, b: int, kb: int, largest: bool, interleaved: bool) -> np.ndarray:
    """What brute force selects from every row; computed once for all backends."""
    rows = [oracle.topk(row, k, b, kb, largest, interleaved) for row in every_row(n)]
    return np.array(rows).reshape(len(rows), k)


@pytest.mark.parametrize("n", range(1, 6))
def test_every_small_input(backend: Subject, n: int) -> None:
    """All rows of -inf, 0, 1 and NaN, all plans, all flags."""
    array = np.array(every_row(n), np.float32)
    plans = [(b, kb) for b in range(1, n + 1) for kb in range(1, -(-n // b) + 1)]
    for (b, kb), largest, interleaved in product(plans, (True, False), (True, False)):
        for k in range(count_candidates(n, b, kb) + 1):
            brute = expected(n, k, b, kb, largest, interleaved)
            plan = {"b": b, "kb": kb, "largest": largest, "interleaved": interleaved}
            _, best_first = backend(array, k, sorted=True, **plan)
            values, indices = backend(array, k, sorted=False, **plan)
            np.testing.assert_array_equal(best_first, brute, err_msg=f"{k=}, {plan}")
            np.testing.assert_array_equal(np.sort(indices), np.sort(brute), err_msg=f"{k=}, {plan}")
            gathered = np.take_along_axis(array, indices, axis=1)
            np.testing.assert_array_equal(values, gathered, err_msg=f"{k=}, {plan}")
