"""Exact answers and certificates: their price, on random data and on the worst.

Run: PYTHONPATH=.:backends:benchmarks python -m gpu_exact [json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from gpu_timing import Time, inputs, measure, save

from approxtopk import Request, plan
from approxtopk_torch import cuda

#: rows, n, k, dtype; the best exact peer, µs; plans (b, kb) to get exact answers from, besides the
#: planner's. It is compared with the planner's plan for recall 0.99.
WORKLOADS = [
    (64, 131072, 64, "float32", 42.7, [(4096, 1), (8192, 1), (2048, 3)]),
    (128, 65536, 64, "float32", 29.2, [(4096, 1), (2048, 2), (2048, 3)]),
    (256, 131072, 2048, "float32", 94.4, [(4096, 3), (4096, 4), (8192, 3)]),
    (16384, 16384, 64, "float32", 702, [(512, 2), (1024, 2), (512, 3)]),
    (256, 131072, 64, "float32", 79.9, [(4096, 1), (2048, 2), (4096, 2)]),
    (1, 2**27, 1024, "float32", None, [(65536, 1), (65536, 2), (40960, 2)]),
    (64, 131072, 64, "bfloat16", 32.7, [(8192, 1), (4096, 2), (8192, 2)]),
    (256, 131072, 2048, "bfloat16", 142, [(4096, 3), (4096, 4), (8192, 3)]),
    (32, 4096, 64, "float32", 6.3, [(2048, 1), (1024, 2), (512, 2)]),
    (8192, 256, 8, "float32", 168, [(32, 2), (64, 2), (32, 3)]),
]


def packed(arr: torch.Tensor, request: Request, apart: int) -> torch.Tensor:
    """Rows whose greatest elements fill as few buckets as can be, better and better as they go.

    These buckets are `apart` others from each other. A thread reads up to 16 neighbours together,
    and all of them again for one.
    """
    b, n = request.b, request.n
    full = min((request.k - 1) // request.kb, b // apart)
    hard = arr.clone()
    rows = hard[:, : n // b * b].unflatten(1, (-1, b))[:, :, : full * apart : apart]
    step = torch.arange(rows.shape[1], device=arr.device, dtype=torch.float32)
    rows.copy_((rows.float() * 0.1 + 8 + step[:, None]).to(arr.dtype))
    return hard


def rising(arr: torch.Tensor) -> torch.Tensor:
    return arr.sort(1).values


#: Inputs that make exact answers slow, from a random one and the request.
SLOW: dict[str, Callable[[torch.Tensor, Request], torch.Tensor]] = {
    "packed": lambda arr, request: packed(arr, request, 1),
    "packed, 8 apart": lambda arr, request: packed(arr, request, 8),
    "packed, 16 apart": lambda arr, request: packed(arr, request, 16),
    "constant": lambda arr, request: torch.ones_like(arr),
    "two values": lambda arr, request: (arr > 1).to(arr.dtype),
    "rising": lambda arr, request: rising(arr),
    "falling": lambda arr, request: rising(arr).flip(1),
}


def check(arr: torch.Tensor, request: Request) -> None:
    """The exact answer has torch.topk's values, at their places."""
    values, indices = cuda.topk(arr, request)
    best = arr.topk(request.k, dim=1).values
    assert torch.equal(values.sort(1, descending=True).values, best), "wrong values"
    assert torch.equal(arr.gather(1, indices), values), "values are not at their indices"


def time_request(request: Request, buffers: list[torch.Tensor]) -> Time:
    return measure(lambda x: cuda.topk(x, request), buffers)


def time_plan(
    b: int, kb: int, base: Request, buffers: list[torch.Tensor], slow: bool
) -> dict[str, Any]:
    """Check and time an exact answer by a plan, and the slowest of all inputs if that is asked."""
    request = replace(base, b=b, kb=kb, exact=True)
    check(buffers[0], request)
    took = time_request(request, buffers)
    plain = time_request(replace(request, exact=False), buffers)
    *_, given = cuda.topk(buffers[0], replace(request, exact=False, certificate=True))
    worst = {}
    for name, make in SLOW.items() if slow else ():
        hard = [make(arr, request) for arr in buffers[:2]]
        check(hard[0], request)
        worst[name] = measure(lambda x: cuda.topk(x, request), hard, 3).median
    return {
        "b": b,
        "kb": kb,
        "us": took.median,
        "low": took.low,
        "high": took.high,
        "approximate_us": plain.median,
        "certified": given.float().mean().item(),
        "worst": worst,
        "kernel": cuda.kernel(request),
    }


def main() -> None:
    results = []
    for rows, n, k, dtype, peer, plans in WORKLOADS:
        near, chosen = ((p.b, p.kb) for p in (plan(n, k, recall=r) for r in (0.99, 1.0)))
        # Of single rows so many that those which need repair are there in their share.
        buffers = inputs(rows, n, getattr(torch, dtype), least=16 if rows == 1 else 2)
        topk = measure(lambda x, k=k: x.topk(k, sorted=False), buffers, 3).median
        base = Request((rows, n), dtype, "cuda:0", 1, k, *near)
        approximate = time_request(base, buffers)
        certified = time_request(replace(base, certificate=True), buffers)
        held = cuda.topk(buffers[0], replace(base, certificate=True))[2].float().mean().item()
        common = {"rows": rows, "n": n, "k": k, "dtype": dtype, "peer": peer, "topk": topk}
        common |= {"near": near, "near_us": approximate.median, "near_certified": held}
        common |= {"certificate_us": certified.median}
        print(
            f"{rows} x {n}, {k}, {dtype}: topk {topk:.1f}, peer {peer}, {near} {approximate}, with "
            f"certificate {certified} ({certified.median / approximate.median:.3f} x), given to "
            f"{held:.3f} of the rows",
            flush=True,
        )
        for b, kb in dict.fromkeys([chosen, *plans]):
            planned = (b, kb) == chosen
            result = time_plan(b, kb, base, buffers, planned)
            results.append({**common, **result, "planned": planned})
            worst = "".join(f", {name} {us:.1f}" for name, us in result["worst"].items())
            print(
                f"    {b:6d} {kb} exact {result['us']:8.1f}, "
                f"plain {result['approximate_us']:8.1f}, "
                f"{result['us'] / approximate.median:.2f} x recall 0.99, "
                f"{topk / result['us']:.1f} x topk, certified {result['certified']:.3f}, "
                f"{result['kernel']}{worst}",
                flush=True,
            )
        del buffers
        if len(sys.argv) > 1:
            save(sys.argv[1], results=results)  # kept if time runs out


if __name__ == "__main__":
    main()
