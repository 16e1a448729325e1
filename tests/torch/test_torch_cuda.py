"""What only a CUDA device has: streams, graphs, several devices, memory that runs out."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import torch
from answers import bits, check, reference, tensor

import approxtopk
from approxtopk_torch import native

pytestmark = [
    pytest.mark.gpu,
    # torch's own tracing uses what torch deprecates.
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")


def select(arr: torch.Tensor) -> approxtopk.TopK:
    return approxtopk.topk(arr, 32, recall=0.95, sorted=True)


def agrees_with_the_cpu(result: approxtopk.TopK, arr: torch.Tensor) -> bool:
    expected = select(arr.cpu())
    return torch.equal(bits(result.values), bits(expected.values)) and torch.equal(
        result.indices.cpu(), expected.indices
    )


def test_the_kernels_serve_cuda_tensors() -> None:
    explained = approxtopk.explain(torch.zeros(4, 1 << 16, device="cuda"), 64)
    assert explained.backend == "torch"
    assert explained.kernel.startswith("CUDA")


def test_a_graph_replays_on_changed_data() -> None:
    arr = torch.randn(8, 20000, device="cuda")
    select(arr)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = select(arr)
    for _ in range(3):
        arr.copy_(torch.randn_like(arr))
        graph.replay()
        torch.cuda.synchronize()
        assert agrees_with_the_cpu(result, arr)


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")  # of the one torch warms up with
def test_a_compiled_graph_is_captured_and_replayed() -> None:
    compiled = torch.compile(select, fullgraph=True, mode="reduce-overhead")
    for _ in range(4):
        arr = torch.randn(8, 20000, device="cuda")
        torch.compiler.cudagraph_mark_step_begin()
        assert agrees_with_the_cpu(approxtopk.TopK(*(t.clone() for t in compiled(arr))), arr)


def test_two_streams() -> None:
    arrays = [torch.randn(16, 30000, device="cuda") for _ in range(2)]
    streams = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    results: list[list[approxtopk.TopK]] = [[], []]
    for _ in range(20):
        for arr, stream, found in zip(arrays, streams, results, strict=True):
            with torch.cuda.stream(stream):
                found.append(select(arr))
    torch.cuda.synchronize()
    for arr, found in zip(arrays, results, strict=True):
        assert all(agrees_with_the_cpu(result, arr) for result in (found[0], found[-1]))
        assert all(torch.equal(bits(r.values), bits(found[0].values)) for r in found)


def test_a_launch_waits_for_its_own_stream() -> None:
    stream = torch.cuda.Stream()
    arr = torch.zeros(8, 20000, device="cuda")
    select(arr)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        arr.copy_(torch.randn_like(arr))
        result = select(arr)
    stream.synchronize()
    assert agrees_with_the_cpu(result, arr)


def test_threads() -> None:
    arrays = [torch.randn(4, 10000 + 100 * i, device="cuda") for i in range(4)]
    results: dict[int, approxtopk.TopK] = {}

    def work(number: int) -> None:
        for _ in range(10):
            results[number] = select(arrays[number])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(agrees_with_the_cpu(results[number], arr) for number, arr in enumerate(arrays))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_device_that_is_not_current() -> None:
    arr = torch.randn(4, 10000, device="cuda:1")
    assert torch.cuda.current_device() == 0
    result = select(arr)
    assert result.values.device == arr.device
    assert torch.cuda.current_device() == 0
    assert agrees_with_the_cpu(result, arr)
    with pytest.raises(ValueError, match="must have device cuda:1, got cuda:0"):
        approxtopk.topk(arr, 3, out=(result.values[:, :3].to("cuda:0"), result.indices[:, :3]))


def test_out_of_memory_leaves_everything_as_it_was() -> None:
    arr = tensor("distinct", torch.float32, 64, 1 << 16).cuda()
    before = bits(arr)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(
        torch.cuda.memory_reserved() / torch.cuda.get_device_properties(0).total_memory
    )
    try:
        with pytest.raises(torch.OutOfMemoryError):
            approxtopk.topk(arr, 1 << 15, b=1 << 15)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.equal(bits(arr), before)
    check(arr, 64, b=1 << 12)


def test_more_rows_than_a_grid_has_blocks_in_its_second_dimension() -> None:
    check(tensor("ties", torch.float32, 70000, 33).cuda(), 2, b=8)


def test_triton_stands_in_where_no_cuda_kernel_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("triton")
    from approxtopk_torch import backend, cuda

    arr = tensor("ties", torch.bfloat16, 5, 3001).cuda()
    wanted = select(arr)
    monkeypatch.setattr(cuda, "refuses", lambda request: "no compiler")
    backend._way.cache_clear()
    try:
        told = approxtopk.explain(arr, 32, recall=0.95, sorted=True)
        assert told.backend == "torch"
        assert told.kernel.startswith("Triton")
        assert "no cuda kernel: no compiler" in told.kernel
        assert agrees_with_the_cpu(select(arr), arr)
        assert torch.equal(select(arr).indices, wanted.indices)
    finally:
        backend._way.cache_clear()


def test_the_native_way_on_the_device() -> None:
    """What runs where neither CUDA nor Triton kernels can be compiled."""
    torch.manual_seed(0)  # of either kind some rows are exact, some not
    for kind in ("ties", "nan"):
        arr = tensor(kind, torch.bfloat16, 5, 3001).cuda()
        request = approxtopk.Request((5, 3001), "bfloat16", "cuda:0", 1, 20, 25, 2, sorted=True)
        true = reference(arr, 20, recall=1.0)
        for how in ({}, {"certificate": True}, {"certificate": True, "exact": True}):
            asked = dataclasses.replace(request, **how)
            on_cpu = native.topk(arr.cpu(), dataclasses.replace(asked, device="cpu"))
            values, indices, *exact = native.topk(arr, asked)
            assert torch.equal(bits(values), bits(on_cpu[0]))
            assert torch.equal(indices.cpu(), on_cpu[1])
            assert not exact or torch.equal(exact[0].cpu(), (on_cpu[1] == true).all(1))
        assert torch.equal(on_cpu[1], true)
