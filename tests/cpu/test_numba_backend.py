"""What the Numba backend does besides selecting: refusals, memory, threads, processes."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import approxtopk
from approxtopk.backend import Request

pytest.importorskip("numba")


def request(
    shape: tuple[int, ...], k: int, recall: float = 0.99, dtype: str = "float32"
) -> Request:
    plan = approxtopk.plan(shape[-1], k, recall=recall)
    return Request(shape, dtype, "cpu", len(shape) - 1, k, plan.b, plan.kb)


WORKLOADS = [((1, 2**20), 64), ((1, 2**24), 1024), ((64, 131072), 64), ((32, 65536), 8192)]


def test_long_queues_are_left_to_numpy() -> None:
    arr = np.arange(1000, dtype=np.float32)
    why = approxtopk.explain(arr, 50, b=10, kb=9)
    assert why.backend == "numpy"
    assert "kb=9" in why.passed_over["numba"]
    assert approxtopk.explain(arr, 50, b=10, kb=8).backend == "numba"
    assert approxtopk.explain(arr, 9, b=10, kb=9).backend == "numba"  # exact: no queue is needed


@pytest.mark.parametrize(("shape", "k"), WORKLOADS)
def test_workspace_is_at_most_a_tenth_of_input_and_output(shape: tuple[int, int], k: int) -> None:
    from approxtopk_numba.launch import launch

    asked = request(shape, k)
    moved = 4 * shape[0] * shape[1] + 12 * shape[0] * k
    assert launch(asked).workspace <= 0.1 * moved


@pytest.mark.parametrize("recall", [0.99, 1.0])
@pytest.mark.parametrize(("shape", "k"), [((1, 2**22), 64), ((64, 2**14), 64), ((8, 2**16), 8192)])
def test_workspace_is_what_is_taken(shape: tuple[int, int], k: int, recall: float) -> None:
    arr = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    stated = approxtopk.explain(arr, k, recall=recall, backend="numba").workspace_bytes
    approxtopk.topk(arr, k, recall=recall, backend="numba")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    result = approxtopk.topk(arr, k, recall=recall, backend="numba")
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak <= stated + sum(part.nbytes for part in result) + 20_000  # objects of Python


def test_strided_rows_are_copied_in_blocks() -> None:
    arr = np.random.default_rng(0).standard_normal((2**14, 256), dtype=np.float32)
    approxtopk.topk(arr, 16, axis=0, backend="numba")
    tracemalloc.start()
    tracemalloc.reset_peak()
    values, indices = approxtopk.topk(arr, 16, axis=0, backend="numba")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 0.1 * arr.nbytes + 2 * (values.nbytes + indices.nbytes) + 500_000


def test_calls_from_many_threads(many_threads: None) -> None:
    arr = np.random.default_rng(0).standard_normal((8, 20_000), dtype=np.float32)
    expected = approxtopk.topk(arr, 100, recall=0.99, backend="numpy")[1]

    def call(_: int) -> bool:
        got = approxtopk.topk(arr, 100, recall=0.99, backend="numba")[1]
        return bool((np.sort(got) == np.sort(expected)).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(64)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_call_after_fork(many_threads: None) -> None:
    arr = np.random.default_rng(0).standard_normal((8, 20_000), dtype=np.float32)
    expected = approxtopk.topk(arr, 100, recall=0.99, backend="numba")[1]  # threads are running
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: threads and fork
        child = os.fork()
    if child == 0:
        same = False
        try:
            same = (approxtopk.topk(arr, 100, recall=0.99, backend="numba")[1] == expected).all()
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_error_in_a_thread_is_raised() -> None:
    from approxtopk_numba.threads import spread

    def fail(piece: int) -> None:
        raise ZeroDivisionError(piece)

    with pytest.raises(ZeroDivisionError):
        spread(fail, [(i,) for i in range(4)], 2)


def test_small_inputs_and_one_processor_start_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from approxtopk_numba import launch

    launch.launch.cache_clear()
    monkeypatch.setattr(launch, "most_threads", lambda: 16)
    assert launch.launch(request((1, 2**16), 64)).threads == 1
    assert launch.launch(request((1, 2**24), 1024)).parts == 16
    assert launch.launch(request((64, 2**17), 64)).threads == 8  # a thread for every 4 MiB
    launch.launch.cache_clear()
    monkeypatch.setattr(launch, "most_threads", lambda: 1)
    assert launch.launch(request((1, 2**24), 1024)).threads == 1
    launch.launch.cache_clear()


@pytest.mark.parametrize("pattern", ["equal", "rising", "falling", "one bucket", "nan"])
def test_exact_whatever_the_order(pattern: str) -> None:
    n, k = 20_000, 300
    arr = {
        "equal": np.zeros(n),
        "rising": np.arange(n),
        "falling": -np.arange(n),
        "one bucket": np.where(np.arange(n) % 2400 == 0, 1.0, np.arange(n) / n),
        "nan": np.where(np.arange(n) % 3 == 0, np.nan, np.arange(n)),
    }[pattern].astype(np.float32)
    for largest in (True, False):
        got = approxtopk.topk(arr, k, recall=1.0, largest=largest, sorted=True, backend="numba")
        true = approxtopk.topk(arr, k, recall=1.0, largest=largest, sorted=True, backend="numpy")
        np.testing.assert_array_equal(got.indices, true.indices)


def test_int32_indices_and_out() -> None:
    arr = np.random.default_rng(0).standard_normal((3, 5000), dtype=np.float32)
    expected = approxtopk.topk(arr, 20, b=500, backend="numba")
    out = np.empty((3, 20), np.float32), np.empty((20, 3), np.int32).T
    got = approxtopk.topk(arr, 20, b=500, index_dtype="int32", out=out, backend="numba")
    assert got.indices is out[1]
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_array_equal(got.values, expected.values)


def test_without_a_folder_to_cache_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.caching import CacheImpl

    from approxtopk_numba.kernels import entry

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert entry(lambda number: number + 1)(1) == 2
