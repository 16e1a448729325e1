"""Both stages at recall 0.99: the target table. Run: python -m gpu_fused [json]."""

from __future__ import annotations

import sys
import time

import torch
from gpu_timing import floor_us, inputs, measure, save, verify

from approxtopk import Request
from approxtopk_torch import cuda

#: rows, n, k, dtype, target in µs, and plans (b, kb) to compare.
WORKLOADS = [
    (64, 131072, 64, "float32", 12, [(4096, 1), (512, 2), (1024, 2), (2048, 2), (256, 3)]),
    (128, 65536, 64, "float32", 12, [(4096, 1), (512, 2), (1024, 2), (2048, 2), (256, 3)]),
    (256, 131072, 2048, "float32", 42, [(4096, 3), (8192, 2), (2048, 4), (4096, 4)]),
    (16384, 16384, 64, "float32", 262, [(4096, 1), (512, 2), (1024, 2), (256, 3), (2048, 1)]),
    (256, 131072, 64, "float32", 34, [(4096, 1), (512, 2), (1024, 2), (2048, 2)]),
    (1, 2**27, 1024, "float32", 145, [(65536, 1), (8192, 2), (16384, 2), (32768, 1), (4096, 3)]),
    (64, 131072, 64, "bfloat16", 9, [(4096, 1), (512, 2), (1024, 2), (2048, 2)]),
    (256, 131072, 2048, "bfloat16", 26, [(4096, 3), (8192, 2), (2048, 4)]),
    (32, 4096, 64, "float32", 4, [(512, 2), (1024, 2), (256, 3), (4096, 1)]),
    (8192, 256, 8, "float32", 5, [(64, 2), (32, 2), (32, 3), (128, 1)]),
]


def main() -> None:
    results = []
    for rows, n, k, dtype, target, plans in WORKLOADS:
        kind = getattr(torch, dtype)
        buffers = inputs(rows, n, kind)
        size = buffers[0].element_size()
        floor = floor_us(rows * n * size, rows * k * (size + 8))
        peers = {
            "topk": measure(lambda x, k=k: x.topk(k, sorted=False), buffers, 3).median,
            "argmax": measure(lambda x: x.argmax(-1), buffers, 3).median,
            "amax": measure(lambda x: x.amax(-1), buffers, 3).median,
        }
        for b, kb in plans:
            request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb)
            note = ""
            try:
                began = time.perf_counter()
                values, indices = cuda.topk(buffers[0], request)
                torch.cuda.synchronize()
                first = time.perf_counter() - began
                recall = verify(buffers[0], values, indices, k, b, kb)
            except Exception as error:
                recall, note, first = -1.0, f"{type(error).__name__}: {str(error)[:100]}", 0.0
            took = measure(lambda x, r=request: cuda.topk(x, r), buffers)
            results.append(
                {
                    "rows": rows,
                    "n": n,
                    "k": k,
                    "dtype": dtype,
                    "b": b,
                    "kb": kb,
                    "us": took.median,
                    "low": took.low,
                    "high": took.high,
                    "floor": floor,
                    "recall": recall,
                    "target": target,
                    "kernel": cuda.kernel(request),
                    "first_call_s": first,
                    **peers,
                }
            )
            print(
                f"{rows:6d} {n:10d} {k:5d} {dtype:9s} b {b:6d} kb {kb:2d} {took} "
                f"floor {floor:6.1f} target {target:4d} recall {recall:.4f} "
                f"topk {peers['topk']:7.1f} "
                f"argmax {peers['argmax']:6.1f} amax {peers['amax']:6.1f} first {first:.2f} "
                f"{cuda.kernel(request)} {note}",
                flush=True,
            )
        del buffers
    if len(sys.argv) > 1:
        save(sys.argv[1], results=results)


if __name__ == "__main__":
    main()
