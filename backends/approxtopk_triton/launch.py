"""Launches on tensors: the buffers of a call, and what the kernels were compiled to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import triton
from torch import Tensor

from approxtopk import Request

from . import schedule
from .kernels.buckets import bucket_kernel
from .kernels.select import long_row_kernel, narrow_kernel, order_kernel, row_kernel
from .layout import Layout
from .policy import Config, Device
from .schedule import Launch

KERNELS: dict[str, Any] = {
    "bucket": bucket_kernel,
    "merge": bucket_kernel,
    "row": row_kernel,
    "narrow": narrow_kernel,
    "long": long_row_kernel,
    "order": order_kernel,
}

INTERPRETED = bool(triton.knobs.runtime.interpret)


class Pipeline:
    """The launches of a request on rows of one layout, ready for tensors."""

    def __init__(self, request: Request, layout: Layout, device: Device, config: Config) -> None:
        launches = schedule.launches(request, layout, device, config)
        self.workspaces = dict(launch.creates for launch in launches if launch.creates)
        self._words = tuple(-(-size // 8) for size in self.workspaces.values())
        self._ordered = any(launch.kernel == "order" for launch in launches)
        names = ["x", "values", "indices", *self.workspaces]
        names += schedule.UNORDERED if self._ordered else ()
        self.steps = tuple(_step(launch, request, layout, names) for launch in launches)
        self.name = " + ".join(launch.kernel for launch in launches)

    def __call__(self, arr: Tensor, values: Tensor, indices: Tensor) -> None:
        """Select from `arr` into contiguous outputs, on the current device and stream."""
        tensors = [arr, values, indices]
        for words in self._words:
            tensors.append(torch.empty(words, dtype=torch.int64, device=arr.device))
        if self._ordered:
            tensors += (torch.empty_like(values), torch.empty_like(indices))
        for step in self.steps:
            step([tensors[place] for place in step.places])


@dataclass
class Step:
    """One launch: a kernel, where its tensors are in the pipeline's list, its other arguments."""

    kernel: Any
    places: tuple[int, ...]
    numbers: tuple[int | bool, ...]
    grid: tuple[int, int, int]
    options: dict[str, Any]
    compiled: dict[tuple[bool, ...], Any] = field(default_factory=dict)

    def __call__(self, tensors: list[Tensor]) -> None:
        """Launch; the first call for an alignment of the pointers compiles."""
        if INTERPRETED:
            self.kernel[self.grid](*tensors, *self.numbers)
            return
        aligned = tuple([tensor.data_ptr() % 16 == 0 for tensor in tensors])
        compiled = self.compiled.get(aligned)
        if compiled is not None:  # without the specialising and hashing that `kernel[grid]` does
            compiled[self.grid](*tensors, *self.numbers)
        elif torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                "approxtopk's Triton kernels for this call are not compiled yet, which can't be "
                "done while a CUDA graph is captured: make the same call once before capturing"
            )
        else:
            launched = self.kernel[self.grid](*tensors, *self.numbers, **self.options)
            self.compiled[aligned] = launched


def _step(launch: Launch, request: Request, layout: Layout, names: list[str]) -> Step:
    numbers = numbers_of(launch, request, layout)
    kernel = KERNELS[launch.kernel]
    return Step(
        kernel,
        tuple(names.index(name) for name in launch.arrays),
        tuple(numbers[name] for name in kernel.arg_names if name in numbers),
        (launch.programs, 1, 1),
        options_of(launch),
    )


def numbers_of(launch: Launch, request: Request, layout: Layout) -> dict[str, int | bool]:
    """Every argument of the kernels that is no tensor, by name; constants included."""
    return {
        "rows": request.rows,
        "n": request.n,
        "k": request.k,
        "b": request.b,
        **vars(layout),
        "x_step": layout.x_element * (request.b if request.interleaved else 1),
        **launch.numbers,
        **launch.constants,
    }


def options_of(launch: Launch) -> dict[str, Any]:
    """What the compiler is told; there is no arithmetic on floats that it could fuse."""
    return {"num_warps": launch.warps, "enable_fp_fusion": False}


@lru_cache
def device_of(name: str) -> Device:
    """What the policy needs to know of a torch device."""
    if INTERPRETED:
        return Device(processors=4, warp_size=32)
    properties = torch.cuda.get_device_properties(name)
    return Device(properties.multi_processor_count, properties.warp_size)
