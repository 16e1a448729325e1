"""`approxtopk.recall`: the measured share of the true top-k."""

from __future__ import annotations

import numpy as np
import pytest

import approxtopk


def measure(got, true, **keywords) -> float:
    """Recall of values; the indices are not looked at."""
    return approxtopk.recall((np.array(got), None), (np.array(true), None), **keywords)


@pytest.mark.parametrize(
    ("got", "true", "expected"),
    [
        ([9, 8, 7], [9, 8, 7], 1.0),
        ([7, 9, 8], [9, 8, 7], 1.0),  # order doesn't matter
        ([9, 8, 3], [9, 8, 7], 2 / 3),
        ([1, 2, 3], [9, 8, 7], 0.0),
        ([9, 9, 8], [9, 9, 9], 2 / 3),  # as often as it occurs
        ([9, 9, 9], [9, 9, 8], 2 / 3),
        ([9, 8, 8], [9, 9, 8], 2 / 3),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8"])
def test_ties_count_as_often_as_they_occur(got, true, expected, dtype) -> None:
    got, true = (np.array(values).astype(dtype) for values in (got, true))
    assert measure(got, true) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("got", "true", "expected"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], 1.0),
        ([np.nan, np.nan], [np.nan, 1.0], 0.5),
        ([1.0, 2.0], [np.nan, 1.0], 0.5),
        ([-np.nan, np.inf], [np.nan, np.inf], 1.0),
        ([np.nan, np.nan], [np.nan, np.nan], 1.0),
        ([0.0, 1.0], [-0.0, 1.0], 1.0),
        ([-0.0, 0.0], [0.0, 0.0], 1.0),
        ([np.inf], [-np.inf], 0.0),
    ],
)
def test_nan_equals_nan_and_zero_equals_zero(got, true, expected) -> None:
    assert measure(got, true) == expected


def test_rows_are_averaged_along_any_axis() -> None:
    got = np.array([[9, 8], [9, 1]])
    true = np.array([[9, 8], [9, 8]])
    assert measure(got, true) == 0.75
    assert measure(got, true, axis=1) == 0.75
    assert measure(got.T, true.T, axis=0) == 0.75
    assert measure(got[None, :, :, None], true[None, :, :, None], axis=-2) == 0.75


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_nothing_to_find_is_found(shape) -> None:
    assert measure(np.empty(shape), np.empty(shape)) == 1.0


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(2, 4\)"):
        measure(np.zeros((2, 3)), np.zeros((2, 4)))


def test_of_results() -> None:
    array = np.random.default_rng(0).permuted(np.tile(np.arange(4096.0), (64, 1)), axis=1)
    exact = approxtopk.topk(array, 64, recall=1.0)
    approximate = approxtopk.topk(array, 64, b=128, kb=1)
    assert approxtopk.recall(exact, exact) == 1.0
    expected = approxtopk.expected_recall(4096, 64, 128, 1)
    assert approxtopk.recall(approximate, exact) == pytest.approx(expected, abs=0.02)


def test_of_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert measure(np.array([1, 2], bfloat16), np.array([2, 3], bfloat16)) == 0.5


def test_of_what_is_no_array() -> None:
    with pytest.raises(approxtopk.NoBackendError, match="list"):
        approxtopk.recall(([1, 2], [0, 1]), ([1, 2], [0, 1]))
