"""The CuPy backend: its GPU time beside the torch backend's and CuPy's own ways, its host cost.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_cupy [json]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import cupy
import numpy as np
import torch
from gpu_timing import Time, floor_us, inputs, save, verify

import approxtopk
from approxtopk.testing.workloads import GPU_WORKLOADS

REPEATS = 9
SPIN = """
extern "C" __global__ void spin(long long cycles) {
  long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


def as_time(microseconds: list[float]) -> Time:
    return Time(statistics.median(microseconds), min(microseconds), max(microseconds))


def elapsed(stream: Any, work: Callable[[], Any]) -> float:
    """Microseconds of the GPU."""
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record(stream)
    work()
    end.record(stream)
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) * 1000


def in_graphs(calls: dict[str, Callable[[Any], Any]], buffers: list[Any]) -> dict[str, Time]:
    """Times of calls over the buffers, as captured graphs that are replayed in turns."""
    stream = cupy.cuda.Stream(non_blocking=True)
    rounds = max(1, 20 // len(buffers))
    graphs, times = {}, {name: [] for name in calls}
    with stream, torch.cuda.stream(torch.cuda.ExternalStream(stream.ptr)):
        for name, call in calls.items():
            for arr in buffers[:2]:
                call(arr)
            stream.begin_capture()
            for _ in range(rounds):
                for arr in buffers:
                    call(arr)
            graphs[name] = stream.end_capture()
            graphs[name].launch(stream)
        for _ in range(REPEATS):
            for name, graph in graphs.items():
                took = elapsed(stream, lambda graph=graph: graph.launch(stream))
                times[name].append(took / rounds / len(buffers))
    return {name: as_time(found) for name, found in times.items()}


def in_a_queue(call: Callable[[Any], Any], buffers: list[Any]) -> Time | None:
    """Time of a call that can't be captured: the queue is filled while a kernel spins."""
    stream = cupy.cuda.get_current_stream()
    spin = cupy.RawKernel(SPIN, "spin")
    few = buffers[:8]

    def work() -> None:
        for arr in few:
            call(arr)

    times = []
    try:
        work()
        for _ in range(3):
            stream.synchronize()
            spin((1,), (1,), (20_000_000,))
            times.append(elapsed(stream, work) / len(few))
    except Exception as error:
        print(f"  not by CuPy: {type(error).__name__}: {str(error)[:80]}")
        return None
    return as_time(times)


def compare(rows: int, n: int, k: int, dtype: str) -> dict[str, Any]:
    tensors = inputs(rows, n, getattr(torch, dtype))
    plan = approxtopk.plan(n, k, recall=0.99)
    b, kb = plan.b, plan.kb

    def select(arr: Any) -> Any:
        return approxtopk.topk(arr, k, b=b, kb=kb)

    began = time.perf_counter()
    found = select(cupy.from_dlpack(tensors[0]))
    cupy.cuda.Device().synchronize()
    first = time.perf_counter() - began
    other = approxtopk.topk(tensors[0], k, b=b, kb=kb)
    got = [torch.from_dlpack(array) for array in found]
    assert torch.equal(got[0], other.values)
    assert torch.equal(got[1], other.indices)
    recall = verify(tensors[0], *got, k, b, kb) if n % b == 0 else None
    by_pointer = {t.data_ptr(): cupy.from_dlpack(t) for t in tensors}
    times = in_graphs(
        {"torch": select, "cupy": lambda t: select(by_pointer[t.data_ptr()])}, tensors
    )
    arrays = list(by_pointer.values())
    peers = {
        "argpartition": in_a_queue(lambda a: cupy.argpartition(a, n - k, -1), arrays),
        "sort": in_a_queue(lambda a: cupy.sort(a, -1), arrays),
    }
    size = tensors[0].element_size()
    result = {"rows": rows, "n": n, "k": k, "dtype": dtype, "b": b, "kb": kb}
    result["kernel"] = approxtopk.explain(arrays[0], k, b=b, kb=kb).kernel
    result["floor"] = floor_us(rows * n * size, rows * k * (size + 8))
    result |= {f"{name}_us": found and vars(found) for name, found in (times | peers).items()}
    result |= {"recall": recall, "first_call_s": first}
    told = "; ".join(f"{name} {found}" for name, found in (times | peers).items())
    ratio = times["cupy"].median / times["torch"].median
    print(f"{rows} × {n}, {k}, {dtype}, b {b}, kb {kb}: {told}; ratio {ratio:.3f}", flush=True)
    return result


def host(call: Callable[[], Any], calls: int = 300) -> float:
    """Microseconds of the host for a call, the best of some runs that never fill the queue."""
    call()
    best = []
    for _ in range(15):
        cupy.cuda.Device().synchronize()
        best.append(timeit.timeit(call, number=calls) / calls)
    return min(best) * 1e6


def host_costs() -> dict[str, float]:
    """What a call costs the host, and its parts."""
    from approxtopk_cupy import select

    arr = cupy.random.standard_normal((32, 4096), dtype="f4")
    tensor = torch.from_dlpack(arr)
    long = cupy.random.standard_normal((1, 2**22), dtype="f4")
    out = approxtopk.topk(arr, 64, b=1024, kb=2)
    request = approxtopk.Request(arr.shape, "float32", "cuda:0", 1, 64, 1024, 2)
    program = next(p for key, p in select._programs.items() if key[0] == request)
    stream = cupy.cuda.get_current_stream().ptr
    addresses = (arr.data.ptr, out[0].data.ptr, out[1].data.ptr)
    indices = np.dtype("i8")
    null = cupy.RawModule(code='extern "C" __global__ void null() {}').get_function("null")
    calls: dict[str, Callable[[], Any]] = {
        "topk": lambda: approxtopk.topk(arr, 64, b=1024, kb=2),
        "topk, planned": lambda: approxtopk.topk(arr, 64, recall=0.99),
        "topk, out=": lambda: approxtopk.topk(arr, 64, b=1024, kb=2, out=out),
        "topk, two launches": lambda: approxtopk.topk(long, 64, b=65536, kb=1),
        "topk, certificate": lambda: approxtopk.topk(arr, 64, b=1024, kb=2, certificate=True),
        "topk of torch": lambda: approxtopk.topk(tensor, 64, b=1024, kb=2),
        "the backend alone": lambda: select.topk(arr, request),
        "two arrays": lambda: (
            cupy.ndarray((32, 64), arr.dtype),
            cupy.ndarray((32, 64), indices),
        ),
        "the launch": lambda: program.launch(stream, *addresses, 0),
        "an empty launch by CuPy": lambda: null((1,), (1,), ()),
        "cupy.argpartition": lambda: cupy.argpartition(arr, 64, -1),
        "torch.topk": lambda: torch.topk(tensor, 64),
        **other_libraries(arr),
    }
    return {name: host(call) for name, call in calls.items()}


def other_libraries(arr: Any) -> dict[str, Callable[[], Any]]:
    import jax
    from numba import cuda

    jax_array, numba_array = jax.device_put(cupy.asnumpy(arr)), cuda.as_cuda_array(arr)
    return {
        "topk of a JAX array": lambda: approxtopk.topk(jax_array, 64, b=1024, kb=2),
        "topk of a Numba array": lambda: approxtopk.topk(numba_array, 64, b=1024, kb=2),
    }


def main(arguments: Iterable[str]) -> None:
    costs = host_costs()
    for name, microseconds in costs.items():
        print(f"host, {name:26s} {microseconds:7.2f}", flush=True)
    results = [compare(w.rows, w.n, w.k, w.dtype) for w in GPU_WORKLOADS]
    for path in arguments:
        save(path, cupy=cupy.__version__, host_us=costs, results=results)


if __name__ == "__main__":
    main(sys.argv[1:])
