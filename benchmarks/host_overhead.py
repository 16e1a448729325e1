"""What an eager call costs the host: approxtopk.topk and torch.topk on a very small tensor.

Run it as ``python benchmarks/host_overhead.py [cpu|cuda]``; microseconds, the best of several runs.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable

import torch

import approxtopk

CALLS = 2000
REPEATS = 15


def microseconds(call: Callable[[], object]) -> float:
    call()
    return min(timeit.repeat(call, number=CALLS, repeat=REPEATS)) / CALLS * 1e6


def main(device: str) -> None:
    torch.set_num_threads(1)
    arr = torch.randn(4, 64, device=device)
    grad = arr.clone().requires_grad_()
    calls: dict[str, Callable[[], object]] = {
        "torch.topk": lambda: torch.topk(arr, 4),
        "approxtopk.topk": lambda: approxtopk.topk(arr, 4),
        "torch.topk, gradient recorded": lambda: torch.topk(grad, 4),
        "approxtopk.topk, gradient recorded": lambda: approxtopk.topk(grad, 4),
        "approxtopk.topk, nothing to select": lambda: approxtopk.topk(arr, 0),
    }
    for name, call in calls.items():
        print(f"{name:40} {microseconds(call):8.2f}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["cpu"]))
