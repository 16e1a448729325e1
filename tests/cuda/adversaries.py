"""Rows that make stage 1 lose much of the top k, beside ordinary ones: for tests of exactness."""

from __future__ import annotations

import random
from typing import Any

import torch

KINDS = (
    *("normal", "any", "few", "two values", "constant", "rising", "falling", "saw"),
    *("one bucket", "some buckets", "one bucket, rising", "special"),
)
INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits_of(tensor: Any) -> Any:
    return tensor.view(INTEGER[tensor.element_size()])


def places(request: Any, count: int, buckets: int, rng: random.Random) -> list[int]:
    """Indices of elements in a few buckets."""
    n, b = request.n, request.b
    found: list[int] = []
    for bucket in rng.sample(range(b), min(buckets, b)):
        if request.interleaved:
            found += range(bucket, n, b)
        else:
            run, longer = divmod(n, b)
            first = bucket * run + min(bucket, longer)
            found += range(first, first + run + (bucket < longer))
    return rng.sample(found, min(count, len(found)))


def ranks(request: Any, kind: str, rng: random.Random, generator: Any) -> Any:
    """A row of small integers, the winners' the greatest."""
    n, k = request.n, request.k
    if kind == "rising":
        return torch.arange(n)
    if kind == "falling":
        return torch.arange(n).flip(0)
    if kind == "constant":
        return torch.full((n,), rng.randint(0, 100))
    if kind == "two values":
        return (torch.rand(n, generator=generator) < rng.random()).long()
    if kind == "few":
        return torch.randint(0, rng.randint(2, 9), (n,), generator=generator)
    if kind == "saw":
        return torch.arange(n) % rng.randint(2, 40)
    row = torch.randint(0, max(2, n), (n,), generator=generator)
    buckets = 1 if kind.startswith("one bucket") else rng.randint(2, 5)
    best = places(request, rng.randint(1, 2 * k), buckets, rng)
    if kind.endswith("rising"):
        best.sort()
    row[best] = n + torch.arange(len(best))
    return row


def row_of(request: Any, kind: str, rng: random.Random) -> Any:
    """A row on the CPU; winners are the best whichever way is asked for."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    dtype = getattr(torch, request.dtype)
    floating = dtype.is_floating_point
    if kind == "normal" and floating:
        return torch.randn(request.n, generator=generator).to(dtype)
    if kind in ("normal", "any", "special"):
        size = torch.empty((), dtype=dtype).element_size()
        raw = torch.randint(0, 256, (request.n, size), generator=generator, dtype=torch.uint8)
        row = raw.view(dtype).reshape(request.n)
        if kind == "special" and floating:
            values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])
            picks = torch.randint(0, 6, (request.n,), generator=generator)
            row = torch.where(torch.rand(request.n, generator=generator) < 0.5, values[picks], row)
        return row.to(dtype)
    row = ranks(request, kind, rng, generator)
    if not request.largest:
        row = row.max() - row
    if floating:
        return (row.double() / 7 - rng.randint(0, 50)).to(dtype)
    info = torch.iinfo(dtype)
    return (info.min + row).clamp(max=info.max).to(dtype)


def rows_for(request: Any, seed: int) -> Any:
    """An array of the request's shape (axis last, two dimensions); each row of another kind."""
    rng = random.Random(seed)
    distinct = [row_of(request, rng.choice(KINDS), rng) for _ in range(min(request.rows, 24))]
    picks = [rng.randrange(len(distinct)) for _ in range(request.rows - len(distinct))]
    shifted = [distinct[i].roll(rng.randrange(request.n)) for i in picks]
    return torch.stack([*distinct, *shifted])


def exact_indices(arr: Any, k: int, largest: bool) -> Any:
    """The true top k of each row, best first, by a stable sort: ties to the lower index."""
    bits = bits_of(arr).long()
    if arr.dtype.is_floating_point:
        bits = torch.where(arr == 0, 0, bits)
        width = 8 * arr.element_size()
        order = torch.where(bits < 0, bits ^ (2 ** (width - 1) - 1), bits)
        bits = torch.where(arr.isnan(), torch.iinfo(torch.int64).max, order)
    elif arr.dtype == torch.uint8:
        bits = arr.long()
    key = ~bits if largest else bits  # ascending: the best first
    return key.sort(dim=-1, stable=True).indices[..., :k]
