"""`TritonBackend`: torch tensors to rows, launches, and back."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from approxtopk import Request
from approxtopk_torch.tensors import Pair, TensorBackend

from . import launch, policy, tune
from .layout import Layout, contiguous_strides, row_layout

_INDEX_DTYPES = {"int64": torch.int64, "int32": torch.int32}


class TritonBackend(TensorBackend):
    """Tensors of any strides, on any device that Triton compiles for."""

    name = "triton"

    def __init__(self) -> None:
        self._tuned: dict[tuple[Request, tuple[int, ...]], launch.Pipeline] = {}

    def refuses(self, request: Request) -> str | None:
        return super().refuses(request) or policy.refusal(request)

    def select(self, arr: Tensor, request: Request, out: Pair | None = None) -> Pair:
        values, indices = out if out is not None and _both_contiguous(out) else _empty(arr, request)
        if not request.empty:
            if arr.is_neg():  # the bit that says that what is in memory is to be negated
                arr = arr.resolve_neg()
            if _layout(request, arr.stride()) is None:
                arr = arr.contiguous()  # rows that can't be numbered with one division
            if not arr.is_cuda or arr.device.index == torch.cuda.current_device():
                self._pipeline(request, arr, values, indices)(arr, values, indices)
            else:
                with torch.cuda.device(arr.device):
                    self._pipeline(request, arr, values, indices)(arr, values, indices)
        if out is None or out[0] is values:
            return values, indices
        for given, made in zip(out, (values, indices), strict=True):
            given.copy_(made)
        return out

    def kernel(self, request: Request) -> str:
        return _default(request, contiguous_strides(request.shape)).name

    def workspace(self, request: Request) -> int:
        return sum(_default(request, contiguous_strides(request.shape)).workspaces.values())

    def _pipeline(
        self, request: Request, arr: Tensor, values: Tensor, indices: Tensor
    ) -> launch.Pipeline:
        """The pipeline of the default configuration, or of the fastest where that was measured."""
        strides = arr.stride()
        if not tune.TUNING:
            return _default(request, strides)
        tuned = self._tuned.get((request, strides))
        if tuned is not None:
            return tuned
        layout = _layout(request, strides)
        if layout is None or not tune.can_measure():
            return _default(request, strides)
        found = tune.fastest(request, layout, arr, values, indices)
        self._tuned[request, strides] = found
        return found


@lru_cache(maxsize=4096)
def _layout(request: Request, strides: tuple[int, ...]) -> Layout | None:
    return row_layout(request.shape, request.axis, request.k, strides)


@lru_cache(maxsize=4096)
def _default(request: Request, strides: tuple[int, ...]) -> launch.Pipeline:
    layout = _layout(request, strides)
    assert layout is not None
    device = launch.device_of(request.device)
    return launch.Pipeline(request, layout, device, policy.default(request, layout, device))


def _both_contiguous(out: Pair) -> bool:
    return out[0].is_contiguous() and out[1].is_contiguous()


def _empty(arr: Tensor, request: Request) -> Pair:
    return (
        torch.empty(request.out_shape, dtype=arr.dtype, device=arr.device),
        torch.empty(request.out_shape, dtype=_INDEX_DTYPES[request.index_dtype], device=arr.device),
    )
