"""The CUDA kernels on CuPy arrays: CuPy's memory, the array's device, the current stream."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from cupy import ndarray
from cupy.cuda import Device, get_current_stream, runtime

from approxtopk import Request
from approxtopk_cuda import strided
from approxtopk_cuda.driver import Program
from approxtopk_cuda.strided import Programs, Strided

from .modules import load

Pair = tuple[Any, Any]

_INDEX = {name: np.dtype(name) for name in ("int64", "int32")}

_programs = Programs()


def topk(arr: ndarray, request: Request, out: Pair | None = None) -> tuple[ndarray, ...]:
    """Select from a CuPy array; see `approxtopk.topk`."""
    device = arr.data.device_id
    if device != runtime.getDevice():
        with Device(device):
            return topk(arr, request, out)
    if out is None:
        values = ndarray(request.out_shape, arr.dtype)
        indices = ndarray(request.out_shape, _INDEX[request.index_dtype])
        layout: object = None
    else:
        values, indices = out
        layout = (values.strides, indices.strides, (values.data.ptr | indices.data.ptr) & 15)
    addresses = (arr.data.ptr, values.data.ptr, indices.data.ptr)
    results: tuple[ndarray, ...] = (values, indices)
    certificate = 0
    if request.certificate:
        exact = _certificate(request)
        results, certificate = (values, indices, exact), exact.data.ptr
    if request.empty:
        return results
    key = (request, arr.strides, addresses[0] & 15, layout)
    program = _programs.get(key)
    if program is None:
        arrays = [_strided(array) for array in (arr, values, indices)]
        rows = strided.rows_of(request, arrays)
        if rows is None:
            return _by_copies(arr, request, results)
        _refuse_cold_capture()
        program = _programs[key] = strided.make_program(request, rows, arrays, load)
    stream = get_current_stream().ptr
    if program.scratch_bytes:
        _launch_with_scratch(program, stream, addresses, certificate)
    else:
        program.launch(stream, *addresses, 0, certificate)
    return results


def _certificate(request: Request) -> ndarray:
    """Room for a boolean per row; True where no kernel has to say so."""
    exact = ndarray(request.rows_shape, np.bool_)
    if request.exact or request.lossless:
        exact.data.memset_async(1, exact.nbytes)
    return exact


def _launch_with_scratch(
    program: Program, stream: int, addresses: tuple[int, int, int], certificate: int
) -> None:
    """Scratch memory is the pool's, given back at once: who gets it next is later on the stream.

    A graph will use it whenever it is replayed, so while one is captured the memory is the graph's.
    """
    if not _capturing(stream):
        memory = cupy.cuda.alloc(program.scratch_bytes)
        program.launch(stream, *addresses, memory.ptr, certificate)
        return
    address = runtime.mallocAsync(program.scratch_bytes, stream)
    program.launch(stream, *addresses, address, certificate)
    runtime.freeAsync(address, stream)


def _capturing(stream: int) -> bool:
    legacy = stream <= 1  # can't be captured, and must not even be asked while another stream is
    return not legacy and bool(runtime.streamIsCapturing(stream))


def _refuse_cold_capture() -> None:
    if _capturing(get_current_stream().ptr):
        raise RuntimeError(
            "approxtopk.topk can't compile and load a kernel while a CUDA graph is captured; "
            "call it once with these arguments before the capture"
        )


def _strided(array: ndarray) -> Strided:
    size, address = array.itemsize, array.data.ptr
    if any(number % size for number in (*array.strides, address)):
        raise ValueError(
            f"arrays must have addresses and strides that are multiples of their elements' size: "
            f"got address {address} and strides {array.strides} for {array.dtype}"
        )
    return Strided(tuple(stride // size for stride in array.strides), address)


def _by_copies(arr: ndarray, request: Request, results: tuple[ndarray, ...]) -> tuple[ndarray, ...]:
    """Arrays whose rows no two strides describe: by way of contiguous ones."""
    for result, found in zip(results, topk(cupy.ascontiguousarray(arr), request), strict=True):
        result[...] = found
    return results
