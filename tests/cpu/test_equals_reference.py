"""Both CPU backends against the plain reference: the same winners, bit for bit, in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
from cpu_cases import DTYPES, Case, cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import approxtopk
from approxtopk import Request
from approxtopk.testing import LAWS, Subject, adversaries
from approxtopk_numpy import fast
from approxtopk_numpy.memory import block_rows, piece_count
from approxtopk_numpy.reaching import kth_best, reaching_in_few
from approxtopk_numpy.stage1 import Reader, keep_interleaved

quick = settings(
    max_examples=60,
    deadline=None,  # the first example of a kind compiles
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: Every queue length on one type, and two of them on every type, so that little is compiled.
KERNELS = [("float32", (kb,)) for kb in range(1, 9)] + [
    (dtype, (1, 3)) for dtype in DTYPES if dtype != "float32"
]


def check(case: Case, backend: str, array: np.ndarray | None = None, axis: int = -1) -> None:
    array = case.rows if array is None else array
    before = array.tobytes()
    values, indices = approxtopk.topk(array, case.k, axis=axis, backend=backend, **case.how)
    assert array.tobytes() == before
    taken = np.take_along_axis(array, indices, axis)
    assert taken.tobytes() == values.tobytes()
    indices = np.moveaxis(indices, axis, -1).reshape(len(case.rows), case.k)
    expected = case.expected()
    if not case.how["sorted"]:
        expected, indices = np.sort(expected, axis=1), np.sort(indices, axis=1)
    np.testing.assert_array_equal(indices, expected)


def check_exactness(case: Case, backend: str) -> None:
    """An exact answer is the reference's, and a certificate tells whether another is."""
    how = {**case.how, "sorted": True}
    got = approxtopk.topk(case.rows, case.k, backend=backend, certificate=True, **how)
    exact = approxtopk.topk(case.rows, case.k, backend=backend, recall=1.0, **how)
    np.testing.assert_array_equal(exact.indices, case._replace(how=case.exactly()).expected())
    np.testing.assert_array_equal(got.exact, (got.indices == exact.indices).all(axis=1))


@pytest.mark.parametrize(("dtype", "queues"), KERNELS)
@quick
@given(data=st.data())
def test_numba(dtype: str, queues: tuple[int, ...], data: st.DataObject) -> None:
    pytest.importorskip("numba")
    check(data.draw(cases(dtype, queues)), "numba")


@quick
@given(case=cases("float32", (1, 2)))
def test_numba_on_many_threads(many_threads: None, case: Case) -> None:
    check(case, "numba")
    check_exactness(case, "numba")


def test_a_row_that_threads_share_is_certified(many_threads: None) -> None:
    """By plans that may miss something; the queues are as long as in the test before."""
    from approxtopk_numba.launch import launch

    backend, certified = Subject("numba"), [0, 0]
    made = (adversaries("float32", 1, seed, (500, 3000)) for seed in range(16))
    for case in chain.from_iterable(made):
        plan = (case.k, case.b, case.kb, case.largest, case.sorted, case.interleaved)
        if case.kb > 2 or launch(Request((1, case.n), "float32", "cpu", 1, *plan)).parts == 1:
            continue
        for letter in "rstu":
            LAWS[letter](backend, case)
        *_, exact = backend(case.array, case.k, **case.arguments, certificate=True)
        certified[int(exact[0])] += 1
    assert min(certified) >= 20


@pytest.mark.parametrize("dtype", DTYPES)
@quick
@given(data=st.data())
def test_numpy(dtype: str, data: st.DataObject) -> None:
    check(data.draw(cases(dtype, (1, 2, 3, 8, 17, 40))), "numpy")


@pytest.fixture
def few_own_buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short rows, too, are solved by buckets of the backend's own."""
    caches = fast.as_solved, fast.by_cheapest_buckets, block_rows, piece_count
    monkeypatch.setattr(fast, "FEWEST_BUCKETS", 4)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64"])
