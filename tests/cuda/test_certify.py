"""Certificate and repair on a GPU: against a stable sort, over rows made to be difficult."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from problems import DTYPES

torch = pytest.importorskip("torch")

from adversaries import bits_of, exact_indices, rows_for  # noqa: E402

from approxtopk import Request  # noqa: E402
from approxtopk.backend import count_candidates  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def request_for(rng: random.Random, dtype: str) -> Request:
    """Any plan that can lose some of the top k, for rows of any length and number."""
    while True:
        n = rng.choice([2, 9, 40, 100, 256, 1000, 1024, 2049, 4096, 9999, 16384, 40000])
        rows = rng.choice([1, 3, 33, 140, 300, 700])
        rows = max(1, min(rows, 700_000 // n))
        kb = rng.choice([1, 1, 2, 2, 3, 4, 5, 8, 15, 16])
        b = rng.choice([1, 2, 3, 4, 8, 16, 32, 60, 64, 100, 128, 256, 512, 1024, 2048, 4096])
        if b > n or kb >= -(-n // b):
            continue
        candidates = count_candidates(n, b, kb)
        if candidates <= kb:
            continue
        k = rng.choice([min(candidates, 64), candidates, rng.randint(kb + 1, candidates)])
        if k <= kb:
            continue
        return Request(
            *((rows, n), dtype, "cuda:0", 1, k, b, kb),
            largest=rng.random() < 0.6,
            sorted=rng.random() < 0.4,
            interleaved=rng.random() < 0.6,
            index_dtype=rng.choice(["int64", "int32"]),
        )


def same_sets(a: Any, b: Any) -> Any:
    """For each row, whether two lists of indices have the same elements."""
    return (a.long().sort(-1).values == b.long().sort(-1).values).all(-1)


def check(arr: Any, request: Request) -> None:
    """Certificates tell the truth and change no answer, and exact answers are exact."""
    from approxtopk_torch import cuda

    true = exact_indices(arr, request.k, request.largest)
    before = bits_of(arr).clone()
    plain = cuda.topk(arr, request)
    *approximate, certificate = cuda.topk(arr, replace(request, certificate=True))
    # Kernels with and without certificates may take other loads, and unsorted results of rows that
    # begin anywhere lie by these. Few rows of queues of one may be in registers with one alone, and
    # many of 16-bit elements in shared memory; of many long ones the best lines may be read again.
    few = (
        arr.numel()
        <= 2 * torch.cuda.get_device_properties(arr.device).multi_processor_count * request.n
    )
    aligned = request.n * arr.element_size() % 16 == 0
    same_way = request.kb > 1 if few else arr.element_size() != 2 and request.n < 24_000
    if request.sorted or (aligned and same_way):
        assert torch.equal(plain[1], approximate[1])
    assert same_sets(plain[1], approximate[1]).all()
    for values, indices in (plain, approximate):
        assert torch.equal(bits_of(values), before.gather(-1, indices.long()))
    assert torch.equal(certificate, same_sets(plain[1], true)), "a certificate is wrong"

    values, indices = cuda.topk(arr, replace(request, exact=True))
    assert same_sets(indices, true).all(), "an exact answer isn't"
    if request.sorted:
        assert torch.equal(indices.long(), true)
    assert torch.equal(bits_of(values), bits_of(arr).gather(-1, indices.long()))
    again = cuda.topk(arr, replace(request, exact=True, certificate=True))
    assert torch.equal(indices, again[1]), "not the same twice"
    assert again[2].all()
    assert torch.equal(bits_of(arr), before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", range(4))
def test_random_plans(dtype: str, block: int) -> None:
    """40,565 rows, of which 35,387 are no repetition of another one."""
    for seed in range(10 * block, 10 * block + 10):
        rng = random.Random(f"{seed} {dtype}")
        request = request_for(rng, dtype)
        try:
            check(rows_for(request, seed).cuda(), request)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {request}: {error}") from error


@pytest.mark.parametrize(
    ("rows", "n", "k", "b", "kb", "more"),
    [
        (32, 4096, 64, 2048, 1, {}),
        (64, 131072, 64, 4096, 1, {}),
        (64, 131072, 64, 8192, 1, {}),
        (8, 131072, 30, 8192, 1, {}),  # keys of 64 bits too are held, by clusters
        (32, 16384, 64, 512, 2, {}),  # a block to a row, by narrow loads
        (64, 131072, 64, 512, 2, {"sorted": True}),
        (128, 65536, 128, 4096, 2, {}),
        (40, 131072, 2048, 4096, 3, {}),
        (40, 131072, 2048, 4096, 3, {"sorted": True, "interleaved": False}),
        (8, 131072, 2048, 4096, 2, {}),  # all blocks of a cluster select, and of the next
        (3, 200_000, 900, 1024, 4, {"largest": False}),  # have parts to merge
        (140, 131072, 2048, 4096, 3, {}),  # hardly ever exact, which is known late
        (600, 16384, 1000, 1024, 2, {"sorted": True, "largest": False}),
        (700, 16384, 64, 512, 2, {}),
        (64, 131073, 64, 8192, 1, {}),  # rows that begin anywhere, as do the next four
        (140, 131071, 2048, 4096, 3, {}),
        (600, 16385, 1000, 1024, 2, {"sorted": True, "largest": False}),
        (700, 16387, 64, 512, 2, {}),
        (16, 70_001, 300, 256, 2, {}),
        (4000, 4096, 64, 1024, 1, {}),  # in waves: what 16 bits drop is known without its step
        (4000, 4099, 50, 1024, 1, {}),
        (4000, 2048, 50, 256, 1, {"largest": False}),
        (3700, 8192, 64, 512, 2, {}),  # stay in shared memory, as do the next four
        (3700, 8199, 50, 1024, 2, {"sorted": True}),
        (300, 8192, 40, 512, 1, {"largest": False}),  # 32-bit elements, or none of a plan's answers
        (300, 16384, 64, 1024, 1, {"sorted": True}),
        (800, 32768, 33, 2048, 2, {}),
        (300, 32000, 50, 4096, 1, {}),  # best lines are read again, as of the next three
        (300, 32001, 50, 2048, 2, {"sorted": True}),
        (600, 24000, 64, 3000, 1, {"largest": False}),
        (270, 50257, 40, 5000, 1, {}),
        (100, 16384, 40, 1024, 2, {}),  # few rows, in registers, as are the next four
        (200, 8195, 50, 1000, 3, {"sorted": True}),
        (64, 32000, 50, 2048, 1, {"largest": False}),
        (20, 12345, 7, 512, 4, {}),
        (132, 65536, 64, 8192, 2, {}),  # of two bytes
        (1000, 9000, 64, 3072, 1, {}),  # several passes, of which a thread keeps one key
        (4096, 256, 8, 32, 2, {}),
        (4096, 256, 8, 64, 1, {}),
        (4096, 256, 8, 32, 2, {"sorted": True, "largest": False}),
        (2, 2**21, 1024, 65536, 1, {}),
        (2, 2**21, 1024, 16384, 2, {"interleaved": False}),
        (20, 2**18, 1024, 32768, 2, {}),  # too many rows for clusters to certify them
        (2, 300_000, 20_000, 30_000, 2, {}),  # gathered in global memory
        (1, 100_000, 8000, 30_000, 1, {}),  # and what was lost is no multiple of 16 bytes
        (2, 300_000, 60_000, 30_000, 2, {}),  # candidates = k
        (1, 2**20, 3000, 2**18, 2, {}),  # counts of several ranges
        (1, 2**20, 100_000, 2**18, 2, {"interleaved": False}),
        (2, 300_000, 20_000, 30_000, 2, {"sorted": True}),  # whole rows
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_kinds_of_kernels(
    rows: int, n: int, k: int, b: int, kb: int, more: dict[str, Any], dtype: str
) -> None:
    request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb, **more)
    check(rows_for(request, k).cuda(), request)


@pytest.mark.parametrize(
    ("rows", "n", "k", "b", "kb"),
    [(300, 32000, 50, 4096, 1), (64, 32000, 50, 2048, 2), (3700, 8192, 64, 512, 2)],
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_rows_that_are_infinite_but_for_a_few(
    rows: int, n: int, k: int, b: int, kb: int, dtype: str
) -> None:
    """Their bound is -inf, or next to it."""
    generator = torch.Generator(device="cuda").manual_seed(0)
    order = torch.rand(rows, n, device="cuda", generator=generator).argsort(1)
    finite = torch.randn(rows, k + 20, device="cuda", generator=generator)
    count = k - 3 + torch.arange(rows, device="cuda")[:, None] % 23
    finite[torch.arange(k + 20, device="cuda") >= count] = -torch.inf
    arr = torch.full((rows, n), -torch.inf, device="cuda")
    arr.scatter_(1, order[:, : k + 20], finite)
    check(arr.to(getattr(torch, dtype)), Request((rows, n), dtype, "cuda:0", 1, k, b, kb))


@pytest.mark.parametrize(
    ("rows", "n", "k", "b", "kb"),
    [(300, 9000, 100, 3072, 2), (8, 40_000, 30, 4096, 1), (4, 8192, 20, 1024, 1)],
)
def test_float64_that_differs_in_its_lower_half(rows: int, n: int, k: int, b: int, kb: int) -> None:
    """Of what is dropped the upper half of a key is known."""
    request = Request((rows, n), "float64", "cuda:0", 1, k, b, kb)
    generator = torch.Generator().manual_seed(0)
    for most in (2**31, n // 4):
        steps = torch.randint(0, most, (rows, n), generator=generator)
        check((1 + steps.double() * 2.0**-52).cuda(), request)


@pytest.mark.parametrize("layout", ["step", "turned", "rank 3", "misaligned"])
def test_layouts(layout: str) -> None:
    from approxtopk_torch import cuda

    request = Request((60, 3000), "float32", "cuda:0", 1, 50, 64, 2, exact=True)
    rows = rows_for(request, 5).cuda()
    true = exact_indices(rows, 50, True)
    if layout == "step":
        arr = torch.stack([rows, rows], dim=-1).flatten(1)[:, ::2]
    elif layout == "turned":
        arr = rows.t().contiguous()
        request = replace(request, shape=(3000, 60), axis=0)
        true = true.t()
    elif layout == "rank 3":
        arr = rows.reshape(4, 15, 3000).transpose(1, 2).contiguous()
        request = replace(request, shape=(4, 3000, 15), axis=1)
        true = true.reshape(4, 15, 50).transpose(1, 2)
    else:
        arr = torch.cat([rows.flatten(), rows.flatten()[:1]])[1:].reshape(60, 3000)
        true = exact_indices(arr, 50, True)
    for sort in (False, True):
        asked = replace(request, sorted=sort)
        _, indices = cuda.topk(arr, asked)
        found = indices if sort else indices.movedim(asked.axis, -1).sort(-1).values
        assert torch.equal(found, true if sort else true.movedim(asked.axis, -1).sort(-1).values)
        approximate = replace(asked, exact=False, certificate=True)
        _, indices, certificate = cuda.topk(arr, approximate)
        assert certificate.shape == asked.rows_shape
        assert torch.equal(
            certificate, same_sets(indices.movedim(asked.axis, -1), true.movedim(asked.axis, -1))
        )


def test_graph_replays_on_changed_data() -> None:
    from approxtopk_torch import cuda

    for k, b, rows, n in (
        (64, 2048, 128, 65536),
        (1024, 65536, 1, 2**22),
        (20_000, 30_000, 2, 300_000),
    ):
        request = Request((rows, n), "float32", "cuda:0", 1, k, b, 2, exact=True, certificate=True)
        asked = (request, replace(request, exact=False))
        arr = torch.randn(rows, n, device="cuda")
        for each in asked:
            cuda.topk(arr, each)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            (_, indices, _), (_, near, certificate) = (cuda.topk(arr, each) for each in asked)
        for seed in (1, 2):
            arr.copy_(rows_for(request, seed))
            graph.replay()
            torch.cuda.synchronize()
            true = exact_indices(arr, k, True)
            assert same_sets(indices, true).all()
            assert torch.equal(certificate, same_sets(near, true))
