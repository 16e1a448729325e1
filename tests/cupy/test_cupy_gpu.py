"""What only a CUDA device has: streams, graphs, several devices, memory that runs out."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

import approxtopk

pytest.importorskip("cupy.cuda")

import cupy
from work import PLANS, Described, agrees, expected, no_waiting, normal, select

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("usable")]


def test_the_kernels_serve_cupy_arrays() -> None:
    explained = approxtopk.explain(cupy.zeros((4, 1 << 16), "f4"), 64)
    assert explained.backend == "cupy"
    assert explained.kernel == "CUDA: fused"
    assert "cuda:0" in {s.name: s for s in approxtopk.backends()}["cupy"].devices[0]


@pytest.mark.parametrize("block", range(8))
def test_answers_are_those_of_the_torch_backend(block: int) -> None:
    """Bit for bit and in the same order, whatever the layout."""
    torch = pytest.importorskip("torch")
    from gpu_cases import random_case

    from approxtopk.backend import Request
    from approxtopk_cupy import select as on_cupy
    from approxtopk_torch import cuda as on_torch

    for seed in range(block * 25, block * 25 + 25):
        tensor, request = random_case(seed)
        how = {**vars(request), "certificate": seed % 3 == 0, "exact": seed % 5 == 0}
        fields = {name: how[name] for name in Request.__dataclass_fields__}
        request = Request(**fields)
        arr = cupy.from_dlpack(tensor)
        assert arr.data.ptr == tensor.data_ptr()
        results = on_cupy.topk(arr, request)
        for got, wanted in zip(results, on_torch.topk(tensor, request), strict=True):
            got = torch.from_dlpack(got)
            assert got.dtype == wanted.dtype
            assert torch.equal(got.view(torch.uint8), wanted.view(torch.uint8)), (seed, request)


@pytest.mark.parametrize("n", [20000, 1 << 22])
def test_exact_answers_and_certificates(n: int) -> None:
    arr = normal((3, n))
    arr[0] = cupy.sort(arr[0])  # the whole top-k in neighbouring buckets
    exact = approxtopk.topk(arr, 500, recall=1.0, sorted=True)
    assert (exact.values == -cupy.sort(-arr, -1)[:, :500]).all()
    certified = approxtopk.topk(arr, 500, recall=0.99, certificate=True, sorted=True)
    assert certified.exact.dtype == np.bool_
    assert (certified.exact == (certified.indices == exact.indices).all(-1)).all()
    assert approxtopk.topk(arr, 500, recall=1.0, certificate=True).exact.all()


# ---- streams ------------------------------------------------------------------------------------


def test_streams_share_the_pool_safely(plan: Any) -> None:
    """Inputs, scratch and results come and go on four streams that overlap."""
    inputs = [normal(plan[0], seed) for seed in range(4)]
    wanted = [select(arr, plan) for arr in inputs]
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in inputs]
    cupy.cuda.Device().synchronize()
    for _ in range(10):
        results = []
        for arr, stream in zip(inputs, streams, strict=True):
            with stream:
                mine = arr + 0  # its memory is free again before it has been read
                results.append(select(mine, plan))
                del mine
                cupy.full(arr.shape, np.inf, "f4")
        cupy.cuda.Device().synchronize()
        for got, want in zip(results, wanted, strict=True):
            assert all((g == w).all() for g, w in zip(got, want, strict=True))


def test_the_current_stream_is_the_one(plan: Any) -> None:
    arr, zeros, fresh = normal(plan[0], 1), cupy.zeros(plan[0], "f4"), normal(plan[0])

    def work(new: Any) -> tuple[Any, Any]:
        arr[...] = new
        return select(arr, plan), select(arr, plan, certificate=True)[:2]

    work(zeros)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        with no_waiting():
            results = work(fresh)
        stream.synchronize()
        assert all(agrees(result, fresh, plan) for result in results)


def test_threads() -> None:
    plan = PLANS["fused"]
    arrays = [normal((20, 9000 + 100 * i), i) for i in range(4)]
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        for _ in range(10):
            results[number] = select(arrays[number], plan)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    cupy.cuda.Device().synchronize()
    assert all(agrees(results[number], arr, plan) for number, arr in enumerate(arrays))


# ---- graphs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [{}, {"certificate": True}, {"certificate": True, "recall": 1.0}],
    ids=["plain", "certificate", "exact"],
)
def test_a_graph_replays_on_changed_data(plan: Any, more: Any) -> None:
    """Also where the pool's memory has been given to others since the capture."""
    arr = normal(plan[0])
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        select(arr, plan, **more)
        stream.begin_capture()
        result = select(arr, plan, **more)
        graph = stream.end_capture()
        for seed in (1, 2):
            fresh = normal(plan[0], seed)
            others = [cupy.full(2**16, 7, "i4") for _ in range(40)]
            arr[...] = fresh
            graph.launch(stream)
            stream.synchronize()
            assert agrees(result, fresh, plan, **more)
            assert all((other == 7).all() for other in others)


def test_a_cold_capture_is_refused_and_harmless() -> None:
    plan = ((7, 1234), 9, 11, 3)
    arr = normal(plan[0])
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="call it once"):
            select(arr, plan)
        stream.end_capture()
    assert agrees(select(arr, plan), arr, plan)


# ---- the device ---------------------------------------------------------------------------------


def test_a_device_that_is_not_current() -> None:
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two CUDA devices")
    plan = PLANS["scratch"]
    with cupy.cuda.Device(1):
        arr = normal(plan[0])
    for given in (arr, Described(arr)):
        result = select(given, plan)
        assert result.values.data.device_id == 1
        assert cupy.cuda.runtime.getDevice() == 0
        with cupy.cuda.Device(1):
            assert agrees(result, arr, plan)
    with pytest.raises(ValueError, match="must have device cuda:1, got cuda:0"):
        select(arr, plan, out=(cupy.empty((2, 40), "f4"), cupy.empty((2, 40), "i8")))


def test_out_of_memory_leaves_everything_as_it_was() -> None:
    arr = normal((64, 1 << 16))
    before = arr.copy()
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes())
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            approxtopk.topk(arr, 1 << 15, b=1 << 15)
    finally:
        pool.set_limit(size=0)
    assert (arr == before).all()
    assert agrees(select(arr, ((), 64, 4096, 1)), arr, ((), 64, 4096, 1))


def test_nothing_to_select() -> None:
    for shape, k in (((0, 5), 2), ((5, 0), 0), ((3, 7), 0)):
        arr = cupy.empty(shape, "f4")
        for given in (arr, Described(arr)):
            result = approxtopk.topk(given, k, certificate=True, backend="cupy")
            assert result.values.shape == (shape[0], k)
            assert result.exact.all()


def test_random_layouts_of_out() -> None:
    plan = ((5, 3, 700), 20, 64, 1)
    arr = normal(plan[0])
    wanted = expected(arr, plan)
    for seed in range(12):
        rng = random.Random(seed)
        order = rng.sample(range(3), 3)
        shape = [(5, 3, 20)[axis] * 2 for axis in order]
        back = [order.index(axis) for axis in range(3)]
        out = tuple(cupy.zeros(shape, t)[::2, ::2, ::2].transpose(back) for t in ("f4", "i8"))
        assert select(arr, plan, out=out).values is out[0]
        assert all((cupy.asnumpy(o) == w).all() for o, w in zip(out, wanted, strict=True))
