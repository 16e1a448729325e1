"""The kernels on a GPU against the NumPy reference: random problems, then the awkward ones."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from approxtopk import Request
from approxtopk.backend import count_candidates
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DTYPES = (
    *("float16", "bfloat16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8"),
)
INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits_of(tensor: Any) -> Any:
    return tensor.view(INTEGER[tensor.element_size()])


def fill(shape: tuple[int, ...], dtype: str, pattern: str, rng: random.Random) -> Any:
    """A CPU tensor of any bit pattern, of few values, of mostly the least one, or of near ones."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    kind = getattr(torch, dtype)
    if pattern == "normal" and kind.is_floating_point:
        return torch.randn(shape, generator=generator).to(kind)
    size = torch.empty((), dtype=kind).element_size()
    raw = torch.randint(0, 256, (*shape, size), generator=generator, dtype=torch.uint8)
    if pattern == "few":
        raw = torch.randint(0, 3, shape, generator=generator).to(kind)
        return raw - 1 if dtype != "uint8" else raw
    any_bits = raw.view(kind).reshape(shape)
    if pattern == "bound":
        low = float("-inf") if kind.is_floating_point else torch.iinfo(kind).min
        any_bits[torch.rand(shape, generator=generator) < 0.97] = low
    if pattern == "crowded":  # but for one in a thousand, which lie far off
        near = torch.randn(shape, generator=generator) * 0.01 + 20
        far = torch.rand(shape, generator=generator) < 0.001
        return torch.where(far, 100 + near, near).to(kind)
    if pattern == "special" and kind.is_floating_point:
        values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])
        picks = torch.randint(0, 6, shape, generator=generator)
        special = values.to(kind)[picks]
        return torch.where(torch.rand(shape, generator=generator) < 0.5, special, any_bits)
    return any_bits


def reference(arr: Any, request: Request) -> Any:
    """Indices of the selected elements, best first, the axis last."""
    rows = bits_of(arr).movedim(request.axis, -1).contiguous()
    raw = rows.numpy().reshape(-1, request.n)
    if request.dtype == "bfloat16":  # widen: the order is the same
        wide = (raw.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)
        keys = order_keys(wide, request.largest)
    else:
        keys = order_keys(raw.view(request.dtype), request.largest)
    best = select(keys, request.k, request.b, request.kb, request.interleaved)
    return torch.from_numpy(best).reshape(*rows.shape[:-1], request.k)


def check(arr: Any, request: Request, out: Any = None) -> None:
    """Run and compare: bits, indices, order, and the input left alone."""
    from approxtopk_torch import cuda

    assert cuda.refuses(request) is None
    before = bits_of(arr).clone()
    values, indices = cuda.topk(arr, request, out)
    assert torch.equal(bits_of(arr), before)
    assert values.shape == indices.shape == request.out_shape
    expected = reference(arr.cpu(), request)
    got = indices.cpu().long().movedim(request.axis, -1)
    if not request.sorted:
        got, expected = got.sort(-1).values, expected.sort(-1).values
    assert torch.equal(got, expected), f"{request}: indices differ"
    gathered = torch.gather(bits_of(arr), request.axis, indices.long())
    assert torch.equal(bits_of(values), gathered), f"{request}: values differ"


def make_request(
    shape: tuple[int, ...], dtype: str, axis: int, k: int, b: int, kb: int, **more: Any
) -> Request:
    return Request(shape=shape, dtype=dtype, device="cuda:0", axis=axis, k=k, b=b, kb=kb, **more)


def random_case(seed: int) -> tuple[Any, Request]:
    """A tensor of any layout and a request for it."""
    rng = random.Random(seed)
    dtype = rng.choice(DTYPES)
    n = rng.choice([1, 2, 7, 31, 33, 64, 100, 255, 256, 1000, 1024, 2049, 4096, 5000, 16384, 70000])
    rows = rng.choice([1, 1, 2, 3, 9, 40, 140, 300, 700, 3000])
    rows = max(1, min(rows, 600_000 // n))
    rank = rng.choice([1, 2, 2, 2, 3])
    pattern = rng.choice(["normal", "any", "few", "special", "bound"])
    if rank == 1:
        shape, axis = (n,), 0
    elif rank == 2:
        axis = rng.choice([0, 1, 1])
        shape = (n, rows) if axis == 0 else (rows, n)
    else:
        outer = rng.randint(1, rows)
        axis = rng.randrange(3)
        dims = [outer, max(1, rows // outer)]
        dims.insert(axis, n)
        shape = tuple(dims)
    layout = rng.choice(["plain", "plain", "plain", "step", "padded", "shifted", "transposed"])
    if layout == "step":
        arr = fill((*shape[:-1], shape[-1] * 2), dtype, pattern, rng).cuda()[..., ::2]
    elif layout == "padded":
        arr = fill((*shape[:-1], shape[-1] + 3), dtype, pattern, rng).cuda()[..., : shape[-1]]
    elif layout == "shifted":
        arr = fill((int(np.prod(shape)) + 1,), dtype, pattern, rng).cuda()[1:].reshape(shape)
    elif layout == "transposed":
        arr = fill(shape[::-1], dtype, pattern, rng).cuda().permute(*range(len(shape))[::-1])
    else:
        arr = fill(shape, dtype, pattern, rng).cuda()

    kb = min(rng.choice([1, 1, 2, 2, 3, 4, 5, 8, 11, 16]), n)
    most = n if kb == 1 else (n - 1) // (kb - 1)  # kb <= ceil(n / b)
    choices = [
        b
        for b in (1, 2, 3, 4, 8, 16, 24, 60, 64, 100, 256, 512, 1000, 1024, 4096, n // 2, n)
        if 1 <= b <= most
    ]
    b = rng.choice([*choices, rng.randint(1, most)])
    candidates = count_candidates(n, b, kb)
    k = rng.choice([1, candidates, min(candidates, 64), rng.randint(1, candidates)])
    request = make_request(
        shape,
        dtype,
        axis,
        k,
        b,
        kb,
        largest=rng.random() < 0.6,
        sorted=rng.random() < 0.4,
        interleaved=rng.random() < 0.75,
        index_dtype=rng.choice(["int64", "int32"]),
    )
    return arr, request


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
        ((2, 2**20), 1000, 65536, 1, {}),
        ((2, 2**20), 3000, 65536, 1, {"sorted": True}),
        ((1, 2**20), 100, 40000, 1, {}),
        ((8, 131072), 2048, 4096, 3, {"sorted": True}),
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


@pytest.mark.parametrize("rows", [1, 40, 300, 1000])
@pytest.mark.parametrize("more", [5, 40])
def test_equal_elements_of_a_step_and_the_next_are_in_one_bin_of_positions(
    rows: int, more: int
) -> None:
    """As on the host, see `test_emulated_order`: a fault that wrote outside of a bin's counts."""
    b = 1000
    for dtype in ("int8", "int16", "float16", "bfloat16"):
        arr = torch.zeros(rows, 16 * b, dtype=getattr(torch, dtype))
        for step, (begin, end) in enumerate(((0, 300), (300, 600), (600, 1000), (0, 500))):
            arr[:, step * b + begin : step * b + end] = 1
        check(arr.cuda(), make_request(tuple(arr.shape), dtype, 1, b + more, b, 2, sorted=True))


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
