"""Both stages at recall 0.99: the target table. Run: python -m gpu_fused [json]."""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

import torch
from gpu_timing import floor_us, inputs, measure, save, verify

from approxtopk import Request, expected_recall
from approxtopk_torch import cuda


class Workload(NamedTuple):
    """What is selected, how long it may take, and the plans to try, the one to report first."""

    rows: int
    n: int
    k: int
    dtype: str
    target: float  #: µs
    #: µs of the fastest exact kernel known, on an H200 and measured as here, and which it is:
    #: figures copied from a comparison of 2026-11-20, not measured by this script.
    peer: tuple[float, str] | None
    plans: list[tuple[int, int]]


CLUSTERS, CUB = "FlashInfer 0.7.2, clusters", "FlashInfer 0.7.2 or CUB"
WORKLOADS = [
    Workload(64, 131072, 64, "float32", 12, (42.7, CLUSTERS), [(4096, 1), (8192, 1), (2048, 2)]),
    Workload(128, 65536, 64, "float32", 12, (29.2, CLUSTERS), [(4096, 1), (2048, 2)]),
    Workload(256, 131072, 2048, "float32", 42, (94.4, CLUSTERS), [(3072, 3), (4096, 3), (8192, 2)]),
    Workload(16384, 16384, 64, "float32", 262, (702, CLUSTERS), [(256, 2), (512, 2), (128, 3)]),
    Workload(256, 131072, 64, "float32", 34, (79.9, CLUSTERS), [(4096, 1), (2048, 2)]),
    Workload(1, 2**27, 1024, "float32", 145, None, [(65536, 1), (57344, 1), (8192, 2)]),
    Workload(64, 131072, 64, "bfloat16", 9, (32.7, CUB), [(8192, 1), (4096, 1), (2048, 2)]),
    Workload(256, 131072, 2048, "bfloat16", 26, (142, CUB), [(3072, 3), (4096, 3), (8192, 2)]),
    Workload(32, 4096, 64, "float32", 4, (6.3, CLUSTERS), [(2048, 1), (1024, 2), (512, 2)]),
    Workload(8192, 256, 8, "float32", 5, (168, CLUSTERS), [(32, 2), (64, 2), (32, 3)]),
]


def time_plan(
    work: Workload, b: int, kb: int, buffers: list[torch.Tensor], peers: dict[str, float]
) -> dict[str, object]:
    """Check a plan, time it, and put it beside what else there is."""
    request = Request((work.rows, work.n), work.dtype, "cuda:0", 1, work.k, b, kb)
    began = time.perf_counter()
    values, indices = cuda.topk(buffers[0], request)
    torch.cuda.synchronize()
    first = time.perf_counter() - began
    recall = verify(buffers[0], values, indices, work.k, b, kb)
    took = measure(lambda x: cuda.topk(x, request), buffers)
    size = buffers[0].element_size()
    floor = floor_us(work.rows * work.n * size, work.rows * work.k * (size + 8))
    expected = expected_recall(work.n, work.k, b, kb)
    against = f"{work.peer[0] / took.median:5.1f} x {work.peer[1]}" if work.peer else "no peer"
    print(
        f"{work.rows:6d} {work.n:10d} {work.k:5d} {work.dtype:9s} b {b:6d} kb {kb:2d} {took} "
        f"target {work.target:4.0f} recall {expected:.4f} expected, {recall:.4f} measured; "
        f"{took.median / floor:5.2f} floors, {peers['topk'] / took.median:5.1f} x torch.topk, "
        f"{against}; argmax {peers['argmax']:.1f} amax {peers['amax']:.1f}, first {first:.2f} s, "
        f"{cuda.kernel(request)}",
        flush=True,
    )
    return {
        **{name: getattr(work, name) for name in ("rows", "n", "k", "dtype", "target")},
        "b": b,
        "kb": kb,
        "us": took.median,
        "low": took.low,
        "high": took.high,
        "floor": floor,
        "expected_recall": expected,
        "recall": recall,
        "kernel": cuda.kernel(request),
        "first_call_s": first,
        **peers,
        "peer": work.peer and {"us": work.peer[0], "name": work.peer[1], "copied": True},
    }


def main() -> None:
    results = []
    for work in WORKLOADS:
        buffers = inputs(work.rows, work.n, getattr(torch, work.dtype))
        k = work.k
        peers = {
            "topk": measure(lambda x, k=k: x.topk(k, sorted=False), buffers, 3).median,
            "argmax": measure(lambda x: x.argmax(-1), buffers, 3).median,
            "amax": measure(lambda x: x.amax(-1), buffers, 3).median,
        }
        results += [time_plan(work, b, kb, buffers, peers) for b, kb in work.plans]
        del buffers
        if len(sys.argv) > 1:
            save(sys.argv[1], results=results)  # kept if time runs out


if __name__ == "__main__":
    main()
