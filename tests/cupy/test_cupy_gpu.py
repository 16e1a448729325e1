"""What only a CUDA device has: streams, graphs, several devices, other libraries' memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import approxtopk

pytest.importorskip("cupy.cuda")

import cupy
from cuda_arrays import to_numpy

pytestmark = [
    pytest.mark.gpu,
    # Numba computes with what NumPy deprecates.
    pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning"),
]

#: A plan of one launch, and one of two with scratch memory between them.
PLANS = {"fused": ((300, 8192), 64, 512, 2), "scratch": ((2, 2**21), 40, 16, 4)}
SPIN = """
extern "C" __global__ void spin(long long cycles) {
  long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


@pytest.fixture(autouse=True)
def _cuda(usable: None) -> None:
    pass


@pytest.fixture(params=PLANS.values(), ids=PLANS)
def plan(request: pytest.FixtureRequest) -> Any:
    return request.param


def normal(shape: tuple[int, ...], seed: int = 0) -> Any:
    return cupy.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def select(arr: Any, plan: Any, **more: Any) -> Any:
    _, k, b, kb = plan
    return approxtopk.topk(arr, k, b=b, kb=kb, backend="cupy", sorted=True, **more)


def expected(arr: Any, plan: Any) -> Any:
    _, k, b, kb = plan
    return approxtopk.topk(cupy.asnumpy(arr), k, b=b, kb=kb, sorted=True, backend="numpy")


def agrees(result: Any, arr: Any, plan: Any) -> bool:
    """Whether a result is what NumPy selects."""
    pairs = zip(result, expected(arr, plan), strict=True)
    return all((to_numpy(got) == wanted).all() for got, wanted in pairs)


def spin(seconds: float) -> None:
    """Keeps the current stream busy, from now on or earlier."""
    cupy.RawKernel(SPIN, "spin")((1,), (1,), (int(seconds * 2e9),))


@contextmanager
def no_waiting(busy: float = 0.2) -> Iterator[None]:
    """Fails where the host waits for a stream that is busy all the while."""
    spin(busy)
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    assert took < busy / 2, f"the host was held for {took:.3f} s"


def test_the_kernels_serve_cupy_arrays() -> None:
    explained = approxtopk.explain(cupy.zeros((4, 1 << 16), "f4"), 64)
    assert explained.backend == "cupy"
    assert explained.kernel == "CUDA: fused"
    assert "cuda:0" in {s.name: s for s in approxtopk.backends()}["cupy"].devices[0]


@pytest.mark.parametrize("block", range(8))
def test_answers_are_those_of_the_torch_backend(block: int) -> None:
    """Bit for bit and in the same order, whatever the layout."""
    torch = pytest.importorskip("torch")
    from test_gpu import random_case

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


@pytest.mark.parametrize("more", [{}, {"certificate": True}], ids=["plain", "certificate"])
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
            assert agrees(result[:2], fresh, plan)
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


# ---- arrays of other libraries ------------------------------------------------------------------


class Described:
    """An array that is known by its `__cuda_array_interface__` alone."""

    def __init__(self, arr: Any, stream: int | None = None, read_only: bool = False, **more: Any):
        self.arr = arr
        data = (arr.data.ptr, read_only)
        interface = {**arr.__cuda_array_interface__, "stream": stream, "data": data}
        self.interface = {**interface, "version": 3, **more}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.interface


def test_read_only_arrays_are_read_and_not_written(plan: Any) -> None:
    arr = normal(plan[0])
    assert agrees(select(Described(arr, read_only=True), plan), arr, plan)
    values, indices = select(arr, plan)
    with pytest.raises(ValueError, match=r"out\[0\] \(values\) must be writable"):
        select(arr, plan, out=(Described(values, read_only=True), indices))
    out = Described(values), Described(indices)
    values[...], indices[...] = 0, 0
    assert select(arr, plan, out=out).values is out[0]
    assert agrees((values, indices), arr, plan)


def test_a_view_is_no_copy() -> None:
    from approxtopk_cupy import foreign

    arr = normal((4, 100))[:, ::2]
    view = foreign.borrow(Described(arr))
    assert (view.data.ptr, view.strides, view.shape) == (arr.data.ptr, arr.strides, arr.shape)


def test_the_named_stream_and_the_current_one_wait_for_each_other(plan: Any) -> None:
    arr, fresh = cupy.zeros(plan[0], "f4"), normal(plan[0])
    owner, current = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    select(Described(arr, owner.ptr), plan)
    cupy.cuda.Device().synchronize()
    with owner:
        spin(0.1)
        arr[...] = fresh
    with current:
        result = select(Described(arr, owner.ptr), plan)  # sees what the owner wrote
        spin(0.1)
        again = select(Described(arr, owner.ptr), plan)
    with owner:
        arr[...] = np.inf  # must not be seen by the call before
    cupy.cuda.Device().synchronize()
    assert agrees(result, fresh, plan)
    assert agrees(again, fresh, plan)


def test_no_library_makes_the_host_wait(plan: Any) -> None:
    jnp = pytest.importorskip("jax.numpy")
    from numba import cuda

    arr = normal(plan[0])
    owner = cupy.cuda.Stream(non_blocking=True)
    jax_array = jnp.asarray(cupy.asnumpy(arr))
    numba_array = cuda.as_cuda_array(Described(arr, owner.ptr), sync=False)
    assert numba_array.__cuda_array_interface__["stream"] == owner.ptr
    for given in (jax_array, numba_array):
        select(given, plan)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as current:
        for given in (jax_array, numba_array):
            with no_waiting():
                result = select(given, plan)
            current.synchronize()
            assert agrees(result, arr, plan)


def test_memory_is_not_given_back_before_it_is_read() -> None:
    from approxtopk_cupy import foreign

    released = []

    class Owner(Described):
        def __del__(self) -> None:
            released.append(True)

    plan = PLANS["fused"]
    arr = normal(plan[0])
    select(Described(arr), plan)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        spin(0.1)
        select(Owner(arr), plan)
        assert not released
        stream.synchronize()
        select(Described(arr), plan)
        assert released
        stream.synchronize()
    assert len(foreign._kept) <= 1


def test_jax_arrays_are_answered_in_kind() -> None:
    jax = pytest.importorskip("jax")
    plan = PLANS["fused"]
    arr = normal(plan[0])
    given = jax.device_put(cupy.asnumpy(arr))
    result = select(given, plan, certificate=True)
    assert all(isinstance(array, jax.Array) for array in result)
    assert all(array.devices() == given.devices() for array in result)
    assert agrees(result[:2], arr, plan)
    assert (jax.numpy.take_along_axis(given, result.indices, -1) == result.values).all()
    with pytest.raises(ValueError, match="must be writable, got a read-only"):
        select(given, plan, out=result[:2])
    for step in range(20):  # temporaries whose memory JAX wants again at once
        fresh = select(given + step, plan)
        assert (fresh.values == result.values + step).all()


def test_jax_in_jit_says_what_is_wrong() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="call outside jit"):
        jax.jit(lambda x: approxtopk.topk(x, 3))(jax.numpy.zeros(100))


