"""Kernels through `cupy.RawModule`: CuPy's NVRTC, CuPy's cache of machine code on disk."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cupy
from cupy.cuda.compiler import CompileException

from approxtopk_cuda import CompileError, Kernel, source_of
from approxtopk_cuda.compile import at_once

__all__ = ["load", "options_of"]


def load(kernels: Sequence[Kernel], ordinal: int) -> list[int]:
    """Handles of kernels loaded on a device, for `approxtopk_cuda.driver` to launch.

    CuPy's own launch knows no clusters, and packs its arguments anew each time.
    """
    return [
        function.ptr for function in at_once(lambda kernel: _function(kernel, ordinal), kernels)
    ]


@functools.cache
def _function(kernel: Kernel, ordinal: int) -> Any:
    with cupy.cuda.Device(ordinal):
        module = cupy.RawModule(code=source_of(kernel.source), options=options_of(kernel))
        try:
            return module.get_function(kernel.entry).kernel
        except CompileException as error:
            raise CompileError(
                f"NVRTC could not compile {kernel.source}.cu ({' '.join(options_of(kernel))}):\n"
                f"{error}"
            ) from error


def options_of(kernel: Kernel) -> tuple[str, ...]:
    """Options for NVRTC, besides the architecture.

    CuPy adds ``-ftz=true``, which would take denormal numbers for zeros. It does nothing here: no
    kernel has an arithmetic operation on floats but those of its inline PTX, which say what they
    want themselves.
    """
    return ("--std=c++17", *(f"-D{name}={value}" for name, value in kernel.defines))
