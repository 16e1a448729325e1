"""Rows that begin anywhere, beside aligned ones. Run: python -m gpu_unaligned [json]."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
from gpu_timing import inputs, measure, save, verify

from approxtopk import Request
from approxtopk_torch import cuda

#: rows, n, k, dtype, plan; the nearest length with which all rows are aligned. Two rows of logits
#: come first: 50,257 are GPT-2's.
WORKLOADS: list[tuple[int, int, int, str, tuple[int, int], int]] = [
    (1024, 50257, 50, "float32", (2048, 1), 50256),
    (1024, 50257, 50, "bfloat16", (2048, 1), 50256),
    (128, 65537, 64, "float32", (4096, 1), 65536),
    (128, 65537, 64, "bfloat16", (4096, 1), 65536),
    (64, 131073, 64, "bfloat16", (8192, 1), 131072),
    (256, 131071, 2048, "float32", (4096, 3), 131072),
    (256, 131071, 2048, "bfloat16", (4096, 3), 131072),
    (16384, 16385, 64, "float32", (512, 2), 16384),
    (16384, 16385, 64, "bfloat16", (256, 2), 16384),
    (32, 4097, 64, "float32", (512, 2), 4096),
    (16384, 4097, 64, "float32", (256, 2), 4096),
]


def time_rows(request: Request) -> dict[str, Any]:
    """Check a plan's answers, and time them without and with a certificate, and torch.topk."""
    rows, n = request.shape
    buffers = inputs(rows, n, getattr(torch, request.dtype))
    certified = replace(request, certificate=True)
    for arr in buffers[:2]:
        values, indices = cuda.topk(arr, request)
        recall = verify(arr, values, indices, request.k, request.b, request.kb)
        worst = arr.topk(request.k, dim=1).values[:, -1:]
        values, _, exact = cuda.topk(arr, certified)
        assert (values >= worst).all(1)[exact].all(), "a certificate is wrong"
    took = measure(lambda x: cuda.topk(x, request), buffers)
    with_it = measure(lambda x: cuda.topk(x, certified), buffers)
    torch_too = measure(lambda x: x.topk(request.k, sorted=False), buffers, 2).median
    print(
        f"{rows:6d} {n:7d} {request.k:5d} {request.dtype:9s} ({request.b}, {request.kb}) {took}, "
        f"with certificate {with_it}, recall {recall:.4f}, "
        f"{torch_too / took.median:.1f} x torch.topk, {cuda.kernel(request)}",
        flush=True,
    )
    return {
        "n": n,
        "us": took.median,
        "low": took.low,
        "high": took.high,
        "certificate_us": with_it.median,
        "recall": recall,
        "topk": torch_too,
        "kernel": cuda.kernel(request),
    }


def main() -> None:
    results = []
    for rows, n, k, dtype, (b, kb), aligned in WORKLOADS:
        request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb)
        anywhere, beside = time_rows(request), time_rows(replace(request, shape=(rows, aligned)))
        plan = {"rows": rows, "k": k, "dtype": dtype, "b": b, "kb": kb}
        results.append({**plan, "anywhere": anywhere, "aligned": beside})
        if len(sys.argv) > 1:
            save(sys.argv[1], results=results)  # kept if time runs out


if __name__ == "__main__":
    main()