def test_torch_tensors_are_answered_in_kind() -> None:
    torch = pytest.importorskip("torch")
    arr = torch.randn(4, 5000, device="cuda").to(torch.bfloat16)
    ours = approxtopk.topk(arr, 30, b=128, kb=2, sorted=True, backend="cupy")
    its = approxtopk.topk(arr, 30, b=128, kb=2, sorted=True, backend="torch")
    assert torch.equal(ours.values, its.values)
    assert torch.equal(ours.indices, its.indices)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: np.zeros(100, "f4"), TypeError, "serves cuda arrays, not cpu"),
        (lambda: Described(cupy.zeros(100, "f4"), mask=1), TypeError, "mask"),
        (lambda: Described(cupy.zeros(100, "f4"), typestr=">f4"), TypeError, ">f4"),
        (lambda: cupy.zeros(100, "c8"), TypeError, "complex64"),
        (lambda: cupy.zeros(404, "i1")[1:401], None, ""),
        (
            lambda: cupy.ndarray(100, "f4", cupy.cuda.alloc(404) + 1),
            ValueError,
            "multiples of their elements' size",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], error: Any, words: str) -> None:
    if error is None:
        approxtopk.topk(make(), 3, backend="cupy")
        return
    with pytest.raises(error, match=words):
        approxtopk.topk(make(), 3, backend="cupy")


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
