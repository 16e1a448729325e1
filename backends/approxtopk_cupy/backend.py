"""`CupyBackend`: CUDA kernels on CuPy arrays, and on those of other libraries by way of them."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from cupy import ndarray
from cupy.cuda import Device, runtime

from approxtopk import ArrayInfo, Backend, Request
from approxtopk.memory import Memory
from approxtopk_cuda import strided

from . import foreign, select
from .foreign import NAMES

Pair = tuple[Any, Any]


class CupyBackend(Backend):
    """CuPy arrays, and whatever has ``__dlpack__`` or ``__cuda_array_interface__`` on CUDA."""

    certifies = True

    def __init__(self) -> None:
        self._devices = tuple(f"cuda:{ordinal}" for ordinal in range(runtime.getDeviceCount()))

    def describe(self, arr: Any) -> ArrayInfo:
        if isinstance(arr, ndarray):
            return ArrayInfo(arr.shape, NAMES[arr.dtype], self._devices[arr.data.device_id])
        return foreign.describe(arr)

    def refuses(self, request: Request) -> str | None:
        return strided.refuses(request)

    def topk(self, arr: Any, request: Request, out: Pair | None = None) -> tuple[Any, ...]:
        if isinstance(arr, ndarray) and (
            out is None or (isinstance(out[0], ndarray) and isinstance(out[1], ndarray))
        ):
            return select.topk(arr, request, out)
        with Device(self._devices.index(request.device)):
            if out is None:
                request = foreign.answerable(arr, request)
                with foreign.borrowed((arr,)) as (view,):
                    results = select.topk(view, request)
                return foreign.give_back(arr, results)
            with foreign.borrowed((arr, *out)) as (view, values, indices):
                _, _, *exact = select.topk(view, request, (values, indices))
            return (*out, *foreign.give_back(arr, exact))

    def overlap(self, a: Any, b: Any) -> bool:
        return _memory(a).overlaps(_memory(b))

    def writable(self, arr: Any) -> bool:
        if not isinstance(arr, ndarray):
            if not foreign.writable(arr):
                return False
            arr = foreign.borrow(arr)
        return all(s or n <= 1 for s, n in zip(arr.strides, arr.shape, strict=True))

    def to_numpy(self, arr: Any) -> Any:
        view = foreign.borrow(arr)
        return cupy.asnumpy(view.astype(np.float32) if NAMES[view.dtype] == "bfloat16" else view)

    def devices(self) -> tuple[str, ...]:
        names = (runtime.getDeviceProperties(i)["name"].decode() for i in range(len(self._devices)))
        return tuple(f"{d} ({name})" for d, name in zip(self._devices, names, strict=True))

    def kernel(self, request: Request) -> str:
        return strided.describe(request)

    def workspace(self, request: Request) -> int:
        return strided.workspace(request)

    def read_again(self, request: Request) -> float:
        return strided.read_again(request)


def _memory(arr: Any) -> Memory:
    view = foreign.borrow(arr)
    return Memory(view.data.ptr, view.shape, view.strides, view.itemsize)
