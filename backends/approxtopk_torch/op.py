"""The operators ``torch.ops.approxtopk.topk`` and ``certified_topk``: what torch sees of a call.

They differ by the certificate alone. They take what `approxtopk.topk` takes, and plan when they
run, so that a compiled graph holds for every length of the axis. Eager calls on plain tensors
don't pass through them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from approxtopk import ArrayInfo, api, dispatch, validate

Tensors = tuple[Tensor, ...]

_torch_library: Any = torch.library  # most of which has no annotations
_library = _torch_library.Library("approxtopk", "DEF")
_ARGUMENTS = (
    "(Tensor arr, SymInt k, SymInt? b, SymInt? kb, float? recall, int axis, bool largest,"
    " bool sorted, bool interleaved, ScalarType index_dtype, str? backend)"
)
for _name, _results in (
    ("topk", "(Tensor values, Tensor indices)"),
    ("certified_topk", "(Tensor values, Tensor indices, Tensor exact)"),
):
    _library.define(f"{_name}{_ARGUMENTS} -> {_results}", tags=(torch.Tag.pt2_compliant_tag,))
topk: Any = torch.ops.approxtopk.topk.default
certified_topk: Any = torch.ops.approxtopk.certified_topk.default


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
    certificate: bool,
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
) -> Tensors:
    """Plan, find the backend, select: `arr` is an ordinary tensor here, below all transforms."""
    with torch._C.DisableTorchFunctionSubclass():
        arr = arr.as_subclass(Tensor).detach()
    call = api.resolve(
        *(Tensor, info_of(arr), k, b, kb, recall, axis, largest, sorted, interleaved, index_dtype),
        *(certificate, backend if backend is not None else dispatch.chosen.get()),
    )
    select = getattr(call.backend, "select", call.backend.topk)
    return tuple(select(arr, call.request))


def _shapes(certificate: bool, arr: Tensor, k: int, *how: Any) -> Tensors:
    """Outputs without data, with the checks that need none."""
    axis, index_dtype = how[3], how[7]
    validate.element_dtype(NAMES[arr.dtype])
    axis = validate.selection_axis("axis", axis, arr.dim())
    n = arr.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"k must be in [0, {n}] (the length of the axis), got {k}")
    before, after = arr.shape[:axis], arr.shape[axis + 1 :]
    shape = (*before, k, *after)
    found = arr.new_empty(shape), arr.new_empty(shape, dtype=index_dtype)
    return (*found, arr.new_empty((*before, *after), dtype=torch.bool)) if certificate else found


def _differentiable(
    operator: Any, keys: torch._C.DispatchKeySet, arr: Tensor, *how: Any
) -> Tensors:
    """The values as `gather` of the array: every derivative of it, in every mode, is torch's."""
    with torch._C._AutoDispatchBelowAutograd():
        below = keys & torch._C._after_autograd_keyset
        values, indices, *exact = operator.redispatch(below, arr, *how)
    recorded = arr.requires_grad and torch.is_grad_enabled()
    if recorded or forward_ad._current_level >= 0:
        values = arr.gather(how[4], indices.to(torch.int64))
    return values, indices, *exact


def _batched(
    operator: Any, info: Any, in_dims: tuple[int | None, ...], arr: Tensor, *how: Any
) -> tuple[Tensors, tuple[int, ...]]:
    """The mapped dimension becomes the first, so the axis moves one on."""
    assert in_dims[0] is not None
    arr = arr.movedim(in_dims[0], 0)
    axis = validate.selection_axis("axis", how[4], arr.dim() - 1)
    found = operator(arr, *how[:4], axis + 1, *how[5:])
    return found, (0,) * len(found)


for _operator, _certificate in ((topk, False), (certified_topk, True)):
    _name = _operator.name().removesuffix(".default")
    _short = _name.removeprefix("approxtopk::")
    _library.impl(_short, partial(_run, _certificate), "CompositeExplicitAutograd")
    _library.impl(_short, partial(_differentiable, _operator), "Autograd", with_keyset=True)
    _torch_library.register_fake(_name, partial(_shapes, _certificate), lib=_library)
    _torch_library.register_vmap(_name, partial(_batched, _operator), lib=_library)
