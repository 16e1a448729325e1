"""The Triton backend beside torch and our CUDA kernels: stage 1 alone, recall 0.99, host cost.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_triton [results.json] [--configurations]

All in one process, over inputs rotated beyond L2, every result checked.
``--configurations`` times every configuration that tuning may choose from as well.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from gpu_timing import floor_us, inputs, measure, verify
from torch import Tensor

import approxtopk
from approxtopk import Request
from approxtopk.testing.workloads import GPU_WORKLOADS
from approxtopk_torch import cuda
from approxtopk_triton import launch, policy
from approxtopk_triton.backend import TritonBackend
from approxtopk_triton.layout import contiguous_strides, row_layout

#: rows, n, b, kb, dtype: candidates are all wanted, so there is no stage 2.
STAGE_1 = [
    (128, 2**20, 65536, 1, "float32"),
    (128, 2**20, 32768, 2, "float32"),
    (128, 2**20, 16384, 4, "float32"),
    (128, 2**20, 32768, 2, "bfloat16"),
    (128, 65536, 4096, 2, "float32"),
]


Call = Callable[[Tensor], Any]


def requests() -> list[Request]:
    found = [
        Request((rows, n), dtype, "cuda:0", 1, b * kb, b, kb) for rows, n, b, kb, dtype in STAGE_1
    ]
    for work in GPU_WORKLOADS:
        rows, n, k, dtype = work.rows, work.n, work.k, work.dtype
        plan = approxtopk.plan(n, k, recall=0.99)
        found.append(Request((rows, n), dtype, "cuda:0", 1, k, plan.b, plan.kb))
    return found


def compare(request: Request, configurations: bool) -> dict[str, Any]:
    """Microseconds of every way to serve a request."""
    rows, n = request.shape
    buffers = inputs(rows, n, getattr(torch, request.dtype))
    size = buffers[0].element_size()
    triton = TritonBackend()
    began = time.perf_counter()
    values, indices = triton.topk(buffers[0], request)
    torch.cuda.synchronize()
    first = time.perf_counter() - began
    recall = check(request, buffers[0], values, indices)
    took = measure(lambda x: triton.topk(x, request), buffers)
    moved = rows * n * size, rows * request.k * (size + 8)
    found = {
        "rows": rows,
        "n": n,
        "k": request.k,
        "dtype": request.dtype,
        "b": request.b,
        "kb": request.kb,
        "recall": recall,
        "floor": floor_us(*moved),
        "triton": took.median,
        "low": took.low,
        "high": took.high,
        "kernels": triton.kernel(request),
        "first_call_s": first,
        "topk": measure(lambda x: x.topk(request.k, sorted=False), buffers, 3).median,
        "argmax": measure(lambda x: x.argmax(-1), buffers, 3).median,
    }
    if cuda.refuses(request) is None:
        check(request, buffers[0], *cuda.topk(buffers[0], request))
        found["cuda"] = measure(lambda x: cuda.topk(x, request), buffers).median
    if not request.lossless and request.k < request.candidates:
        found |= exactness(request, buffers)
    if configurations:
        found["configurations"] = each_configuration(request, buffers)
    return found


def exactness(request: Request, buffers: list[Tensor]) -> dict[str, float]:
    """The same with a certificate; exact; exact where hidden elements are too many to repair."""
    triton = TritonBackend()
    certified = replace(request, certificate=True)
    plan = approxtopk.plan(request.n, request.k, recall=1.0)
    exact = replace(request, exact=True, b=plan.b, kb=plan.kb)
    found = {
        "certified": measure(lambda x: triton.topk(x, certified), buffers).median,
        "exact_b": plan.b,
        "exact_kb": plan.kb,
        "exact": measure(lambda x: triton.topk(x, exact), buffers).median,
    }
    for worst in buffers:
        for bucket in range(max(1, request.k // (4 * plan.kb))):
            worst[:, bucket :: plan.b] += 100
    for arr in buffers[:2]:
        values = triton.topk(arr, exact)[0]
        best = arr.topk(request.k).values
        assert torch.equal(values.sort(1, descending=True).values, best)
    found["worst"] = measure(lambda x: triton.topk(x, exact), buffers, 3).median
    return found


def check(request: Request, arr: Tensor, values: Tensor, indices: Tensor) -> float:
    """Compare some rows with torch's answer; buckets must be even for a full check."""
    arr, values, indices = arr[:8], values[:8], indices[:8]
    k, b, kb = request.k, request.b, request.kb
    if request.n % b == 0:
        return verify(arr, values, indices, k, b, kb)
    assert torch.equal(arr.gather(1, indices), values)
    assert (indices.sort(1).values.diff() > 0).all()
    exact = arr.topk(k).values[:, -1:]
    recall = (values >= exact).float().mean().item()
    assert recall > 0.97
    return recall


