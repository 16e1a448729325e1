"""Launches on tensors: the buffers of a call, and what the kernels were compiled to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

import torch
import triton
from torch import Tensor, empty_like

from approxtopk import Request

from . import schedule
from .kernels.buckets import bucket_kernel
from .kernels.certify import certify_kernel
from .kernels.order import order_kernel
from .kernels.rounds import long_row_kernel, narrow_kernel
from .kernels.select import fused_kernel, select_kernel
from .layout import Layout
from .policy import Config, Device
from .schedule import Launch

KERNELS: dict[str, Any] = {
    "bucket": bucket_kernel,
    "merge": bucket_kernel,
    "fused": fused_kernel,
    "select": select_kernel,
    "narrow": narrow_kernel,
    "long": long_row_kernel,
    "certify": certify_kernel,
    "order": order_kernel,
}

INTERPRETED = bool(triton.knobs.runtime.interpret)

INDEX_DTYPES = {"int64": torch.int64, "int32": torch.int32}


class Pipeline:
    """The launches of a request on rows of one layout, ready for tensors of its device."""

    def __init__(self, request: Request, layout: Layout, device: Device, config: Config) -> None:
        launches = schedule.launches(request, layout, device, config)
        self.name = " + ".join(launch.kernel for launch in launches)
        self.workspaces = dict(launch.creates for launch in launches if launch.creates)
        self._request = request
        used = {array for launch in launches for array in launch.arrays}
        self._ordered = schedule.UNORDERED[0] in used
        self._certifies = schedule.EXACT in used
        names = ["x", *schedule.OUTPUT, *(schedule.UNORDERED if self._ordered else ())]
        names += [schedule.EXACT] if self._certifies else []
        words = [-(-size // 16) * 2 for size in self.workspaces.values()]  # 16-byte aligned
        self._offsets = [sum(words[:i]) for i in range(len(words))]
        self._words = sum(words)
        self._steps = [
            _step(launch, request, layout, [*names, *self.workspaces]) for launch in launches
        ]
        self._compiled: dict[tuple[bool, ...], list[tuple[Any, ...]]] = {}
        self._models: tuple[Tensor, ...] = ()

    def __call__(self, arr: Tensor, out: tuple[Tensor, Tensor] | None) -> tuple[Tensor, ...]:
        """Select from `arr` into contiguous tensors, on the current device and stream.

        Returns values and indices, and a certificate where the launches write one.
        """
        like = self._models or self._make_models(arr)
        values, indices = out or (empty_like(like[0]), empty_like(like[1]))
        tensors = [arr, values, indices]
        if self._ordered:
            tensors += (empty_like(values), empty_like(indices))
        if self._certifies:
            tensors.append(empty_like(like[3]))
        pointers = [tensor.data_ptr() for tensor in tensors]
        aligned = tuple([pointer & 15 == 0 for pointer in pointers])
        if self._words:
            work = empty_like(like[2])
            start = work.data_ptr()
            pointers += [start + 8 * offset for offset in self._offsets]
        runners = self._compiled.get(aligned)
        if runners is None:
            parts = [work[offset:] for offset in self._offsets]
            self._first([*tensors, *parts], aligned)
            return self._result(tensors)
        # What `kernel[grid](...)` comes to, less what it looks up anew in every call; and with
        # addresses for tensors it asks neither torch nor the driver about them.
        stream = triton.runtime.driver.active.get_current_stream(arr.get_device())
        for run, grid, how, pick, numbers in runners:
            run(*grid, stream, *how, *pick(pointers), *numbers)
        return self._result(tensors)

    def _result(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        exact = (tensors[-1].view(torch.bool),) if self._certifies else ()
        return tensors[1], tensors[2], *exact

    def _make_models(self, arr: Tensor) -> tuple[Tensor, ...]:
        """Tensors of one element each, expanded: torch makes another like them in half the time."""
        request = self._request
        dtype = INDEX_DTYPES[request.index_dtype]
        self._models = (
            arr.new_empty(()).expand(request.out_shape),
            arr.new_empty((), dtype=dtype).expand(request.out_shape),
            arr.new_empty((), dtype=torch.int64).expand(self._words),
            arr.new_empty((), dtype=torch.uint8).expand(request.rows_shape),
        )
        return self._models

    def _first(self, tensors: list[Tensor], aligned: tuple[bool, ...]) -> None:
        """Compile for the alignment of these tensors, and launch."""
        if not INTERPRETED and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                "approxtopk's Triton kernels for this call are not compiled yet, which can't be "
                "done while a CUDA graph is captured: make the same call once before capturing"
            )
        launched = [
            step.kernel[step.grid](*step.pick(tensors), *step.numbers, **step.options)
            for step in self._steps
        ]
        if not INTERPRETED:
            self._compiled[aligned] = [
                (kernel.run, step.grid, _how(kernel), step.pick, step.numbers)
                for step, kernel in zip(self._steps, launched, strict=True)
            ]


def _how(kernel: Any) -> tuple[Any, ...]:
    """What a compiled kernel's launcher gets before the arguments: no hooks."""
    return kernel.function, kernel.packed_metadata, None, None, None


@dataclass(frozen=True)
class Step:
    """One launch: a kernel, which of the pipeline's tensors it gets, its other arguments."""

    kernel: Any
    pick: Callable[[Sequence[Any]], tuple[Any, ...]]
    numbers: tuple[int | bool, ...]
    grid: tuple[int, int, int]
    options: dict[str, Any]


def _step(launch: Launch, request: Request, layout: Layout, names: list[str]) -> Step:
    numbers = numbers_of(launch, request, layout)
    kernel = KERNELS[launch.kernel]
    return Step(
        kernel,
        itemgetter(*map(names.index, launch.arrays)),
        tuple(numbers[name] for name in kernel.arg_names if name in numbers),
        (launch.programs, 1, 1),
        options_of(launch, "hip" if torch.version.hip else "cuda"),
    )


def numbers_of(launch: Launch, request: Request, layout: Layout) -> dict[str, int | bool]:
    """Every argument of the kernels that is no tensor, by name; constants included."""
    return {
        "rows": request.rows,
        "n": request.n,
        "k": request.k,
        "b": request.b,
        "buckets": request.b,
        **vars(layout),
        "x_step": layout.x_element * (request.b if request.interleaved else 1),
        **launch.numbers,
        **launch.constants,
    }


def options_of(launch: Launch, backend: str) -> dict[str, Any]:
    """What the compiler is told; there is no arithmetic on floats that it could fuse."""
    options: dict[str, Any] = {"num_warps": launch.warps, "enable_fp_fusion": False}
    if launch.registers and backend == "cuda":
        options["maxnreg"] = launch.registers
    return options


@cache
def unusable() -> str | None:
    """One sentence on why no kernel can be launched here, or None."""
    if INTERPRETED:
        return None
    if not torch.cuda.is_available():
        return "torch finds no GPU, and TRITON_INTERPRET=1 is not set"
    try:  # Triton builds a module for the driver, which takes a C compiler and Python's headers
        triton.runtime.driver.active.get_current_target()
    except Exception as error:  # whatever that compiler, its files or the driver say
        return f"Triton can't launch kernels: {error}"
    return None


@cache
def device_of(name: str) -> Device:
    """What the policy needs to know of a torch device."""
    if INTERPRETED:
        return Device(processors=4, warp_size=32)
    properties = torch.cuda.get_device_properties(name)
    return Device(properties.multi_processor_count, properties.warp_size)
