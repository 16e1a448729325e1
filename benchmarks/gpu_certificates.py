"""What certificates cost: the planner's plans of several recalls, rows of many kinds.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_certificates [json]
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from gpu_timing import inputs, measure, save

from approxtopk import Request, plan
from approxtopk_torch import cuda

RECALLS = (0.9, 0.95, 0.99)

#: rows, n, k, dtype. First those of `gpu_exact`, then logits of three vocabularies, and rows that
#: begin anywhere.
WORKLOADS = [
    (64, 131072, 64, "float32"),
    (128, 65536, 64, "float32"),
    (256, 131072, 2048, "float32"),
    (16384, 16384, 64, "float32"),
    (256, 131072, 64, "float32"),
    (1, 2**27, 1024, "float32"),
    (64, 131072, 64, "bfloat16"),
    (256, 131072, 2048, "bfloat16"),
    (32, 4096, 64, "float32"),
    (8192, 256, 8, "float32"),
    (16384, 16384, 64, "bfloat16"),
    (8, 131072, 2048, "float32"),
    (700, 65536, 64, "float32"),
    (1024, 32000, 50, "bfloat16"),
    (1024, 50256, 50, "float32"),
    (1024, 50257, 50, "float32"),
    (1024, 50257, 50, "bfloat16"),
    (1024, 128256, 50, "float32"),
    (1024, 128256, 50, "bfloat16"),
    (64, 128256, 50, "bfloat16"),
    (32, 4097, 64, "float32"),
    (256, 131071, 2048, "bfloat16"),
    (16384, 16385, 64, "bfloat16"),
    (4096, 16384, 64, "float64"),
    (32, 16384, 64, "float32"),
    (128, 32000, 50, "bfloat16"),
    (64, 65536, 64, "bfloat16"),
    (2048, 8192, 64, "bfloat16"),
]


def main() -> None:
    results = []
    for rows, n, k, dtype in WORKLOADS:
        buffers = inputs(rows, n, getattr(torch, dtype))
        plans: dict[tuple[int, int], list[float]] = {}
        for recall in RECALLS:
            chosen = plan(n, k, recall=recall)
            plans.setdefault((chosen.b, chosen.kb), []).append(recall)
        for (b, kb), recalls in plans.items():
            request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb)
            asked = replace(request, certificate=True)
            plain = measure(lambda x, r=request: cuda.topk(x, r), buffers, 5).median
            took = measure(lambda x, r=asked: cuda.topk(x, r), buffers, 5).median
            given = cuda.topk(buffers[0], asked)[2].float().mean().item()
            name = {"rows": rows, "n": n, "k": k, "dtype": dtype, "b": b, "kb": kb}
            times = {"us": plain, "certificate_us": took, "certified": given}
            results.append({**name, "recalls": recalls, **times, "kernel": cuda.kernel(asked)})
            print(
                f"{rows:6d} x {n:9d}, {k:4d} {dtype:9s} ({b}, {kb}) {plain:7.2f}, certificate "
                f"{took:7.2f}, {100 * (took / plain - 1):+5.1f} %, given to {given:.3f}",
                flush=True,
            )
        del buffers
        if len(sys.argv) > 1:
            save(sys.argv[1], results=results)  # kept if time runs out


if __name__ == "__main__":
    main()
