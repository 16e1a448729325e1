"""`TensorBackend`: what every backend of torch tensors shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.compiler import is_dynamo_compiling
from torch.nn import Parameter

from approxtopk import ArrayInfo, Backend, Request, validate
from approxtopk.memory import Memory

from . import op

Pair = tuple[Tensor, Tensor]
Tensors = tuple[Tensor, ...]

_INDEX_DTYPES: dict[Any, torch.dtype] = {
    **dict.fromkeys((None, "int64", torch.int64, np.int64), torch.int64),
    **dict.fromkeys(("int32", torch.int32, np.int32), torch.int32),
}


class TensorBackend(Backend):
    """A backend whose `select` gets nothing but strided tensors that hold data.

    Gradients, functional transforms, subclasses and tracing are torch's business: such calls go
    through the operator of `op`, which sends what is left of them back to `select`.
    """

    name: str  #: as declared

    def select(self, arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
        """Select from a plain tensor into contiguous new ones or `out`, recording no gradient."""
        raise NotImplementedError

    def describe(self, arr: Tensor) -> ArrayInfo | None:
        if is_dynamo_compiling():
            return None
        if arr.layout is not torch.strided:
            raise TypeError(f"arr has layout {arr.layout}; pass a dense tensor: arr.to_dense()")
        if type(arr) is not Tensor and any(type(length) is not int for length in arr.shape):
            return None  # traced by torch.export or make_fx: the lengths are symbols
        return op.info_of(arr)

    def refuses(self, request: Request) -> str | None:
        return "a tensor on meta holds no data" if request.device_kind == "meta" else None

    def topk(self, arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
        if _plain(arr):
            return self.select(arr, request, out)
        return _through_operator(
            *(arr, request.k, request.b, request.kb, 1.0 if request.exact else None, request.axis),
            *(request.largest, request.sorted, request.interleaved, request.index_dtype),
            *(request.certificate, self.name, out),
        )

    def trace(self, arr: Tensor, k: Any, *how: Any) -> Tensors:
        for name, number in zip(("k", "b", "kb"), (k, *how[:2]), strict=True):
            if isinstance(number, bool):
                raise TypeError(f"{name} must be an integer, got the bool {number}")
        return _through_operator(arr, k, *how)

    def overlap(self, a: Tensor, b: Tensor) -> bool:
        return a.device == b.device and _memory(a).overlaps(_memory(b))

    def writable(self, arr: Tensor) -> bool:
        expanded = any(s == 0 and n > 1 for s, n in zip(arr.stride(), arr.shape, strict=True))
        return not (expanded or arr.requires_grad)

    def to_numpy(self, arr: Tensor) -> Any:
        arr = arr.detach().resolve_neg().cpu()
        return (arr.float() if arr.dtype is torch.bfloat16 else arr).numpy()


def _memory(arr: Tensor) -> Memory:
    size = arr.element_size()
    strides = tuple(size * stride for stride in arr.stride())
    return Memory(arr.data_ptr(), tuple(arr.shape), strides, size)


def _plain(arr: Tensor) -> bool:
    """Whether no machinery of torch needs to see the call."""
    return (
        (type(arr) is Tensor or type(arr) is Parameter)
        and not (arr.requires_grad and torch.is_grad_enabled())
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and forward_ad._current_level < 0
    )


def _through_operator(
    arr: Tensor,
    k: Any,
    b: Any,
    kb: Any,
    recall: Any,
    axis: Any,
    largest: Any,
    sorted: Any,
    interleaved: Any,
    index_dtype: Any,
    certificate: Any,
    backend: str | None,
    out: Pair | None,
) -> Tensors:
    if index_dtype not in _INDEX_DTYPES:
        raise TypeError(f"index_dtype must be one of int64, int32, got {index_dtype!r}")
    operator = op.certified_topk if validate.flag("certificate", certificate) else op.topk
    values, indices, *exact = operator(
        *(arr, k, b, kb, recall, axis, largest, sorted, interleaved),
        *(_INDEX_DTYPES[index_dtype], backend),
    )
    if out is None:
        return values, indices, *exact
    if values.requires_grad:
        raise ValueError("out must be None where arr requires grad, or use torch.no_grad()")
    for name, given, made in zip(("out[0]", "out[1]"), out, (values, indices), strict=True):
        for what in ("shape", "dtype", "device"):
            expected, got = getattr(made, what), getattr(given, what)
            if expected != got:
                raise ValueError(f"{name} must have {what} {expected}, got {got}")
        given.copy_(made)
    return *out, *exact
