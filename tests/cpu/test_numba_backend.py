"""What the Numba backend does besides selecting: refusals, memory, threads, processes."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from processes import python

import approxtopk
from approxtopk.backend import Request

pytest.importorskip("numba")


def request(
    shape: tuple[int, ...], k: int, recall: float = 0.99, dtype: str = "float32"
) -> Request:
    plan = approxtopk.plan(shape[-1], k, recall=recall)
    return Request(shape, dtype, "cpu", len(shape) - 1, k, plan.b, plan.kb)


def test_long_queues_are_left_to_numpy() -> None:
    arr = np.arange(1000, dtype=np.float32)
    why = approxtopk.explain(arr, 50, b=10, kb=9)
    assert why.backend == "numpy"
    assert "kb=9" in why.passed_over["numba"]
    assert approxtopk.explain(arr, 50, b=10, kb=8).backend == "numba"
    assert approxtopk.explain(arr, 9, b=10, kb=9).backend == "numba"  # exact: no queue is needed


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


def test_read_only_arrays_are_nothing_else_to_compile(
    many_threads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they lie and whichever kernel reads them; nothing is written to them."""
    from approxtopk_numba import backend, counting, exact, kernels

    def signatures() -> list[int]:
        modules = (kernels, exact, counting)
        compiled = [one for module in modules for one in vars(module).values()]
        return [len(one.signatures) for one in compiled if hasattr(one, "signatures")]

    def answers(arr: np.ndarray, in_pieces: bool) -> list[np.ndarray]:
        if in_pieces:
            monkeypatch.setattr(backend, "block_rows", lambda *_: (1, 7))
        ways = ({"b": 100, "kb": 2}, {"b": 100, "kb": 2, "interleaved": False}, {"recall": 1.0})
        found = [approxtopk.topk(arr, 20, backend="numba", sorted=True, **how) for how in ways]
        return [part for pair in found for part in pair]

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, 6000), dtype=np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    bits = rows.view(np.uint32)
    frozen = rows.copy()
    frozen.flags.writeable = False
    pairs = [
        (rows, frozen),
        (rows, mapped),
        (rows[0], mapped[0]),  # threads share it
        (rows[:, ::2], frozen[:, ::2]),
        (rows[:, ::-1], mapped[:, ::-1]),
        (np.repeat(rows[:1], 3, axis=0), np.broadcast_to(rows[0], (3, 6000))),
        (np.repeat(rows[:, :1], 6000, axis=1), np.broadcast_to(rows[:, :1], (4, 6000))),
    ]
    for in_pieces in (False, True):
        expected = [answers(writable, in_pieces) for writable, _ in pairs]
        before = signatures()
        assert sum(before) > 0
        for (_, read_only), wanted in zip(pairs, expected, strict=True):
            assert not read_only.flags.writeable
            for got, want in zip(answers(read_only, in_pieces), wanted, strict=True):
                np.testing.assert_array_equal(got, want)
            assert not read_only.flags.writeable
        assert signatures() == before
    assert (rows.view(np.uint32) == bits).all()
    assert frozen.tobytes() == mapped.tobytes() == rows.tobytes()


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("size", [0, 7])
def test_read_only_elements_are_not_copied(dtype: str, size: int) -> None:
    """And live as long as what the kernels read."""
    from approxtopk_numba.bits import flat_bits

    if dtype == "bfloat16":
        made = np.arange(size).astype(pytest.importorskip("ml_dtypes").bfloat16)
    else:
        made = np.arange(size).astype(dtype)
    arr = np.broadcast_to(made, (1, size))
    bits = np.dtype(f"u{arr.itemsize}")
    flat = flat_bits(arr, bits)
    assert flat.flags.writeable
    assert flat.flags.c_contiguous
    assert flat.dtype == bits
    assert size == 0 or np.shares_memory(flat, made)
    expected = made.view(bits).copy()
    del arr, made
    np.testing.assert_array_equal(flat, expected)


CACHED = """
import numpy
from approxtopk import Request
from approxtopk_numba.backend import NumbaBackend
from approxtopk_numba.exact import select_exactly
NumbaBackend().topk(numpy.zeros(50, "uint8"), Request((50,), "uint8", "cpu", 0, k=5, b=50, kb=1))
print(select_exactly.stats.cache_path, sum(select_exactly.stats.cache_hits.values()), sep="\\n")
"""


WHERE = """
from approxtopk_numba.exact import select_exactly
print(select_exactly.stats.cache_path)
"""


def test_compiled_code_is_cached_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the package, even if that can be written to."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for hits in (0, 1):
        done = python(tmp_path, CACHED)
        assert done.returncode == 0, done.stderr
        folder, found = done.stdout.split("\n")[:2]
        assert int(found) == hits
        assert tmp_path in Path(folder).parents
    assert list(Path(folder).glob("exact.select_exactly-*.nbi"))

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    done = python(tmp_path, WHERE)
    assert tmp_path / "elsewhere" in Path(done.stdout.strip()).parents


def test_without_a_folder_to_cache_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from approxtopk_numba import cache

    monkeypatch.setattr(cache._Files, "_locator_classes", [])
    assert cache.entry(lambda number: number + 1)(1) == 2
