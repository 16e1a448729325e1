"""The kernels on a GPU against the NumPy reference: random problems, then the awkward ones."""

from __future__ import annotations

import ctypes
import random
from dataclasses import replace
from typing import Any

import pytest
from problems import DTYPES, ties_of_two_steps

torch = pytest.importorskip("torch")

from gpu_cases import check, fill, make_request, random_case  # noqa: E402

from approxtopk.backend import count_candidates  # noqa: E402
from approxtopk_cuda import Problem  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("block", range(32))
def test_random_problems(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        arr, request = random_case(seed)
        try:
            check(arr, request)
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, strides {arr.stride()}: {request}: {error}"
            ) from error


def normal(*shape: int, dtype: Any = None, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return torch.randn(*shape, device="cuda").to(dtype or torch.float32)


@pytest.mark.parametrize("seed", range(24))
def test_out_of_any_layout(seed: int) -> None:
    """Results go into strided and misaligned outputs, and nowhere else."""
    rng = random.Random(seed)
    arr, request = random_case(10_000 + seed)
    kind, index = arr.dtype, getattr(torch, request.index_dtype)
    shape = request.out_shape
    wide = (*shape[:-1], shape[-1] * 2 + 3)
    start = rng.randint(0, 2)
    values = torch.zeros(wide, dtype=kind, device="cuda")
    indices = torch.full(wide, -7, dtype=index, device="cuda")
    views = (
        values[..., start : start + 2 * shape[-1] : 2],
        indices[..., start : start + 2 * shape[-1] : 2],
    )
    check(arr, request, views)
    untouched = torch.ones(wide, dtype=torch.bool)
    untouched[..., start : start + 2 * shape[-1] : 2] = False
    assert (indices.cpu()[untouched] == -7).all()


@pytest.mark.parametrize("rows", [65535, 65536, 100000, 2**20])
@pytest.mark.parametrize(("k", "b", "kb"), [(4, 8, 1), (16, 16, 1), (5, 3, 2), (12, 6, 3)])
def test_many_rows(rows: int, k: int, b: int, kb: int) -> None:
    arr = normal(rows, 40)
    if k > count_candidates(40, b, kb):
        pytest.skip("too few candidates")
    check(arr, make_request((rows, 40), "float32", 1, k, b, kb, sorted=k == 5))
    turned = arr.t().contiguous()
    check(turned, make_request((40, rows), "float32", 0, k, b, kb))


@pytest.mark.parametrize(
    ("shape", "k", "b", "kb", "more"),
    [
        ((64, 131072), 64, 4096, 1, {}),
        ((64, 131072), 64, 4096, 1, {"sorted": True}),
        ((16, 131072), 100, 512, 2, {}),
        ((128, 65536), 500, 2048, 2, {}),
        ((128, 65536), 128, 4096, 1, {"largest": False}),
        ((200, 65536), 2048, 4096, 3, {"sorted": True}),
        ((600, 16384), 64, 512, 2, {}),
        ((600, 16384), 64, 4096, 1, {}),
        ((1, 2**22), 1024, 65536, 1, {}),
        ((1, 2**22), 5000, 65536, 1, {"sorted": True}),
        ((2, 2**21), 40, 16, 4, {}),
        ((1, 2**22), 10, 1, 10, {"sorted": True}),
        ((4096, 256), 8, 64, 2, {}),
        ((3, 300000), 70000, 30000, 3, {"sorted": True}),
        ((2, 300000), 90000, 30000, 3, {"sorted": True}),
        ((16, 131072), 64, 8192, 1, {}),
        ((16, 131072), 64, 8192, 1, {"sorted": True, "largest": False}),
        ((8500, 1056), 64, 132, 2, {}),
        ((2000, 4096), 64, 256, 2, {}),  # a warp a row
        ((2, 2**20), 1000, 65536, 1, {}),
        ((2, 2**20), 3000, 65536, 1, {"sorted": True}),
        ((1, 2**20), 100, 40000, 1, {}),
        ((8, 131072), 2048, 4096, 3, {"sorted": True}),
        ((8, 131072), 2048, 4096, 3, {}),  # all blocks of a cluster select
        ((3, 131072), 600, 4096, 1, {"largest": False, "index_dtype": "int32"}),
        ((20, 70001), 3000, 2048, 2, {}),  # more than buckets, of rows that begin anywhere
        ((4, 200000), 900, 1024, 4, {}),  # whose parts are merged
        ((40, 65536), 4096, 8192, 2, {"sorted": True, "largest": False}),
        ((700, 16384), 256, 512, 3, {"sorted": True}),
        ((700, 16384), 2000, 1024, 4, {"sorted": True}),
        ((3000, 1000), 60, 128, 2, {"sorted": True}),
    ],
)
@pytest.mark.parametrize("pattern", ["normal", "few", "bound", "crowded"])
def test_kinds_of_kernels(shape: Any, k: int, b: int, kb: int, more: Any, pattern: str) -> None:
    for dtype in ("float32", "bfloat16", "int8", "int64"):
        arr = fill(shape, dtype, pattern, random.Random(k)).cuda()
        check(arr, make_request(shape, dtype, len(shape) - 1, k, b, kb, **more))


@pytest.mark.parametrize("gap", [1, 2, 6])
@pytest.mark.parametrize(
    ("rows", "n", "k", "b", "kb"),
    [
        (140, 9001, 60, 512, 2),
        (9, 20003, 100, 1024, 1),
        (16, 70001, 64, 8192, 1),
        (600, 5001, 40, 256, 2),
        (3000, 2051, 8, 128, 1),
        (200, 40001, 900, 2048, 3),
    ],
)
def test_rows_that_begin_anywhere(rows: int, n: int, k: int, b: int, kb: int, gap: int) -> None:
    """A view from the second element on, of rows that lie so many elements apart."""
    for dtype in DTYPES:
        pattern = "any" if dtype == "float64" else "few" if dtype == "int32" else "normal"
        flat = fill((1 + rows * (n + gap),), dtype, pattern, random.Random(k)).cuda()
        arr = flat[1:].view(rows, n + gap)[:, :n]
        check(arr, make_request((rows, n), dtype, 1, k, b, kb))


@pytest.mark.parametrize("pattern", ["normal", "special", "few"])
@pytest.mark.parametrize(
    ("n", "b", "dtype", "more"),
    [
        (8192, 512, "bfloat16", {}),
        (8201, 1024, "float16", {"sorted": True}),
        (8200, 512, "int16", {"largest": False}),
        (4096, 512, "float32", {"largest": False}),
        (4100, 512, "int32", {}),
    ],
)
def test_rows_that_stay_in_shared_memory(
    n: int, b: int, dtype: str, more: Any, pattern: str
) -> None:
    """Several waves of them, answered from what reaches a bound, or, of few values, as others."""
    shape = (3700, n)
    arr = fill(shape, dtype, pattern, random.Random(n)).cuda()
    for k in (64, 11):
        check(arr, make_request(shape, dtype, 1, k, b, 2, **more))


@pytest.mark.parametrize("pattern", ["normal", "special", "few"])
@pytest.mark.parametrize("rows", [1, 60, 200])
def test_rows_in_registers(rows: int, pattern: str) -> None:
    """Few of them, answered from what reaches a bound, or, of few values, as others."""
    kinds: tuple[tuple[int, int, str, Any], ...] = (
        (16384, 1024, "bfloat16", {}),
        (8201, 1000, "float16", {"sorted": True}),
        (32768, 512, "int16", {"largest": False}),
        (16384, 2048, "float32", {"largest": False}),
        (4100, 512, "int32", {}),
    )
    for n, b, dtype, more in kinds:
        arr = fill((rows, n), dtype, pattern, random.Random(n)).cuda()
        for k in (64, 11):
            check(arr, make_request((rows, n), dtype, 1, k, b, 2, **more))


@pytest.mark.parametrize("rows", [1, 40, 300, 1000])
@pytest.mark.parametrize("more", [5, 40])
def test_equal_elements_of_a_step_and_the_next_are_in_one_bin_of_positions(
    rows: int, more: int
) -> None:
    """As on the host, see `test_emulated_order`: a fault that wrote outside of a bin's counts."""
    ties = torch.from_numpy(ties_of_two_steps(rows)).cuda()
    for dtype in ("int8", "int16", "float16", "bfloat16"):
        arr = ties.to(getattr(torch, dtype))
        check(arr, make_request(tuple(arr.shape), dtype, 1, 1000 + more, 1000, 2, sorted=True))


def test_more_than_two_to_the_31_elements() -> None:
    """Offsets of rows are 64-bit: the last of 2**31 + elements are as right as the first."""
    from approxtopk_torch import cuda

    rows, n = 2**16 + 3, 2**15
    arr = torch.zeros(rows, n, dtype=torch.int8, device="cuda")
    arr[:, 777] = 5
    arr[-1, 778] = 6
    request = make_request((rows, n), "int8", 1, 2, 64, 1, sorted=True)
    _, indices = cuda.topk(arr, request)
    assert indices[:-1].tolist()[::4096] == [[777, 0]] * len(range(0, rows - 1, 4096))
    assert indices[-1].tolist() == [778, 777]


def test_a_row_of_more_than_two_to_the_31_elements() -> None:
    from approxtopk_torch import cuda

    n = 2**31 + 2**12
    arr = torch.zeros(n, dtype=torch.int8, device="cuda")
    places = [5, 2**31 - 1, 2**31 + 77, n - 3]  # of four buckets
    for place, value in zip(places, (9, 8, 7, 6), strict=True):
        arr[place] = value
    request = make_request((n,), "int8", 0, 4, 4096, 1, sorted=True)
    values, indices = cuda.topk(arr, request)
    assert indices.tolist() == places
    assert values.tolist() == [9, 8, 7, 6]


@pytest.mark.parametrize(
    ("shape", "k", "b", "kb", "more"),
    [
        ((64, 131072), 64, 4096, 1, {}),
        ((128, 65536), 8192, 4096, 2, {}),
        ((1, 2**22), 1024, 65536, 1, {}),
        ((2, 300000), 70000, 30000, 3, {"sorted": True}),
    ],
)
def test_graph_replays_on_changed_data(shape: Any, k: int, b: int, kb: int, more: Any) -> None:
    from approxtopk_torch import cuda

    request = make_request(shape, "float32", 1, k, b, kb, **more)
    arr = normal(*shape)
    cuda.topk(arr, request)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values, indices = cuda.topk(arr, request)
    for seed in (1, 2):
        fresh = normal(*shape, seed=seed)
        arr.copy_(fresh)
        graph.replay()
        torch.cuda.synchronize()
        expected = cuda.topk(fresh, request)
        assert torch.equal(values, expected[0])
        assert torch.equal(indices, expected[1])


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize(
    ("shape", "k", "b", "kb"),
    [
        ((8192, 256), 8, 32, 2),  # a few lanes a row
        ((32, 4096), 64, 2048, 1),  # a block a row
        ((128, 4096), 64, 256, 2),  # one of four blocks that a multiprocessor has room for
        ((500, 8192), 64, 512, 2),  # four of four
        ((64, 131072), 64, 4096, 1),  # a cluster a row
        ((1, 2**22), 1024, 65536, 1),  # two launches
        ((128, 65536), 8192, 4096, 2),  # stage 1 alone
    ],
)
def test_what_was_written_just_before_is_seen(
    shape: Any, k: int, b: int, kb: int, captured: bool
) -> None:
    """By a kernel, a copy, a memset, in place or on another stream: launches begin early."""
    from approxtopk_torch import cuda

    request = make_request(shape, "float32", 1, k, b, kb)
    sources = [normal(*shape, seed=seed) for seed in range(3)]
    arr, side = sources[0].clone(), torch.cuda.Stream()

    def run() -> list[Any]:
        found = []
        for i in range(8):
            arr.copy_(sources[i % 3])
            found.append(cuda.topk(arr, request))
            arr.neg_()
            found.append(cuda.topk(arr, request))
            arr.zero_()
            found.append(cuda.topk(arr, request))
            here = torch.cuda.current_stream()
            side.wait_stream(here)
            with torch.cuda.stream(side):
                torch.mul(sources[i % 3], 2, out=arr)
            here.wait_stream(side)
            found.append(cuda.topk(arr, request))
        return found

    expected = []
    for i in range(8):
        for fresh in (sources[i % 3], -sources[i % 3], sources[0] * 0, sources[i % 3] * 2):
            torch.cuda.synchronize()
            expected.append(cuda.topk(fresh, request))
    torch.cuda.synchronize()
    if captured:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = run()
        for _ in range(3):
            graph.replay()
    else:
        found = run()
    torch.cuda.synchronize()
    for (values, indices), (their_values, their_indices) in zip(found, expected, strict=True):
        assert torch.equal(values, their_values)
        assert torch.equal(indices.sort(-1).values, their_indices.sort(-1).values)


@pytest.mark.parametrize("certificate", [False, True])
@pytest.mark.parametrize(
    ("shape", "k", "b", "kb", "abreast"),
    [
        ((128, 4096), 64, 256, 2, 1),
        ((128, 16384), 64, 512, 2, 1),
        ((256, 16384), 64, 512, 2, 2),
        ((256, 131072), 64, 4096, 1, 2),
    ],
)
def test_the_next_calls_blocks_find_even_room(
    shape: Any, k: int, b: int, kb: int, abreast: int, certificate: bool
) -> None:
    from approxtopk_cuda import driver, schedule

    normal(1)  # so that torch has made a context
    p = Problem("float32", *shape, k, b, kb, count_candidates(shape[1], b, kb))
    device = driver.device_of(0)
    if device.multiprocessors != 132:
        pytest.skip("so many blocks come to a multiprocessor of 132")
    planned = schedule(replace(p, certificate=certificate), device)
    (launch,) = planned.launches
    (function,) = driver.load([launch.kernel], 0)
    assert launch.lets_next
    asked, _ = driver._ask_shared(ctypes.c_void_p(function), launch, device)
    assert asked.lets_next
    fit = ctypes.c_int()
    driver._check(
        "cuOccupancyMaxActiveBlocksPerMultiprocessor",
        *(ctypes.byref(fit), ctypes.c_void_p(function)),
        *(launch.block, ctypes.c_size_t(asked.shared)),
    )
    assert fit.value == abreast


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
def test_cold_capture_is_refused_and_harmless() -> None:
    from approxtopk_torch import cuda

    arr = normal(7, 1234)
    request = make_request((7, 1234), "float32", 1, 9, 11, 3, largest=False)
    with (
        pytest.raises(RuntimeError, match="call it once"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        cuda.topk(arr, request)
    torch.cuda.synchronize()
    check(arr, request)


def test_streams_and_repeats() -> None:
    from approxtopk_torch import cuda

    request = make_request((300, 8192), "float32", 1, 64, 512, 2)
    inputs = [normal(300, 8192, seed=s) for s in range(4)]
    expected = [cuda.topk(arr, request) for arr in inputs]
    streams = [torch.cuda.Stream() for _ in range(4)]
    torch.cuda.synchronize()
    for _ in range(20):
        results = []
        for arr, stream in zip(inputs, streams, strict=True):
            with torch.cuda.stream(stream):
                results.append(cuda.topk(arr, request))
        torch.cuda.synchronize()
        for got, want in zip(results, expected, strict=True):
            assert torch.equal(got[0], want[0])
            assert torch.equal(got[1], want[1])


def test_refusals() -> None:
    from approxtopk_torch import cuda

    assert "kb = 17" in str(cuda.refuses(make_request((1, 100), "float32", 1, 17, 1, 17)))
    assert cuda.refuses(make_request((0, 100), "float32", 1, 17, 1, 17)) is None
    empty, _ = cuda.topk(
        torch.empty(0, 5, device="cuda"), make_request((0, 5), "float32", 1, 2, 2, 1)
    )
    assert empty.shape == (0, 2)
