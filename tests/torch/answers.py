"""What the torch tests share: tensors of every kind, and the reference's answer to a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import approxtopk
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
DTYPES = (*FLOATS, *INTEGERS)
KINDS = ("distinct", "ties", "constant", "nan", "infinite", "ascending", "descending")


def tensor(kind: str, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """A tensor on the CPU; NaN and infinities become extremes in integers."""
    if kind == "ties":
        values = torch.randint(0, 3, shape).to(torch.float64)
        values = torch.where(torch.rand(shape) < 0.5, values, -values)  # -0.0 too
        return (values if dtype.is_floating_point else values.abs()).to(dtype)
    limits = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    if dtype.is_floating_point:
        values = torch.randn(shape, dtype=torch.float64).to(dtype)
        lowest, highest, nan = -torch.inf, torch.inf, torch.nan
    else:
        values = torch.randint(limits.min, limits.max, shape, dtype=torch.int64).to(dtype)
        lowest, highest, nan = limits.min, limits.max, limits.max
    if kind == "constant":
        values[...] = lowest
    if kind == "nan":
        values[torch.rand(shape) < 0.2] = nan
    if kind in ("nan", "infinite"):
        values[torch.rand(shape) < 0.1] = highest
        values[torch.rand(shape) < 0.3] = lowest
    if kind in ("ascending", "descending"):
        values = values.sort(dim=-1, descending=kind == "descending").values
    return values


def bits(arr: torch.Tensor) -> torch.Tensor:
    """The elements as integers, so that NaN equals itself and zeros differ."""
    arr = arr.detach().cpu()
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return arr.contiguous().view(integers[arr.element_size()])


def reference(arr: torch.Tensor, k: int, **arguments: Any) -> torch.Tensor:
    """Indices by the NumPy reference, best first."""
    axis = arguments.get("axis", -1)
    rows = arr.detach().cpu().movedim(axis, -1)
    array = (rows.float() if rows.dtype is torch.bfloat16 else rows).numpy()
    given = {name: arguments[name] for name in ("b", "kb", "recall") if name in arguments}
    plan = approxtopk.plan(array.shape[-1], k, **given)
    keys = order_keys(array.reshape(-1, array.shape[-1]), arguments.get("largest", True))
    b, kb = (keys.shape[1], 1) if plan.exact else (plan.b, plan.kb)
    best = select(keys, k, b, kb, arguments.get("interleaved", True))
    return torch.from_numpy(np.ascontiguousarray(best)).view(*rows.shape[:-1], k).movedim(-1, axis)


def check(arr: torch.Tensor, k: int, **arguments: Any) -> approxtopk.TopK:
    """Call, and compare all that is promised with the reference."""
    before = bits(arr)
    result = approxtopk.topk(arr, k, **arguments)
    axis = arguments.get("axis", -1)
    values, indices = result
    assert (values.device, indices.device) == (arr.device, arr.device)
    assert (values.dtype, indices.dtype) == (arr.dtype, arguments.get("index_dtype", torch.int64))
    assert torch.equal(bits(arr), before)
    indices = indices.cpu().to(torch.int64)
    expected = reference(arr, k, **arguments)
    assert torch.equal(bits(values), bits(arr).gather(axis, indices))
    if arguments.get("sorted", False):
        assert torch.equal(indices, expected)
    else:
        assert torch.equal(indices.sort(axis).values, expected.sort(axis).values)
    return result
