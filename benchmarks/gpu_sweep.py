"""Time against expected recall over (b, kb), and where the planner's choice stands in it.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_sweep [json]
"""

from __future__ import annotations

import sys

import torch
from gpu_fused import WORKLOADS
from gpu_timing import floor_us, inputs, measure, save, verify

import approxtopk
from approxtopk import Request
from approxtopk_torch import cuda

TARGETS = (0.95, 0.99)
QUEUES = (1, 2, 3, 4)


def grid(n: int, k: int) -> list[tuple[int, int]]:
    """For each kb the narrowest power of two that reaches 0.95, and wider ones to 4 times 0.99's.

    The planner's own choices come with them.
    """
    plans = {approxtopk.plan(n, k, recall=target) for target in TARGETS}
    chosen = [(plan.b, plan.kb) for plan in plans]
    for kb in QUEUES:
        b, past = 1, 0
        while 2 * b <= n and past < 3:
            b *= 2
            if b * kb < k or kb > -(-n // b):
                continue
            recall = approxtopk.expected_recall(n, k, b, kb)
            past += recall >= TARGETS[-1]
            if recall >= TARGETS[0]:
                chosen.append((b, kb))
    return sorted(set(chosen), key=lambda plan: (plan[1], plan[0]))


def main() -> None:
    results = []
    for rows, n, k, dtype, _, _ in WORKLOADS:
        buffers = inputs(rows, n, getattr(torch, dtype))
        size = buffers[0].element_size()
        times: dict[tuple[int, int], float] = {}
        for b, kb in grid(n, k):
            request = Request((rows, n), dtype, "cuda:0", 1, k, b, kb)
            values, indices = cuda.topk(buffers[0], request)
            measured = verify(buffers[0], values, indices, k, b, kb) if n % b == 0 else None
            took = measure(lambda x, r=request: cuda.topk(x, r), buffers, 5)
            times[b, kb] = took.median
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
                    "floor": floor_us(rows * n * size, rows * k * (size + 8)),
                    "expected_recall": approxtopk.expected_recall(n, k, b, kb),
                    "measured_recall": measured,
                    "kernel": cuda.kernel(request),
                }
            )
        for target in TARGETS:
            plan = approxtopk.plan(n, k, recall=target)
            good = {
                p: us for p, us in times.items() if approxtopk.expected_recall(n, k, *p) >= target
            }
            best = min(good, key=lambda p: good[p])
            mine = times[plan.b, plan.kb]
            print(
                f"{rows:6d} {n:10d} {k:5d} {dtype:9s} recall {target}: planned {plan.b, plan.kb} "
                f"{mine:.1f} us, best {best} {good[best]:.1f} us, {mine / good[best]:.2f} x",
                flush=True,
            )
        del buffers
    if len(sys.argv) > 1:
        save(sys.argv[1], results=results)


if __name__ == "__main__":
    main()
