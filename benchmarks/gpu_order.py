"""What results in order cost, and rows that make it hard. Run: python -m gpu_order [json]."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from gpu_timing import inputs, measure, save

from approxtopk import Request
from approxtopk_torch import cuda

WORKLOADS: list[tuple[int, int, int, str, tuple[int, int]]] = [
    (64, 131072, 64, "float32", (4096, 1)),
    (256, 131072, 2048, "float32", (4096, 3)),
    (16384, 16384, 64, "float32", (256, 2)),
    (1, 2**27, 1024, "float32", (57344, 1)),
    (256, 131072, 2048, "bfloat16", (4096, 3)),
    (256, 131072, 2048, "int8", (4096, 3)),
    (128, 65536, 512, "float32", (2048, 2)),
    (64, 131072, 1024, "float32", (4096, 2)),
    (4096, 16384, 256, "float32", (512, 3)),
    (4096, 4096, 128, "float32", (256, 3)),
    (8, 131072, 2048, "float32", (4096, 3)),
    (256, 131072, 4096, "float32", (8192, 3)),
    (128, 65536, 8192, "float32", (4096, 2)),
    (256, 131072, 8192, "float32", (8192, 3)),
    (128, 2**20, 65536, "float32", (32768, 2)),
]


def crowded(arr: torch.Tensor, pattern: str) -> torch.Tensor:
    """The same shape with winners that tie, or lie close together beside one far off, or both."""
    near = arr.float().clamp(-100, 100) * 1e-3 + 20
    if pattern == "near":
        near[:, 7] = 100
    elif pattern == "ties":
        near = (arr.float() * 8).round().clamp(-100, 100) / 8
    else:
        near = torch.where(torch.rand_like(near) < 0.01, 90 + (near - 20) * 1e-2, near)
    return near.to(arr.dtype)


def time_workload(
    rows: int, n: int, k: int, dtype: str, plan: tuple[int, int]
) -> dict[str, object]:
    """Check the order of a plan's results, and time them in any order and in this one."""
    buffers = inputs(rows, n, getattr(torch, dtype))
    request = Request((rows, n), dtype, "cuda:0", 1, k, *plan)
    ordered = replace(request, sorted=True)
    slowest = 0.0
    for pattern in ("", "near", "ties", "clusters"):
        data = [crowded(x, pattern) for x in buffers] if pattern else buffers
        values, indices = cuda.topk(data[0], ordered)
        best = cuda.topk(data[0], request)[0].float().sort(1, descending=True).values
        assert torch.equal(values.float(), best), "not in order, or not the same results"
        tie = values[:, 1:] == values[:, :-1]
        assert (indices.diff(dim=1) > 0)[tie].all(), "ties are not in order"
        slowest = max(slowest, measure(lambda x: cuda.topk(x, ordered), data, 3).median)
        del data
    plain = measure(lambda x: cuda.topk(x, request), buffers)
    took = measure(lambda x: cuda.topk(x, ordered), buffers)
    torch_too = measure(lambda x: x.topk(k), buffers, 2).median
    print(
        f"{rows:6d} {n:10d} {k:6d} {dtype:9s} {plan} any order {plain}, in order {took} "
        f"(+ {took.median - plain.median:.1f}), slowest {slowest:.1f}, "
        f"{torch_too / took.median:.1f} x torch.topk, {cuda.kernel(ordered)}",
        flush=True,
    )
    return {
        "rows": rows,
        "n": n,
        "k": k,
        "dtype": dtype,
        "b": plan[0],
        "kb": plan[1],
        "any_order": plain.median,
        "us": took.median,
        "low": took.low,
        "high": took.high,
        "slowest": slowest,
        "topk_sorted": torch_too,
        "kernel": cuda.kernel(ordered),
    }


def main() -> None:
    results = []
    for workload in WORKLOADS:
        results.append(time_workload(*workload))
        if len(sys.argv) > 1:
            save(sys.argv[1], results=results)  # kept if time runs out


if __name__ == "__main__":
    main()
