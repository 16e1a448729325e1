"""The compiled kernels on a GPU: right in every dtype and path, and what only a device can show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import approxtopk
from approxtopk import Request
from approxtopk.testing import available_dtypes, dtype_of

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")

import adversarial  # noqa: E402
from adapters import to_array, to_tensor  # noqa: E402

from approxtopk_triton.backend import TritonBackend  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or triton.knobs.runtime.interpret,
        reason="needs a GPU that Triton compiles for",
    ),
]

#: shape, axis, k, how: fused, two stages, split and merged, several chunks to select from, direct,
#: rows adjacent, contiguous buckets, exact, a tournament, read again, sorted.
CALLS: list[tuple[tuple[int, ...], int, int, dict[str, Any]]] = [
    ((200, 5000), 1, 20, {"b": 120, "kb": 2}),
    ((8, 5003), 1, 20, {"b": 120, "kb": 2}),
    ((2, 400003), 1, 30, {"b": 60, "kb": 3}),
    ((5, 60000), 1, 2500, {"b": 3000, "kb": 3}),
    ((7, 5000), 1, 1000, {"b": 500, "kb": 2}),
    ((3, 2000, 70), 1, 40, {"b": 40, "kb": 2}),
    ((9, 5003), 1, 50, {"b": 100, "kb": 1, "interleaved": False}),
    ((9, 5003), 1, 50, {"recall": 1.0}),
    ((2, 70001), 1, 100, {"recall": 1.0, "sorted": True}),
    ((2, 40000), 1, 9000, {"b": 20000, "kb": 1}),
    ((70000, 20), 1, 3, {"b": 5, "kb": 2, "sorted": True}),
]


def random_array(shape: tuple[int, ...], dtype: str, ties: bool) -> np.ndarray:
    generator = np.random.default_rng(len(dtype) + ties)
    kind = dtype_of(dtype)
    if np.dtype(kind).kind in "iu":
        info = np.iinfo(kind)
        high = info.max if not ties else min(info.max, info.min + 5)
        return generator.integers(info.min, high, shape, dtype=kind, endpoint=True)
    array = generator.standard_normal(shape, np.float32).astype(kind)
    if ties:
        special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]).astype(kind)
        array = np.where(generator.random(shape) < 0.6, generator.choice(special, shape), array)
    return array


@pytest.mark.parametrize("dtype", available_dtypes())
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_equals_the_reference(call: Any, dtype: str) -> None:
    shape, axis, k, how = call
    for ties in (False, True):
        array = random_array(shape, dtype, ties)
        how = {**how, "axis": axis, "largest": not ties}
        values, indices = approxtopk.topk(to_tensor(array, "cuda"), k, backend="triton", **how)
        wanted = approxtopk.topk(array, k, backend="numpy", **how)
        at = indices.cpu().numpy()
        if not how.get("sorted"):
            at, wanted = np.sort(at, axis), (None, np.sort(wanted.indices, axis))
        assert (at == wanted[1]).all()
        got, width = to_array(values), f"u{array.dtype.itemsize}"
        gathered = np.take_along_axis(array, indices.cpu().numpy(), axis)
        assert (np.ascontiguousarray(gathered).view(width) == got.view(width)).all()


#: n, k, b, kb, interleaved: fused, two stages, all candidates results, runs, hundreds hidden,
#: more hidden than a program holds.
EXACT = [
    (1000, 20, 120, 2, True),
    (4099, 700, 900, 3, True),
    (1003, 120, 120, 1, True),
    (1003, 20, 100, 3, False),
    (3000, 20, 8, 4, True),
    (1500, 9, 5, 6, False),
]


@pytest.mark.parametrize("dtype", available_dtypes())
@pytest.mark.parametrize("plan", EXACT, ids=str)
def test_exact_and_certified_on_adversarial_rows(plan: Any, dtype: str) -> None:
    """380 rows a case, certified and repaired: more than 20,000 different ones in all."""
    n, k, b, kb, interleaved = plan
    backend = TritonBackend()
    for largest in (True, False):
        array = adversarial.rows(n + k, 190, n, b, interleaved, dtype, largest)
        assert len({row.tobytes() for row in array}) >= 186
        how = {"largest": largest, "interleaved": interleaved}
        call = (array.shape, dtype, "cuda:0", 1, k, b, kb)
        wanted = adversarial.top(array, k, largest)
        arr = to_tensor(array, "cuda")
        _, indices, exact = backend.topk(arr, Request(*call, certificate=True, **how))
        right = (np.sort(indices.cpu().numpy(), 1) == np.sort(wanted, 1)).all(1)
        assert (exact.cpu().numpy() == right).all()
        assert exact.any()
        assert not exact.all()
        _, indices = backend.topk(arr, Request(*call, exact=True, sorted=True, **how))
        assert (indices.cpu().numpy() == wanted).all()


def test_certificate_and_repair_in_a_graph_and_again() -> None:
    torch.manual_seed(0)
    arr = torch.randn(64, 16384, device="cuda")
    arr[::2, ::64] += 9  # hidden in half of the rows
    request = Request((64, 16384), "float32", "cuda:0", 1, 64, 64, 4, exact=True)
    asked = (request, replace(request, exact=False, certificate=True))
    backend = TritonBackend()
    for each in asked:
        backend.topk(arr, each)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        (_, indices), (_, near, exact) = (backend.topk(arr, each) for each in asked)
    arr.copy_(arr.flip(0))
    answers = set()
    for _ in range(20):
        graph.replay()
        answers.add((*indices.flatten().tolist(), *exact.tolist()))
    assert len(answers) == 1
    true = arr.sort(dim=1, descending=True, stable=True).indices[:, :64].sort(dim=1).values
    assert torch.equal(indices.sort(1).values, true)
    assert torch.equal(exact, (near.sort(1).values == true).all(1))
    assert exact[::2].any()
    assert not exact[1::2].any()


def topk(arr: Any, k: int = 8, **how: Any) -> Any:
    return approxtopk.topk(arr, k, **{"b": 64, "kb": 1, "backend": "triton", **how})


def test_a_graph_replays_on_changed_input() -> None:
    arr = torch.randn(4, 4096, device="cuda")
    topk(arr)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values, indices = topk(arr)
    arr.copy_(torch.randn(4, 4096, device="cuda"))
    graph.replay()
    wanted = topk(arr)
    assert torch.equal(indices, wanted.indices)
    assert torch.equal(values, wanted.values)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
def test_a_cold_capture_says_what_to_do() -> None:
    arr = torch.randn(4, 4127, device="cuda")
    torch.cuda.synchronize()
    graph = torch.cuda.graph(torch.cuda.CUDAGraph())
    with pytest.raises(RuntimeError, match="once before capturing"), graph:
        topk(arr, 13)


def test_runs_on_the_current_stream() -> None:
    arr = torch.randn(64, 65536, device="cuda")
    wanted = topk(arr, 16)
    stream = torch.cuda.Stream()
    late = torch.zeros_like(arr)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        late.copy_(arr)
        got = topk(late, 16)
    stream.synchronize()
    assert torch.equal(got.indices, wanted.indices)


def test_more_than_2_31_elements_and_a_wide_row() -> None:
    arr = torch.randn(70000, 32768, device="cuda", dtype=torch.float16)
    values, indices = topk(arr, 64)
    few = arr[-3:].view(3, 512, 64).float().max(1)
    assert torch.equal(values[-3:].float().sort(1).values, few.values.sort(1).values)
    assert torch.equal(arr[-3:].gather(1, indices[-3:]), values[-3:])
    values, indices = topk(arr, 4, axis=0, b=8)
    columns = arr[:, -3:]
    assert torch.equal(columns.gather(0, indices[:, -3:]), values[:, -3:])
    best = columns.float().view(8750, 8, 3).max(0).values.topk(4, dim=0).values
    assert torch.equal(values[:, -3:].float().sort(0, descending=True).values, best)


def test_a_row_of_almost_2_31_elements() -> None:
    n = 2**31 - 2**16
    arr = torch.zeros(1, n, device="cuda", dtype=torch.int8)
    at = torch.arange(1, 9, device="cuda") * (n // 8) - 1  # of 8 buckets, the last element too
    arr[0, at] = torch.arange(1, 9, device="cuda", dtype=torch.int8)
    for how in ({"b": 2**17, "kb": 1}, {"b": 2**17, "kb": 2}):
        result = topk(arr, certificate=True, **how)
        assert torch.equal(result.indices[0].sort().values, at)
        assert result.exact.all()
    whole = approxtopk.topk(arr, 8, recall=1.0, backend="triton")
    assert torch.equal(whole.indices[0].sort().values, at)
    assert topk(arr, 1, b=1).indices.item() == n - 1


def test_misaligned_and_repeated() -> None:
    base = torch.randn(2, 8193, device="cuda")
    first = topk(base[:, 1:])
    again = topk(base[:, 1:].clone())
    assert torch.equal(first.indices, again.indices)
    for _ in range(20):
        assert torch.equal(topk(base[:, 1:]).indices, first.indices)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_under_torch_compile() -> None:
    arr = torch.randn(4, 4096, device="cuda", requires_grad=True)
    compiled = torch.compile(lambda x: topk(x).values.sum(), fullgraph=True)
    compiled(arr).backward()
    wanted = torch.zeros_like(arr).scatter(1, topk(arr.detach()).indices, 1.0)
    assert torch.equal(arr.grad, wanted)


def test_tuning_measures_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from approxtopk_triton import tune

    monkeypatch.setattr(tune, "TUNING", True)
    measured = []
    fastest = tune.fastest
    monkeypatch.setattr(tune, "fastest", lambda *how: measured.append(how[0]) or fastest(*how))
    arr = torch.randn(256, 8192, device="cuda")
    request = Request((256, 8192), "float32", "cuda:0", 1, 16, 128, 1)
    backend = TritonBackend()
    answers = [backend.topk(arr, request)[1].sort(1).values for _ in range(3)]
    assert len(measured) == 1
    assert torch.equal(answers[0], topk(arr, 16, b=128).indices.sort(1).values)


def test_tuning_measures_nothing_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    from approxtopk_triton import tune

    arr = torch.randn(256, 8192, device="cuda")
    request = Request((256, 8192), "float32", "cuda:0", 1, 24, 128, 1)
    wanted = TritonBackend().topk(arr, request)[1]  # compiles what is picked without measuring
    monkeypatch.setattr(tune, "TUNING", True)
    monkeypatch.setattr(tune, "fastest", None)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        indices = TritonBackend().topk(arr, request)[1]
    graph.replay()
    assert torch.equal(indices, wanted)
