"""The operator ``torch.ops.approxtopk.topk``: how torch's own machinery sees a call.

It takes what `approxtopk.topk` takes and plans when it runs, so that a compiled graph holds for
every length of the axis. Eager calls on plain tensors don't pass through it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from approxtopk import ArrayInfo, api, dispatch, validate

Pair = tuple[Tensor, Tensor]

_torch_library: Any = torch.library  # most of which has no annotations
_library = _torch_library.Library("approxtopk", "DEF")
_library.define(
    "topk(Tensor arr, SymInt k, SymInt? b, SymInt? kb, float? recall, int axis, bool largest,"
    " bool sorted, bool interleaved, ScalarType index_dtype, str? backend)"
    " -> (Tensor values, Tensor indices)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
topk: Any = torch.ops.approxtopk.topk.default


class Names(dict[Any, str]):
    """Names of dtypes and devices, made once: ``str()`` of either takes half a microsecond."""

    def __missing__(self, key: Any) -> str:
        self[key] = name = str(key).removeprefix("torch.")
        return name


NAMES = Names()


def info_of(arr: Tensor) -> ArrayInfo:
    """What the core must know of a tensor."""
    return ArrayInfo(arr.shape, NAMES[arr.dtype], NAMES[arr.device])


def _run(
    arr: Tensor,
    k: int,
    b: int | None,
    kb: int | None,
    recall: float | None,
    axis: int,
    largest: bool,
    sorted: bool,
    interleaved: bool,
    index_dtype: torch.dtype,
    backend: str | None,
) -> Pair:
    """Plan, find the backend, select: `arr` is an ordinary tensor here, below all transforms."""
    with torch._C.DisableTorchFunctionSubclass():
        arr = arr.as_subclass(Tensor).detach()
    call = api.resolve(
        *(Tensor, info_of(arr), k, b, kb, recall, axis, largest, sorted, interleaved, index_dtype),
        *(False, backend if backend is not None else dispatch.chosen.get()),
    )
    select = getattr(call.backend, "select", call.backend.topk)
    values, indices = select(arr, call.request)
    return values, indices


def _shapes(arr: Tensor, k: int, *how: Any) -> Pair:
    """Outputs without data, with the checks that need none."""
    axis, index_dtype = how[3], how[7]
    validate.element_dtype(NAMES[arr.dtype])
    axis = validate.selection_axis("axis", axis, arr.dim())
    n = arr.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"k must be in [0, {n}] (the length of the axis), got {k}")
    shape = (*arr.shape[:axis], k, *arr.shape[axis + 1 :])
    return arr.new_empty(shape), arr.new_empty(shape, dtype=index_dtype)


def _differentiable(keys: torch._C.DispatchKeySet, arr: Tensor, *how: Any) -> Pair:
    """The values as `gather` of the array: every derivative of it, in every mode, is torch's."""
    with torch._C._AutoDispatchBelowAutograd():
        below = keys & torch._C._after_autograd_keyset
        values, indices = topk.redispatch(below, arr, *how)
    recorded = arr.requires_grad and torch.is_grad_enabled()
    if recorded or forward_ad._current_level >= 0:
        values = arr.gather(how[4], indices.to(torch.int64))
    return values, indices


def _batched(
    info: Any, in_dims: tuple[int | None, ...], arr: Tensor, *how: Any
) -> tuple[Pair, tuple[int, int]]:
    """The mapped dimension becomes the first, so the axis moves one on."""
    assert in_dims[0] is not None
    arr = arr.movedim(in_dims[0], 0)
    axis = validate.selection_axis("axis", how[4], arr.dim() - 1)
    return topk(arr, *how[:4], axis + 1, *how[5:]), (0, 0)


_library.impl("topk", _run, "CompositeExplicitAutograd")
_library.impl("topk", _differentiable, "Autograd", with_keyset=True)
_torch_library.register_fake("approxtopk::topk", _shapes, lib=_library)
_torch_library.register_vmap("approxtopk::topk", _batched, lib=_library)
