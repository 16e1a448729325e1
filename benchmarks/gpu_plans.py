"""Plans for rows of many kinds, approximate and exact: what the cost model is fitted to.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_plans FILE.json

A plan is written as "b kb us exact_us", one line each. The kernels of a workload, half a second
each, are compiled by as many threads as there are processors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from gpu_timing import inputs, measure, save

from approxtopk import Request, expected_recall, plan
from approxtopk_torch import cuda

ROWS = (16, 128, 1024, 8192)
#: n, k
LENGTHS = [
    (1024, 16),
    (2048, 32),
    (4096, 64),
    (8192, 16),
    (8192, 64),
    (16384, 64),
    (16384, 256),
    (32000, 50),
    (32768, 512),
    (50257, 50),
    (65536, 64),
    (65536, 1024),
    (131072, 64),
    (131072, 512),
    (131072, 2048),
    (2**20, 64),
]
DTYPES = ("bfloat16", "float32")
MOST_BYTES = 0.3e9  #: of an array
RECALLS = (0.95, 0.99, 1.0)
#: How many powers of two of buckets, from the least that reaches recall 0.95, by queue length.
WIDTHS = {1: 3, 2: 4, 3: 3, 4: 2}


def plans(n: int, k: int) -> Iterator[tuple[int, int]]:
    """Plans to compare, and the planner's."""
    chosen = (plan(n, k, recall=recall) for recall in RECALLS)
    found = {(each.b, each.kb) for each in chosen}
    for kb, most in WIDTHS.items():
        widths = [2**i for i in range(n.bit_length()) if kb <= n / 2**i]
        good = [b for b in widths if b * kb >= k and expected_recall(n, k, b, kb) >= RECALLS[0]]
        found.update((b, kb) for b in good[:most] if b * kb <= n // 2)
    yield from sorted(found, key=lambda each: each[::-1])


def workloads() -> Iterator[tuple[int, int, int, str]]:
    """Rows, n, k, dtype."""
    for n, k in LENGTHS:
        for rows in ROWS:
            for dtype in DTYPES:
                if rows * n * getattr(torch, dtype).itemsize <= MOST_BYTES:
                    yield rows, n, k, dtype


def main() -> None:
    found: list[dict[str, Any]] = []
    for rows, n, k, dtype in workloads():
        buffers = inputs(rows, n, getattr(torch, dtype))
        chosen = [Request((rows, n), dtype, "cuda:0", 1, k, b, kb) for b, kb in plans(n, k)]
        asked = [(request, replace(request, exact=True)) for request in chosen]
        with ThreadPoolExecutor() as compilers:
            list(compilers.map(lambda r, x=buffers[0]: cuda.topk(x, r), chain(*asked)))
        lines = []
        for both in asked:
            us, exact_us = (
                measure(lambda x, r=r: cuda.topk(x, r), buffers, 3).median for r in both
            )
            lines.append(f"{both[0].b} {both[0].kb} {us:.3f} {exact_us:.3f}")
        found.append({"rows": rows, "n": n, "k": k, "dtype": dtype, "plans": lines})
        print(rows, n, k, dtype, *lines, sep=", ", flush=True)
        del buffers
        if len(sys.argv) > 1:
            save(sys.argv[1], workloads=found)  # kept if time runs out


if __name__ == "__main__":
    main()
