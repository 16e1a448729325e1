"""Work for a GPU: plans, the answers that NumPy gives, and time that passes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np
from cuda_arrays import to_numpy

import approxtopk

#: A plan of one launch, and one of two with scratch memory between them.
PLANS = {"fused": ((300, 8192), 64, 512, 2), "scratch": ((2, 2**21), 40, 16, 4)}
SPIN = """
extern "C" __global__ void spin(long long cycles) {
  long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


def normal(shape: tuple[int, ...], seed: int = 0) -> Any:
    return cupy.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def select(arr: Any, plan: Any, **more: Any) -> Any:
    _, k, b, kb = plan
    return approxtopk.topk(arr, k, b=b, kb=kb, backend="cupy", sorted=True, **more)


def expected(arr: Any, plan: Any, **more: Any) -> Any:
    _, k, b, kb = plan
    return approxtopk.topk(cupy.asnumpy(arr), k, b=b, kb=kb, sorted=True, backend="numpy", **more)


def agrees(result: Any, arr: Any, plan: Any, **more: Any) -> bool:
    """Whether a result, with its certificate if it has one, is what NumPy selects."""
    pairs = zip(result, expected(arr, plan, **more), strict=True)
    return all((to_numpy(got) == wanted).all() for got, wanted in pairs)


def spin(seconds: float) -> None:
    """Keeps the current stream busy, from now on or earlier."""
    cupy.RawKernel(SPIN, "spin")((1,), (1,), (int(seconds * 2e9),))


@contextmanager
def no_waiting(busy: float = 0.2) -> Iterator[None]:
    """Fails where the host waits for a stream that is busy all the while."""
    spin(busy)
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    assert took < busy / 2, f"the host was held for {took:.3f} s"


class Described:
    """An array that is known by its `__cuda_array_interface__` alone."""

    def __init__(self, arr: Any, stream: int | None = None, read_only: bool = False, **more: Any):
        self.arr = arr
        data = (arr.data.ptr, read_only)
        interface = {**arr.__cuda_array_interface__, "stream": stream, "data": data}
        self.interface = {**interface, "version": 3, **more}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.interface
