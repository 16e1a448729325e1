"""Rows that the Numba backend selects from by a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
from cpu_cases import Case, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_equals_reference import check, check_exactness

import approxtopk
from approxtopk import Request

launch = pytest.importorskip("approxtopk_numba.launch")

from numba import njit  # noqa: E402

from approxtopk_numba import intrinsics, kernels, run  # noqa: E402
from approxtopk_numba.bits import order, order_keys  # noqa: E402


@pytest.fixture
def samples_of_short_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a sample can be had of is selected from by it, however many are wanted."""
    caches = launch.launch, run.job
    for name, value in {
        "LONG": 1,
        "FEW": 1,
        "FEW_PER_KB": 0,
        "SAMPLED": 2,
        "LEAST_LINES": 1,
        "SPARSE": 2**62,
    }.items():
        monkeypatch.setattr(launch, name, value)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that samples did not do for, of all calls."""
    rows: list[int] = []
    by_lanes = run._run_by_lanes

    def run_by_lanes(*given: Any) -> None:
        rows.extend(range(*given[-2:]))
        by_lanes(*given)

    monkeypatch.setattr(run, "_run_by_lanes", run_by_lanes)
    return rows


@pytest.mark.parametrize(
    "dtype",
    [
        *("float32", "int8"),
        *(pytest.param(dtype, marks=pytest.mark.exhaustive) for dtype in ("float16", "int64")),
    ],
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_equals_the_reference(samples_of_short_rows: None, dtype: str, data: st.DataObject) -> None:
    case = data.draw(cases(dtype, (1, 3)))
    check(case, "numba")
    check_exactness(case, "numba")


@contextmanager
def subnormals_are_zeros() -> Iterator[None]:
    """This thread's processor is told to take them for that, as PyTorch's users can."""
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor can't be told")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("recall", [0.9, 1.0])
def test_rows_that_mislead(recall: float, largest: bool, missed: list[int]) -> None:
    """The best of every second row are in its sample: its floor is too high for the others."""
    n, k = 40_000, 300
    rng = np.random.default_rng(0)
    arr = rng.standard_normal((9, n), dtype=np.float32)
    plan = approxtopk.plan(n, k, recall=recall)
    request = Request(arr.shape, "float32", "cpu", 1, k, plan.b, plan.kb, exact=plan.exact)
    places = launch.sampled_places(n, launch.sampled(request).lines, 4)
    arr[1::2, places[::5]] += 10.0 if largest else -10.0
    how = {"b": plan.b, "kb": plan.kb, "largest": largest, "sorted": True, "interleaved": True}
    case = Case(arr, k, how if recall < 1 else {**how, "b": n, "kb": 1})
    asked = {**how, "recall": 1.0} if recall == 1.0 else how
    got = approxtopk.topk(arr, k, backend="numba", **asked)
    np.testing.assert_array_equal(got.indices, case.expected())
    assert missed == [1, 3, 5, 7]
    check_exactness(case._replace(how=how), "numba")


def test_buckets_that_drop_more_than_expected(missed: list[int]) -> None:
    """Of what is collected too little is kept."""
    n, k = 40_000, 200
    arr = np.random.default_rng(0).standard_normal((4, n), dtype=np.float32)
    how = {"b": 4096, "kb": 1, "largest": True, "sorted": True, "interleaved": True}
    arr[2, np.arange(n) % 4096 < 100] += 10.0
    case = Case(arr, k, how)
    check(case, "numba")
    assert missed == [2]
    check_exactness(case, "numba")


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_numbers_are_no_zeros(dtype: str, largest: bool, backend: str) -> None:
    """Even if the processor is told that they are."""
    n, k = 20_000, 100
    bits = np.random.default_rng(0).integers(0, 2**20, (3, n), dtype=f"u{np.dtype(dtype).itemsize}")
    arr = bits.view(dtype) * np.where(np.arange(n) % 3, 1, -1).astype(dtype)
    arr[1] = np.where(arr[1] > 0, 0, arr[1])  # the k-th best is 0
    arr[2, ::50] = 1.0 if largest else -1.0
    how = {"b": 1024, "kb": 1, "largest": largest, "sorted": True, "interleaved": True}
    case = Case(arr, k, how)
    expected = case.expected(), case._replace(how=case.exactly()).expected()
    with subnormals_are_zeros():
        assert not (arr[0] > 0).any()
        for asked, indices in zip(({}, {"recall": 1.0}), expected, strict=True):
            got = approxtopk.topk(arr, k, backend=backend, **how, **asked)
            np.testing.assert_array_equal(got.indices, indices)


@njit
def marks_of(x: np.ndarray, floor: int, infinity: int, flip: int) -> int:
    return intrinsics.marks(x, 0, floor, infinity, flip)


@njit
def keys_of(x: np.ndarray, infinity: int, flip: int, keys: np.ndarray) -> None:
    for i in range(x.size):
        keys[i] = intrinsics.order_key(x[i], infinity, flip)


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
def test_marks(dtype: str, flushed: bool) -> None:
    """Of every floor that there is, or may be: those beside all kinds of elements."""
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    if dtype.startswith("float"):
        info = np.finfo(dtype)
        some = [0, info.smallest_subnormal, info.tiny, 1, info.max, np.inf, np.nan]
        at = np.array([*some, *(-number for number in map(np.dtype(dtype).type, some))], dtype)
    else:
        info = np.iinfo(dtype)
        at = np.array([info.min, info.max, 0, 5], dtype)
    near = at.view(bits)[:, None] + np.array([0, 1, -1, 2, -2]).astype(bits)
    x = np.resize(near.ravel(), 64)
    with subnormals_are_zeros() if flushed else nullcontext():
        for largest in (True, False):
            how = order(dtype, largest)
            keys = np.empty_like(x)
            keys_of(x, how.infinity, how.flip, keys)
            np.testing.assert_array_equal(keys, order_keys(x, how))
            greatest = np.iinfo(bits).max
            for floor in {0, greatest, *keys.tolist(), *(min(int(k) + 1, greatest) for k in keys)}:
                marked = marks_of(x, bits.type(floor), how.infinity, how.flip)
                reach = [i for i in range(64) if int(keys[i]) >= floor]
                assert [i for i in range(64) if marked >> i & 1] == reach, (floor, largest)


@njit
def threshold(keys: np.ndarray, k: int, most: int) -> tuple[int, int]:
    return kernels.threshold(keys, 0, keys.size, k, most)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_threshold(width: int) -> None:
    """The k-th greatest, however keys are spread; or a key that exactly k or a few more reach."""
    rng, greatest = np.random.default_rng(0), 2 ** (8 * width) - 1
    for spread in ("even", "equal", "two", "steep", "extremes"):
        for size in (1, 2, 130, 1000):
            fractions = {
                "even": rng.random(size),
                "equal": np.full(size, 0.3),
                "two": rng.integers(0, 2, size),
                "steep": rng.random(size) ** 40,
                "extremes": np.r_[0.0, 1.0, rng.random(size) * 1e-3][:size],
            }[spread]
            keys = (np.minimum(fractions, 0.999) * float(greatest)).astype(f"u{width}")
            keys[fractions == 1.0] = greatest
            ranked = np.sort(keys)[::-1]
            for k in {1, size // 3 + 1, size}:
                for most in (k, k + k // 8 + 1):
                    floor, ties = threshold(keys, k, most)
                    reach = int((keys >= floor).sum())
                    if k <= reach <= most:
                        assert ties == k
                    else:
                        assert floor == ranked[k - 1]
                        assert ties == k - int((keys > floor).sum()) > 0
