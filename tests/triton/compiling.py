"""Compile the launches of a request for a target, without its device."""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from approxtopk import Request
from approxtopk_triton.launch import KERNELS, numbers_of, options_of
from approxtopk_triton.layout import contiguous_strides, row_layout
from approxtopk_triton.policy import Device, default
from approxtopk_triton.schedule import Launch, launches

POINTERS = {
    "float16": "*fp16", "bfloat16": "*bf16", "float32": "*fp32", "float64": "*fp64",
    "int8": "*i8", "int16": "*i16", "int32": "*i32", "int64": "*i64", "uint8": "*u8",
}  # fmt: skip


def planned(request: Request, target: GPUTarget) -> tuple[Any, tuple[Launch, ...]]:
    """The layout of a contiguous array and the launches on a device of 132 processors."""
    strides = contiguous_strides(request.shape)
    layout = row_layout(request.shape, request.axis, request.k, strides)
    assert layout is not None
    device = Device(processors=132, warp_size=target.warp_size)
    return layout, launches(request, layout, device, default(request, layout, device))


def compile_for(target: GPUTarget, request: Request, launch: Launch, layout: Any) -> Any:
    """The compiled kernel, specialised as a call with aligned pointers would be."""
    kernel: Any = KERNELS[launch.kernel]
    numbers = numbers_of(launch, request, layout)
    signature, constants, attributes = {}, {}, {}
    for position, name in enumerate(kernel.arg_names):
        value = numbers.get(name)
        specialised = not kernel.params[position].do_not_specialize
        if name in launch.constants or (value == 1 and specialised):
            signature[name] = "constexpr"
            constants[name] = value
        elif value is None:
            array = launch.arrays[position]
            if array == "x" or array.endswith("values"):
                signature[name] = POINTERS[request.dtype]
            elif array.endswith("indices"):
                signature[name] = POINTERS[request.index_dtype]
            else:  # the certificate, or a workspace
                signature[name] = POINTERS["uint8" if array == "exact" else "int64"]
            attributes[(position,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0 and specialised:
                attributes[(position,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    return triton.compile(source, target=target, options=options_of(launch, target.backend))
