"""Time against expected recall over (b, kb), and where the planner's choice stands in it.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_sweep FILE.json
The picture and the table: python benchmarks/gpu_sweep_report.py, which needs no GPU.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from gpu_fused import WORKLOADS
from gpu_timing import floor_us, inputs, measure, save, verify

import approxtopk
from approxtopk import Request
from approxtopk_torch import cuda

RECALLS = (0.95, 0.99)
QUEUES = (1, 2, 3, 4)

#: Workloads besides those of `gpu_fused`: rows, n, k, dtype.
OTHERS = [
    (16384, 4096, 64, "float32"),
    (1024, 50257, 50, "float32"),
    (4096, 1024, 16, "float32"),
    (16, 2**20, 256, "float32"),
    (64, 32768, 1024, "bfloat16"),
]


def grid(n: int, k: int) -> list[tuple[int, int]]:
    """For each kb the narrowest power of two that reaches 0.95, and wider ones to 4 times 0.99's.

    The planner's own choices come with them.
    """
    plans = {approxtopk.plan(n, k, recall=recall) for recall in RECALLS}
    chosen = [(plan.b, plan.kb) for plan in plans]
    for kb in QUEUES:
        b, past = 1, 0
        while 2 * b <= n and past < 3:
            b *= 2
            if b * kb < k or kb > -(-n // b):
                continue
            recall = approxtopk.expected_recall(n, k, b, kb)
            past += recall >= RECALLS[-1]
            if recall >= RECALLS[0]:
                chosen.append((b, kb))
    return sorted(set(chosen), key=lambda plan: (plan[1], plan[0]))


def coprime(b: int) -> list[int]:
    """Numbers close to `b` that share few factors with others: 8, 4 and 1 times a prime."""
    numbers = []
    for factor in (8, 4, 1):
        prime = b // factor
        while prime > 1 and any(prime % i == 0 for i in range(2, int(prime**0.5) + 1)):
            prime -= 1
        numbers.append(factor * prime)
    return numbers


def sweep(rows: int, n: int, k: int, dtype: str) -> dict[str, Any]:
    """Everything about one workload."""
    buffers = inputs(rows, n, getattr(torch, dtype))
    size = buffers[0].element_size()

    def entry(b: int, kb: int) -> dict[str, Any]:
        request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb)
        values, indices = cuda.topk(buffers[0], request)
        took = measure(lambda x: cuda.topk(x, request), buffers, 5)
        return {
            "b": b,
            "kb": kb,
            "us": took.median,
            "low": took.low,
            "high": took.high,
            "expected_recall": approxtopk.expected_recall(n, k, b, kb),
            "measured_recall": verify(buffers[0], values, indices, k, b, kb),
            "kernel": cuda.kernel(request),
        }

    chosen = approxtopk.plan(n, k, recall=RECALLS[-1])
    return {
        "rows": rows,
        "n": n,
        "k": k,
        "dtype": dtype,
        "floor": floor_us(rows * n * size, rows * k * (size + 8)),
        "peers": {
            "torch.topk": measure(lambda x: x.topk(k, sorted=False), buffers, 3).median,
            "argmax": measure(lambda x: x.argmax(-1), buffers, 3).median,
        },
        "plans": [entry(b, kb) for b, kb in grid(n, k)],
        "coprime": [entry(b, chosen.kb) for b in coprime(chosen.b)],
    }


def report(case: dict[str, Any]) -> None:
    """How the planner's choices compare with the best."""
    n, k = case["n"], case["k"]
    for recall in RECALLS:
        chosen = approxtopk.plan(n, k, recall=recall)
        good = [plan for plan in case["plans"] if plan["expected_recall"] >= recall]
        best = min(good, key=lambda plan: plan["us"])
        mine = next(p for p in good if (p["b"], p["kb"]) == (chosen.b, chosen.kb))
        print(
            f"{case['rows']:6d} {n:10d} {k:5d} {case['dtype']:9s} recall {recall}: planned "
            f"{mine['b'], mine['kb']} {mine['us']:.1f} us, best {best['b'], best['kb']} "
            f"{best['us']:.1f} us, {mine['us'] / best['us']:.2f} x",
            flush=True,
        )


def main() -> None:
    workloads = []
    for rows, n, k, dtype in [*(workload[:4] for workload in WORKLOADS), *OTHERS]:
        case = sweep(rows, n, k, dtype)
        case["in_table"] = (rows, n, k, dtype) not in OTHERS
        report(case)
        workloads.append(case)
        if len(sys.argv) > 1:
            save(sys.argv[1], workloads=workloads)  # kept if time runs out


if __name__ == "__main__":
    main()