@quick
@given(data=st.data())
def test_numpy_by_its_own_buckets(few_own_buckets: None, dtype: str, data: st.DataObject) -> None:
    case = data.draw(cases(dtype, (1, 2, 3)))
    check(case, "numpy")
    check_exactness(case, "numpy")


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(
    ("pattern", "ways"), [("random", 0), ("the best in few buckets", 1), ("constant", 0)]
)
@pytest.mark.parametrize(("k", "b", "kb"), [(60, 1000, 2), (400, 700, 3)])
def test_rows_that_drop_more_than_expected(
    k: int, b: int, kb: int, pattern: str, ways: int, largest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own buckets suffice for usual rows; others are selected from by the buckets asked for."""
    asked = []
    by_all = fast.by_all_buckets

    def by_all_buckets(*given: Any) -> Any:
        asked.append(given)
        return by_all(*given)

    monkeypatch.setattr(fast, "by_all_buckets", by_all_buckets)
    rng = np.random.default_rng(k)
    arr = rng.standard_normal((2, 20_000), dtype=np.float32)
    if pattern == "constant":
        arr[:] = 0.0
    elif pattern != "random":
        arr[1, np.arange(20_000) % b < 16] += 10.0 if largest else -10.0
    how = {"b": b, "kb": kb, "largest": largest, "sorted": True, "interleaved": True}
    case = Case(arr, k, how)
    check(case, "numpy")
    assert len(asked) == ways
    check_exactness(case, "numpy")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@quick
@given(data=st.data())
def test_numpy_in_small_parts(few_elements_at_once: None, dtype: str, data: st.DataObject) -> None:
    check(data.draw(cases(dtype, (1, 2, 40))), "numpy")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@quick
@given(case=cases("float32", (1, 2)), way=st.integers(0, 6))
def test_wherever_the_elements_lie(backend: str, case: Case, way: int) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    rows = case.rows
    spaced = np.zeros((len(rows), 2 * rows.shape[1]), rows.dtype)[:, ::2]
    spaced[:] = rows
    padded = np.zeros((len(rows), rows.shape[1] + 3), rows.dtype)[:, :-3]
    padded[:] = rows
    misaligned = np.zeros(rows.nbytes + 1, np.uint8)[1:].view(rows.dtype).reshape(rows.shape)
    misaligned[:] = rows
    read_only = rows.copy()
    read_only.flags.writeable = False
    ways = {
        0: (np.asfortranarray(rows), -1),
        1: (rows.T, 0),
        2: (spaced, -1),
        3: (padded, -1),
        4: (misaligned, -1),
        5: (rows.astype(rows.dtype.newbyteorder()), -1),
        6: (read_only, -1),
    }
    check(case, backend, *ways[way])


@quick
@given(case=cases("float32", (1, 2)), exact=st.booleans())
def test_numba_in_pieces(rows_are_cut: None, case: Case, exact: bool) -> None:
    """Long rows that have to be copied; their certificate too."""
    spaced = np.zeros((len(case.rows), 2 * case.rows.shape[1]), case.rows.dtype)[:, ::2]
    spaced[:] = case.rows
    check(case, "numba", spaced)
    how = {**case.how, "certificate": True, **({"recall": 1.0} if exact else {})}
    got = approxtopk.topk(spaced, case.k, backend="numba", **how)
    true = approxtopk.topk(case.rows, case.k, backend="numpy", **how)
    np.testing.assert_array_equal(np.sort(got.indices), np.sort(true.indices))
    np.testing.assert_array_equal(got.exact, true.exact)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        *[("numpy", dtype) for dtype in ("float16", "float32", "int8", "int64")],
        *[("numba", dtype) for dtype in ("float64", "int8")],
    ],
)
@quick
@given(data=st.data())
def test_without_memory(no_memory: None, backend: str, dtype: str, data: st.DataObject) -> None:
    """Every row in pieces; and exact, and with a certificate."""
    if backend == "numba":
        pytest.importorskip("numba")
    case = data.draw(cases(dtype, (2,) if backend == "numba" else (1, 3, 20)))
    check(case, backend)
    check_exactness(case, backend)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("largest", [True, False])
def test_bfloat16(backend: str, largest: bool) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    if backend == "numba":
        pytest.importorskip("numba")
    bits = np.random.default_rng(0).permutation(2**16).astype(np.uint16).reshape(4, -1)
    rows = bits.view(ml_dtypes.bfloat16)
    how = {"b": 1000, "kb": 2, "largest": largest, "sorted": True, "interleaved": True}
    values, indices = approxtopk.topk(rows, 500, backend=backend, **how)
    np.testing.assert_array_equal(indices, Case(rows, 500, how).expected())
    np.testing.assert_array_equal(values.view(np.uint16), np.take_along_axis(bits, indices, axis=1))


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_few_buckets_hold_all_that_reaches_the_bar(rows: int, largest: bool, dtype: str) -> None:
    """What is found in them is what is found by looking at everything, the last elements too."""
    rng = np.random.default_rng(rows)
    n, b, read = 200_003, 2048, Reader(largest, as_keys=False)
    scale = 1000.0 * np.arange(1, rows + 1)[:, None]
    arr = (rng.standard_normal((rows, n)) * scale).astype(dtype)
    best = arr.max(axis=1) if largest else arr.min(axis=1)
    arr[:, -3:] = best[:, None]  # beyond the last whole step, and ties
    for k in (1, 120, 400):
        kept = keep_interleaved(arr, b, 1, read)
        assert kept is not None
        bar = kth_best(kept[0], k, largest)
        bucket = np.flatnonzero(read.direction.as_good(kept[0], bar))
        found = reaching_in_few(arr, bucket, b, bar, read)
        assert (found is None) == (k == 400)
        if found is not None:
            row, i = np.nonzero(read.direction.as_good(arr, bar))
            assert len(i) >= max(3, k) * rows
            assert np.array_equal(found[0], row)
            assert np.array_equal(found[1], i)