def each_configuration(request: Request, buffers: list[Tensor]) -> dict[str, float]:
    device = launch.device_of("cuda:0")
    layout = row_layout(request.shape, 1, request.k, contiguous_strides(request.shape))
    assert layout is not None
    times = {}
    for config in policy.configurations(request, layout, device):
        pipeline = launch.Pipeline(request, layout, device, config)
        name = "fused" if config.fused else f"{config.splits} splits"
        name += f", {config.warps} warps, {config.loads} loads"
        times[name] = measure(partial(pipeline, out=None), buffers, 3).median
    return times


def host_us() -> dict[str, float]:
    """Microseconds of the host per call, of which the queue of a small launch hides nothing."""
    arr = torch.randn(32, 4096, device="cuda")
    calls: dict[str, Callable[[], Any]] = {
        "one launch": lambda: approxtopk.topk(arr, 512, b=512, kb=1, backend="triton"),
        "fused": lambda: approxtopk.topk(fused, 64, b=512, kb=1, backend="triton"),
        "two launches": lambda: approxtopk.topk(arr, 64, b=512, kb=1, backend="triton"),
        "cuda": lambda: approxtopk.topk(arr, 64, b=512, kb=1, backend="torch"),
        "torch.topk": lambda: arr.topk(64),
    }
    fused = torch.randn(128, 4096, device="cuda")
    return {name: _host(call) for name, call in calls.items()}


def _host(call: Callable[[], Any]) -> float:
    for _ in range(50):
        call()
    times = []
    for _ in range(20):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(100):
            call()
        times.append((time.perf_counter() - began) * 1e4)
    return sorted(times)[len(times) // 2]


def line(found: dict[str, Any]) -> str:
    ours = found["triton"]
    cuda_us = found.get("cuda", float("nan"))
    exact = ""
    if "exact" in found:
        exact = f" | certified {found['certified']:.1f} exact {found['exact']:.1f} "
        exact += f"({found['exact_b']}, {found['exact_kb']}) worst {found['worst']:.1f}"
    return (
        f"{found['rows']:6d} x {found['n']:9d} k {found['k']:5d} {found['dtype']:8s} "
        f"b {found['b']:5d} kb {found['kb']} | floor {found['floor']:6.1f} triton {ours:7.1f} "
        f"cuda {cuda_us:7.1f} ({ours / cuda_us:4.2f}x) topk {found['topk']:7.1f} "
        f"({found['topk'] / ours:4.1f}x) argmax {found['argmax']:6.1f} | recall "
        f"{found['recall']:.4f} {found['kernels']} {found['first_call_s']:.1f}s{exact}"
    )


def main() -> None:
    paths = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    results = []
    for request in requests():
        results.append(compare(request, "--configurations" in sys.argv))
        print(line(results[-1]), results[-1].get("configurations", ""), flush=True)
    host = host_us()
    if paths:
        header = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
        header["date"] = time.strftime("%Y-%m-%d")
        with open(paths[0], "w") as file:
            json.dump({**header, "host_us": host, "results": results}, file, indent=1)
    print("host us:", {name: round(us, 1) for name, us in host.items()})


if __name__ == "__main__":
    main()
