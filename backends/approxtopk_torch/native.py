"""Bucketed top-k by torch's own operations, on any device.

`torch.topk` promises nothing about ties, so it only sees keys of which no two are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from approxtopk import Request
from approxtopk.exactness import repair_probability

from . import groups
from .keys import best_first, order_keys, pack, packable
from .layout import regions

#: Rows are taken in blocks of about this many elements, which bounds the extra memory.
BLOCK = 1 << 23

Pair = tuple[Tensor, Tensor]
Tensors = tuple[Tensor, ...]


def topk(arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
    """Select from a plain tensor; see `approxtopk.topk`. `out` is written at the very end."""
    values = torch.empty(request.out_shape, dtype=arr.dtype, device=arr.device)
    indices = torch.empty(
        request.out_shape, dtype=getattr(torch, request.index_dtype), device=arr.device
    )
    exact = torch.ones(request.rows_shape, dtype=torch.bool, device=arr.device)
    if not request.empty:
        last = (t.movedim(request.axis, -1) for t in (arr, values, indices))
        for rows, out_values, out_indices, out_exact in _blocks(*last, exact[..., None]):
            best, proved = select(rows, request)
            out_values.copy_(_gather(rows, best))
            out_indices.copy_(best)
            out_exact.copy_(proved[..., None])
    if out is not None:
        out[0].copy_(values)
        out[1].copy_(indices)
        values, indices = out
    return (values, indices, exact) if request.certificate else (values, indices)


def select(rows: Tensor, request: Request) -> tuple[Tensor, Tensor]:
    """Indices of the selected elements of rows of shape (..., n), and their certificates.

    An exact answer waits for the device, to know which rows to select from as a whole.
    """
    length = _group_length(request)
    if length is not None:
        return groups.select(rows, request, length)
    best, exact = select_by_buckets(rows, request)
    if not request.repairs or bool(exact.all()):
        return best, exact
    best[~exact] = select_by_buckets(rows[~exact], request.by_whole_rows())[0]
    return best, torch.ones_like(exact)


def select_by_buckets(rows: Tensor, request: Request) -> tuple[Tensor, Tensor]:
    """Both stages as they are defined: the best of every bucket, then the best of these.

    Where it matters one more is found than a bucket keeps, the best that it drops: if that is
    nowhere better than the worst of the answer, the answer is exact. No size depends on the data,
    so that nothing waits for the device.
    """
    n, packed = request.n, packable(rows, request.n)
    certify = request.certificate or request.repairs
    found, dropped = [], []
    for part in regions(n, request.b, request.interleaved):
        keys = order_keys(part.view(rows), request.largest)
        steps = torch.arange(part.length, device=rows.device)
        indices = part.first_indices(rows.device)[:, None] + part.step_stride * steps
        indices = indices.expand_as(keys)
        if packed:
            keys = pack(keys, indices)
        if request.kb < part.length:
            keys, indices = best_first(keys, indices, request.kb + certify, packed)
            if certify:
                dropped.append((keys[..., -1], indices[..., -1]))
                keys, indices = keys[..., :-1], indices[..., :-1]
        found.append((keys.flatten(-2), indices.flatten(-2)))
    keys, indices = (torch.cat(pieces, -1) for pieces in zip(*found, strict=True))
    if request.candidates > request.k or request.sorted:
        keys, indices = best_first(keys, indices, request.k, packed)
    exact = torch.ones(rows.shape[:-1], dtype=torch.bool, device=rows.device)
    if dropped:
        worst = keys.amin(-1, keepdim=True)
        worst_index = indices.masked_fill(keys != worst, -1).amax(-1, keepdim=True)
    for key, index in dropped:
        hidden = (key > worst) | ((key == worst) & (index < worst_index))
        exact &= ~hidden.any(-1)
    return indices, exact


def _gather(rows: Tensor, indices: Tensor) -> Tensor:
    """Elements of rows, bit for bit: on the CPU torch would gather 16-bit floats as float32.

    That makes quiet NaNs of signalling ones.
    """
    if rows.dtype not in (torch.float16, torch.bfloat16):
        return rows.gather(-1, indices)
    return rows.view(torch.int16).gather(-1, indices).view(rows.dtype)


def kernel(request: Request) -> str:
    """What will run, in a few words."""
    if _group_length(request) is None:
        return "native torch: topk of every bucket, then of the candidates"
    return "native torch: amax of groups, then topk of the best groups"


def workspace(request: Request) -> int:
    """Bytes that one block of rows needs at most, about: keys, indices and sorted copies."""
    if request.empty:
        return 0
    rows = min(request.rows, max(1, BLOCK // request.n))
    length = _group_length(request)
    if length is None:
        return rows * (request.n * 24 + request.candidates * 32)
    return rows * (request.n // length + request.k * length) * 40


def read_again(request: Request) -> float:
    """Bytes expected to be read again: of rows that are selected from anew, as a whole."""
    if _group_length(request) is not None or not request.repairs:
        return 0.0
    missed = repair_probability(request.n, request.k, request.b, request.kb)
    return request.rows * missed * request.n * request.itemsize


def _group_length(request: Request) -> int | None:
    # Elsewhere its data-dependent sizes would make the host wait for the device.
    return groups.group_length(request) if request.device_kind == "cpu" else None


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the tensors, split alike along all but their last axis."""
    shape = tensors[0].shape
    longest = max(shape[:-1], default=1)
    if longest == 1 or tensors[0].numel() <= BLOCK:
        yield tensors
        return
    axis = shape.index(longest)
    pieces = min(longest, -(-tensors[0].numel() // BLOCK))
    for views in zip(*(t.tensor_split(pieces, axis) for t in tensors), strict=True):
        yield from _blocks(*views)
