"""Whole calls and stage 1 on a GPU, the memory they take, and the recall they give.

Each class measures all it needs in one process, its `setup_cache`, because there compiling kernels
and filling gigabytes happens once; the benchmarks look their numbers up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import approxtopk

from . import device, support

#: What is known of a workload, or the reason why nothing is.
Numbers = dict[str, dict[str, float]] | str

#: Plans that the kernels like, as the log of performance found them.
FIXED = {
    "64x131072-k64-float32": (4096, 1),
    "128x65536-k64-float32": (4096, 1),
    "256x131072-k2048-float32": (4096, 3),
    "16384x16384-k64-float32": (512, 2),
    "256x131072-k64-float32": (4096, 1),
    "1x134217728-k1024-float32": (65_536, 1),
    "64x131072-k64-bfloat16": (4096, 1),
    "256x131072-k2048-bfloat16": (4096, 3),
    "32x4096-k64-float32": (1024, 2),
    "8192x256-k8-float32": (32, 2),
}
PLANS: dict[str, Callable[[str], dict[str, Any]]] = {
    "recall=0.99": lambda workload: {"recall": 0.99},
    "recall=0.95": lambda workload: {"recall": 0.95},
    "fixed (b, kb)": lambda workload: dict(zip(("b", "kb"), FIXED[workload], strict=True)),
}

#: rows, n, k, kb, dtype: exactly k candidates, so that there is no second stage.
STAGE1 = {
    "128x1048576-k65536-kb1-float32": (128, 1 << 20, 65_536, 1, "float32"),
    "128x1048576-k65536-kb2-float32": (128, 1 << 20, 65_536, 2, "float32"),
    "128x1048576-k65536-kb4-float32": (128, 1 << 20, 65_536, 4, "float32"),
    "128x1048576-k65536-kb2-bfloat16": (128, 1 << 20, 65_536, 2, "bfloat16"),
    "128x65536-k8192-kb2-float32": (128, 65_536, 8192, 2, "float32"),
}


def measure_plans(backend: str) -> Numbers:
    """Time, scratch and recall of every workload and plan."""
    try:
        torch = support.requires_gpu()
        support.requires_backend(backend, torch.empty(8, device="cuda"))
    except NotImplementedError as reason:
        return str(reason)
    numbers = {}
    for workload in FIXED:
        buffers, k = device.inputs(workload), support.WORKLOADS[workload].k
        least = buffers[0].topk(k).values[:, -1:]
        arrays = device.as_cupy(buffers) if backend == "cupy" else buffers
        scratch = device.cupy_scratch if backend == "cupy" else device.scratch
        for plan, arguments in PLANS.items():
            call = partial(approxtopk.topk, k=k, backend=backend, **arguments(workload))
            values = torch.from_dlpack(call(arrays[0]).values)
            numbers[f"{workload} {plan}"] = {
                "time": device.microseconds(call, arrays),
                "scratch": scratch(call, arrays[0]),
                "recall": (values >= least).float().mean().item(),
            }
        del buffers, arrays
    return numbers


def measure_stage1(backend: str) -> Numbers:
    """Time of stage 1 alone."""
    try:
        torch = support.requires_gpu()
        support.requires_backend(backend, torch.empty(8, device="cuda"))
    except NotImplementedError as reason:
        return str(reason)
    numbers = {}
    for name, (rows, n, k, kb, dtype) in STAGE1.items():
        timing = support.load("benchmarks/gpu_timing.py")
        buffers = timing.inputs(rows, n, getattr(torch, dtype))
        call = partial(approxtopk.topk, k=k, b=k // kb, kb=kb, backend=backend)
        numbers[name] = {"time": device.microseconds(call, buffers)}
        del buffers
    return numbers


class Selection(ABC):
    """Benchmarks that look up what `setup_cache` of a subclass has measured."""

    timeout = 900
    params: ClassVar[Any] = (list(FIXED), list(PLANS))
    param_names = ("workload", "plan")

    @abstractmethod
    def setup_cache(self) -> Numbers:
        """Measure; each subclass has its own, because asv knows a cache by its place in a file."""

    def setup(self, numbers: Numbers, workload: str, plan: str) -> None:
        if isinstance(numbers, str):
            raise NotImplementedError(numbers)

    def track_time(self, numbers: Any, workload: str, plan: str) -> float:
        return float(numbers[f"{workload} {plan}"]["time"])

    def track_scratch(self, numbers: Any, workload: str, plan: str) -> float:
        return float(numbers[f"{workload} {plan}"]["scratch"])

    def track_recall(self, numbers: Any, workload: str, plan: str) -> float:
        return float(numbers[f"{workload} {plan}"]["recall"])

    vars(track_time)["unit"] = "µs"
    vars(track_scratch)["unit"] = "bytes"
    vars(track_recall)["unit"] = "share of the true top-k"


class TorchSelection(Selection):
    """torch tensors, by the CUDA kernels."""

    def setup_cache(self) -> Numbers:
        return measure_plans("torch")


class CupySelection(Selection):
    """CuPy's arrays, by the same CUDA kernels."""

    def setup_cache(self) -> Numbers:
        return measure_plans("cupy")


class TritonSelection(Selection):
    """torch tensors, by the Triton kernels."""

    def setup_cache(self) -> Numbers:
        return measure_plans("triton")


class Stage1:
    """Exactly `k` candidates, by the CUDA kernels."""

    timeout = 900
    params: ClassVar[Any] = (list(STAGE1),)
    param_names = ("size",)
    unit = "µs"

    def setup_cache(self) -> Numbers:
        return measure_stage1("torch")

    def setup(self, numbers: Numbers, size: str) -> None:
        if isinstance(numbers, str):
            raise NotImplementedError(numbers)

    def track_time(self, numbers: Any, size: str) -> float:
        return float(numbers[size]["time"])
