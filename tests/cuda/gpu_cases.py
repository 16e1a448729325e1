"""Tensors and requests for tests of the kernels on a GPU, and the comparison with the reference."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from adversaries import bits_of
from problems import DTYPES

from approxtopk import Request
from approxtopk.backend import count_candidates
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select


def fill(shape: tuple[int, ...], dtype: str, pattern: str, rng: random.Random) -> Any:
    """A CPU tensor of any bit pattern, of few values, of mostly the least one, or of near ones."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    kind = getattr(torch, dtype)
    if pattern == "normal" and kind.is_floating_point:
        return torch.randn(shape, generator=generator).to(kind)
    size = torch.empty((), dtype=kind).element_size()
    raw = torch.randint(0, 256, (*shape, size), generator=generator, dtype=torch.uint8)
    if pattern == "few":
        raw = torch.randint(0, 3, shape, generator=generator).to(kind)
        return raw - 1 if dtype != "uint8" else raw
    any_bits = raw.view(kind).reshape(shape)
    if pattern == "bound":
        low = float("-inf") if kind.is_floating_point else torch.iinfo(kind).min
        any_bits[torch.rand(shape, generator=generator) < 0.97] = low
    if pattern == "crowded":  # but for one in a thousand, which lie far off
        near = torch.randn(shape, generator=generator) * 0.01 + 20
        far = torch.rand(shape, generator=generator) < 0.001
        return torch.where(far, 100 + near, near).to(kind)
    if pattern == "special" and kind.is_floating_point:
        values = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0])
        picks = torch.randint(0, 6, shape, generator=generator)
        special = values.to(kind)[picks]
        return torch.where(torch.rand(shape, generator=generator) < 0.5, special, any_bits)
    return any_bits


def reference(arr: Any, request: Request) -> Any:
    """Indices of the selected elements, best first, the axis last."""
    rows = bits_of(arr).movedim(request.axis, -1).contiguous()
    raw = rows.numpy().reshape(-1, request.n)
    if request.dtype == "bfloat16":  # widen: the order is the same
        wide = (raw.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)
        keys = order_keys(wide, request.largest)
    else:
        keys = order_keys(raw.view(request.dtype), request.largest)
    best = select(keys, request.k, request.b, request.kb, request.interleaved)
    return torch.from_numpy(best).reshape(*rows.shape[:-1], request.k)


def check(arr: Any, request: Request, out: Any = None) -> None:
    """Run and compare: bits, indices, order, and the input left alone."""
    from approxtopk_torch import cuda

    assert cuda.refuses(request) is None
    before = bits_of(arr).clone()
    values, indices = cuda.topk(arr, request, out)
    assert torch.equal(bits_of(arr), before)
    assert values.shape == indices.shape == request.out_shape
    expected = reference(arr.cpu(), request)
    got = indices.cpu().long().movedim(request.axis, -1)
    if not request.sorted:
        got, expected = got.sort(-1).values, expected.sort(-1).values
    assert torch.equal(got, expected), f"{request}: indices differ"
    gathered = torch.gather(bits_of(arr), request.axis, indices.long())
    assert torch.equal(bits_of(values), gathered), f"{request}: values differ"


def make_request(
    shape: tuple[int, ...], dtype: str, axis: int, k: int, b: int, kb: int, **more: Any
) -> Request:
    return Request(shape=shape, dtype=dtype, device="cuda:0", axis=axis, k=k, b=b, kb=kb, **more)


def random_case(seed: int) -> tuple[Any, Request]:
    """A tensor of any layout and a request for it."""
    rng = random.Random(seed)
    dtype = rng.choice(DTYPES)
    n = rng.choice([1, 2, 7, 31, 33, 64, 100, 255, 256, 1000, 1024, 2049, 4096, 5000, 16384, 70000])
    rows = rng.choice([1, 1, 2, 3, 9, 40, 140, 300, 700, 3000])
    rows = max(1, min(rows, 600_000 // n))
    rank = rng.choice([1, 2, 2, 2, 3])
    pattern = rng.choice(["normal", "any", "few", "special", "bound"])
    if rank == 1:
        shape, axis = (n,), 0
    elif rank == 2:
        axis = rng.choice([0, 1, 1])
        shape = (n, rows) if axis == 0 else (rows, n)
    else:
        outer = rng.randint(1, rows)
        axis = rng.randrange(3)
        dims = [outer, max(1, rows // outer)]
        dims.insert(axis, n)
        shape = tuple(dims)
    layout = rng.choice(["plain", "plain", "plain", "step", "padded", "shifted", "transposed"])
    if layout == "step":
        arr = fill((*shape[:-1], shape[-1] * 2), dtype, pattern, rng).cuda()[..., ::2]
    elif layout == "padded":
        arr = fill((*shape[:-1], shape[-1] + 3), dtype, pattern, rng).cuda()[..., : shape[-1]]
    elif layout == "shifted":
        arr = fill((int(np.prod(shape)) + 1,), dtype, pattern, rng).cuda()[1:].reshape(shape)
    elif layout == "transposed":
        arr = fill(shape[::-1], dtype, pattern, rng).cuda().permute(*range(len(shape))[::-1])
    else:
        arr = fill(shape, dtype, pattern, rng).cuda()

    kb = min(rng.choice([1, 1, 2, 2, 3, 4, 5, 8, 11, 16]), n)
    most = n if kb == 1 else (n - 1) // (kb - 1)  # kb <= ceil(n / b)
    choices = [
        b
        for b in (1, 2, 3, 4, 8, 16, 24, 60, 64, 100, 256, 512, 1000, 1024, 4096, n // 2, n)
        if 1 <= b <= most
    ]
    b = rng.choice([*choices, rng.randint(1, most)])
    candidates = count_candidates(n, b, kb)
    k = rng.choice([1, candidates, min(candidates, 64), rng.randint(1, candidates)])
    request = make_request(
        shape,
        dtype,
        axis,
        k,
        b,
        kb,
        largest=rng.random() < 0.6,
        sorted=rng.random() < 0.4,
        interleaved=rng.random() < 0.75,
        index_dtype=rng.choice(["int64", "int32"]),
    )
    return arr, request
