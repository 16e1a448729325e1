"""The CUDA kernels on torch tensors: torch's memory, the tensor's device, the current stream."""

from __future__ import annotations

import torch
from torch import Tensor

from approxtopk import Request
from approxtopk_cuda import CompileError, compiler, strided
from approxtopk_cuda.strided import Programs, Strided, read_again, workspace
from approxtopk_cuda.strided import describe as kernel

__all__ = ["kernel", "read_again", "refuses", "topk", "workspace"]

_INDEX = {"int64": torch.int64, "int32": torch.int32}

_programs = Programs()


def topk(
    arr: Tensor,
    request: Request,
    out: tuple[Tensor, Tensor] | None = None,
    exact: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Select on a CUDA tensor; `refuses` must have returned None. See `approxtopk.topk`.

    `exact` is written where a certificate is wanted; None for a new one.
    """
    if out is None:
        values = arr.new_empty(request.out_shape)
        indices = arr.new_empty(request.out_shape, dtype=_INDEX[request.index_dtype])
        layout: object = None
    else:
        values, indices = out
        layout = (values.stride(), indices.stride(), (values.data_ptr() | indices.data_ptr()) & 15)
    results: tuple[Tensor, ...] = (values, indices)
    if request.certificate:
        if exact is None:
            exact = _certificate(arr, request)
        results = (values, indices, exact)
    if request.empty:
        return results
    device = arr.get_device()
    if device != torch._C._cuda_getDevice():
        with torch.cuda.device(device):
            return topk(arr, request, (values, indices), exact)
    key = (request, arr.stride(), arr.data_ptr() & 15, layout)
    program = _programs.get(key)
    if program is None:
        arrays = [Strided(t.stride(), t.data_ptr()) for t in (arr, values, indices)]
        rows = strided.rows_of(request, arrays)
        if rows is None:
            return _by_copies(arr, request, results)
        _refuse_cold_capture()
        program = _programs[key] = strided.make_program(request, rows, arrays)
    scratch = 0
    if program.scratch_bytes:
        space = torch.empty(program.scratch_bytes, dtype=torch.uint8, device=arr.device)
        scratch = space.data_ptr()
    program.launch(
        torch._C._cuda_getCurrentRawStream(device),
        arr.data_ptr(),
        values.data_ptr(),
        indices.data_ptr(),
        scratch,
        0 if exact is None else exact.data_ptr(),
    )
    return results


def refuses(request: Request) -> str | None:
    """One sentence on why the CUDA kernels can't serve a request, or None if they can."""
    if request.empty:
        return None
    try:
        compiler()
    except CompileError as error:
        return str(error)
    return strided.refuses(request)


def _certificate(arr: Tensor, request: Request) -> Tensor:
    """Room for a boolean per row; True where no kernel has to say so."""
    rows = arr.new_empty(request.rows_shape, dtype=torch.bool)
    return rows.fill_(True) if request.exact or request.lossless else rows


def _by_copies(arr: Tensor, request: Request, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors whose rows no two strides describe: by way of contiguous ones."""
    for result, found in zip(results, topk(arr.contiguous(), request), strict=True):
        result.copy_(found)
    return results


def _refuse_cold_capture() -> None:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "approxtopk.topk can't compile and load a kernel while a CUDA graph is captured; "
            "call it once with these arguments before the capture"
        )
