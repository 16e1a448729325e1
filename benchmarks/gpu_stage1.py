"""Stage 1 alone, and the host's share of a call. Run: python -m gpu_stage1 [json]."""

from __future__ import annotations

import sys
import time

import torch
from gpu_timing import floor_us, inputs, measure, save, verify

from approxtopk import Request
from approxtopk_torch import cuda

#: rows, n, b, kb, dtype, index dtype, target in µs (0: none).
WORKLOADS = [
    (128, 2**20, 65536, 1, "float32", "int64", 153),
    (128, 2**20, 32768, 2, "float32", "int64", 153),
    (128, 2**20, 32768, 2, "float32", "int32", 0),
    (128, 2**20, 16384, 4, "float32", "int64", 160),
    (128, 2**20, 32768, 2, "bfloat16", "int64", 90),
    (128, 2**20, 65536, 1, "bfloat16", "int64", 0),
    (128, 2**20, 32768, 2, "float16", "int64", 0),
    (128, 2**20, 32768, 2, "float64", "int64", 0),
    (128, 2**20, 32768, 2, "int8", "int64", 0),
    (128, 2**20, 32768, 2, "uint8", "int64", 0),
    (128, 2**20, 32768, 2, "int16", "int64", 0),
    (128, 2**20, 32768, 2, "int32", "int64", 0),
    (128, 2**20, 32768, 2, "int64", "int64", 0),
    (128, 65536, 4096, 2, "float32", "int64", 13),
]


def host_us() -> dict[str, float]:
    """Microseconds of the host per eager call."""
    arr = torch.randn(32, 4096, device="cuda")
    request = Request((32, 4096), "float32", "cuda:0", 1, 64, 512, 2)
    calls = {
        "cuda.topk": lambda: cuda.topk(arr, request),
        "torch.topk": lambda: arr.topk(64),
        "two allocations": lambda: (
            arr.new_empty((32, 64)),
            arr.new_empty((32, 64), dtype=torch.int64),
        ),
    }
    times = {}
    for name, call in calls.items():
        for _ in range(100):
            call()
        best = []
        for _ in range(20):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(100):
                call()
            best.append((time.perf_counter() - begin) * 1e4)
        times[name] = sorted(best)[len(best) // 2]
    return times


def main() -> None:
    results = []
    for rows, n, b, kb, dtype, index_dtype, target in WORKLOADS:
        kind = getattr(torch, dtype)
        buffers = inputs(rows, n, kind)
        size = buffers[0].element_size()
        k = b * kb
        moved = (rows * n * size, rows * k * (size + (8 if index_dtype == "int64" else 4)))
        floor = floor_us(*moved)
        request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb, index_dtype=index_dtype)
        values, indices = cuda.topk(buffers[0], request)
        if size <= 4:
            verify(buffers[0][:4], values[:4], indices[:4], k, b, kb)
        took = measure(lambda x, r=request: cuda.topk(x, r), buffers)
        target_copy = torch.empty_like(buffers[0])
        copy = measure(lambda x, t=target_copy: t.copy_(x), buffers, 3)
        gbps = sum(moved) / took.median / 1e3
        copied = 2 * rows * n * size / copy.median / 1e3
        results.append(
            {
                "rows": rows,
                "n": n,
                "b": b,
                "kb": kb,
                "dtype": dtype,
                "index": index_dtype,
                "us": took.median,
                "low": took.low,
                "high": took.high,
                "floor": floor,
                "gbps": gbps,
                "copy_gbps": copied,
                "target": target,
            }
        )
        print(
            f"{rows:4d} {n:8d} b {b:6d} kb {kb} {dtype:9s} {index_dtype} {took} floor {floor:6.1f} "
            f"target {target:4d} {gbps:6.0f} GB/s, copy {copied:6.0f}",
            flush=True,
        )
        del buffers
    host = host_us()
    print("host us:", {name: round(us, 2) for name, us in host.items()})
    if len(sys.argv) > 1:
        save(sys.argv[1], host_us=host, results=results)


if __name__ == "__main__":
    main()
