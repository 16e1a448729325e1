"""`TritonBackend`: torch tensors to rows, launches, and back."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from approxtopk import Request
from approxtopk_torch.tensors import Pair, TensorBackend, Tensors

from . import launch, policy, tune
from .layout import Layout, contiguous_strides, row_layout

#: Pipelines kept: all are dropped when there are more, since shapes may differ in every call.
MOST_KEPT = 4096


class TritonBackend(TensorBackend):
    """Tensors of any strides, on any device that Triton compiles for."""

    name = "triton"
    certifies = True

    def __init__(self) -> None:
        self._pipelines: dict[tuple[Request, tuple[int, ...]], launch.Pipeline] = {}

    def refuses(self, request: Request) -> str | None:
        return super().refuses(request) or policy.refusal(request)

    def select(self, arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
        result = self._select(arr, request, out)
        if request.certificate and len(result) == 2:  # nothing was launched to find out
            return *result, arr.new_ones(request.rows_shape, dtype=torch.bool)
        return result

    def _select(self, arr: Tensor, request: Request, out: Pair | None) -> Tensors:
        if out is not None and not (out[0].is_contiguous() and out[1].is_contiguous()):
            values, indices, *exact = self._select(arr, request, None)
            for given, made in zip(out, (values, indices), strict=True):
                given.copy_(made)
            return *out, *exact
        if arr.is_neg():  # the bit that says that what is in memory is to be negated
            arr = arr.resolve_neg()
        if arr.is_cuda and arr.get_device() != torch._C._cuda_getDevice():
            with torch.cuda.device(arr.device):
                return self._select(arr, request, out)
        pipeline = self._pipelines.get((request, arr.stride()))
        if pipeline is None:
            if request.empty:
                dtype = launch.INDEX_DTYPES[request.index_dtype]
                shape = request.out_shape
                return out or (arr.new_empty(shape), arr.new_empty(shape, dtype=dtype))
            layout = _layout(request, arr.stride())
            if layout is None:  # rows that can't be numbered with one division
                return self._select(arr.contiguous(), request, out)
            pipeline = self._pipeline(arr, request, layout)
        return pipeline(arr, out)

    def _pipeline(self, arr: Tensor, request: Request, layout: Layout) -> launch.Pipeline:
        """What serves such calls from now on."""
        if not tune.TUNING:
            pipeline = _default(request, layout)
        elif tune.can_measure():
            pipeline = tune.fastest(policy.served(request), layout, arr)
        else:
            return _default(request, layout)
        if len(self._pipelines) >= MOST_KEPT:
            self._pipelines.clear()
        self._pipelines[request, arr.stride()] = pipeline
        return pipeline

    def kernel(self, request: Request) -> str:
        return _contiguous(request).name or "none"

    def workspace(self, request: Request) -> int:
        return sum(_contiguous(request).workspaces.values())

    def read_again(self, request: Request) -> float:
        return request.rows * request.itemsize * policy.elements_read_again(request)


def _layout(request: Request, strides: tuple[int, ...]) -> Layout | None:
    return row_layout(request.shape, request.axis, request.k, strides)


@lru_cache(maxsize=MOST_KEPT)
def _default(request: Request, layout: Layout) -> launch.Pipeline:
    request = policy.served(request)
    device = launch.device_of(request.device)
    return launch.Pipeline(request, layout, device, policy.default(request, layout, device))


def _contiguous(request: Request) -> launch.Pipeline:
    layout = _layout(request, contiguous_strides(request.shape))
    assert layout is not None, "a contiguous array has an outer and an inner axis at most"
    return _default(request, layout)
