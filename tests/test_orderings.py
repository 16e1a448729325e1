"""What `docs/orderings.md` says about rows that are in no random order."""

from __future__ import annotations

import math

import numpy as np
import pytest

import approxtopk

N, K, ROWS = 1 << 14, 32, 150
B = 1024  #: reaches 0.985 on random rows


def recall(rows: np.ndarray, **how: object) -> float:
    found = approxtopk.topk(rows, K, kb=1, backend="numpy", **how)
    exact = approxtopk.topk(rows, K, recall=1.0, backend="numpy")
    return approxtopk.recall(found, exact)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, N), dtype=np.float32)


def predicted(period: int, b: int) -> float:
    """A column of a matrix meets every g-th bucket only."""
    column = N // period
    return approxtopk.expected_recall(column, K, min(b // math.gcd(period, b), column), 1)


def test_neighbours_are_spread_by_interleaving_and_lost_in_runs(rows: np.ndarray) -> None:
    expected = approxtopk.expected_recall(N, K, B, 1)
    for ordered in (np.sort(rows, axis=1), np.sort(rows, axis=1)[:, ::-1], rows.cumsum(axis=1)):
        assert recall(ordered, b=B) > expected
        assert recall(ordered, b=B, interleaved=False) < 0.5


@pytest.mark.parametrize("period", [4, 16, 48, 128, 256])
@pytest.mark.parametrize("b", [B, 8 * 127, 4 * 251, 1021])
def test_a_hot_column_has_the_recall_of_the_buckets_that_it_meets(
    rows: np.ndarray, period: int, b: int
) -> None:
    hot = rows.copy()
    hot[:, 1::period] += 20
    assert recall(hot, b=b) == pytest.approx(predicted(period, b), abs=0.015)


def test_few_common_factors_heal_a_matrix_of_a_power_of_two(rows: np.ndarray) -> None:
    columns = np.random.default_rng(1).permutation(np.arange(1, 257) ** -0.7).astype(np.float32)
    gradient = np.abs(rows.reshape(ROWS, -1, 256) * columns).reshape(ROWS, N)
    assert recall(gradient, b=B) < 0.75
    for b in (8 * 127, 4 * 251, 1021):
        assert recall(gradient, b=b) > 0.95


def test_a_certificate_tells_an_unlucky_order(rows: np.ndarray) -> None:
    how = {"b": B, "kb": 1, "certificate": True, "backend": "numpy"}
    hot = rows.copy()
    hot[:, ::256] += 20
    assert 0.3 < approxtopk.topk(rows, K, **how).exact.mean() < 0.9
    assert not approxtopk.topk(hot, K, **how).exact.any()
