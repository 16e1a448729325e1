"""The CUDA kernels on torch tensors: torch's memory, the tensor's device, the current stream."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from approxtopk import Request
from approxtopk_cuda import CompileError, Problem, Schedule, compiler, schedule
from approxtopk_cuda.driver import DriverError, OutputLayout, Program, device_of

__all__ = ["kernel", "refuses", "topk", "workspace"]

_INDEX = {"int64": torch.int64, "int32": torch.int32}

Strides = tuple[int, ...]


class _Plan(NamedTuple):
    """What a request on tensors of some strides comes to."""

    program: Program
    scratch_bytes: int


_plans: dict[tuple[object, ...], _Plan] = {}
#: Plans remembered: shapes may differ in every call.
_MOST_PLANS = 4096


def topk(
    arr: Tensor, request: Request, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Select on a CUDA tensor; `refuses` must have returned None. See `approxtopk.topk`."""
    if out is None:
        values = arr.new_empty(request.out_shape)
        indices = arr.new_empty(request.out_shape, dtype=_INDEX[request.index_dtype])
        layout: object = None
    else:
        values, indices = out
        layout = (values.stride(), indices.stride(), (values.data_ptr() | indices.data_ptr()) & 15)
    if request.empty:
        return values, indices
    device = arr.get_device()
    if device != torch._C._cuda_getDevice():
        with torch.cuda.device(device):
            return topk(arr, request, (values, indices))
    key = (request, arr.stride(), arr.data_ptr() & 15, device, layout)
    plan = _plans.get(key)
    if plan is None:
        source = _describe(arr, request, values.stride(), indices.stride())
        if source is None:
            return _by_copies(arr, request, values, indices)
        _refuse_cold_capture()
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[key] = _make_plan(arr, request, source, values, indices, device)
    scratch = 0
    if plan.scratch_bytes:
        space = torch.empty(plan.scratch_bytes, dtype=torch.uint8, device=arr.device)
        scratch = space.data_ptr()
    plan.program.launch(
        torch._C._cuda_getCurrentRawStream(device),
        arr.data_ptr(),
        values.data_ptr(),
        indices.data_ptr(),
        scratch,
    )
    return values, indices


def refuses(request: Request) -> str | None:
    """One sentence on why the CUDA kernels can't serve a request, or None if they can."""
    if request.empty:
        return None
    try:
        compiler()
        decision = _expected_schedule(request)
    except (CompileError, DriverError) as error:
        return str(error)
    return decision if isinstance(decision, str) else None


def workspace(request: Request) -> int:
    """Bytes of scratch memory for a contiguous tensor."""
    decision = _expected_schedule(request)
    return 0 if request.empty or isinstance(decision, str) else decision.scratch_bytes


def kernel(request: Request) -> str:
    """What will run for a contiguous tensor, in a few words."""
    decision = _expected_schedule(request)
    return decision if isinstance(decision, str) else f"CUDA: {decision.name}"


# ---- tensors to the kernels' words --------------------------------------------------------------


class _Rows(NamedTuple):
    """Rows of a tensor: the outer and inner sizes, and strides of the tensors along both."""

    inner: int
    outer_strides: Strides
    inner_strides: Strides


def _collapse(shape: tuple[int, ...], axis: int, tensors: tuple[Strides, ...]) -> _Rows | None:
    """Dimensions other than the axis as an outer and an inner one, alike for all tensors."""
    groups: list[tuple[int, Strides]] = []
    for dim, size in enumerate(shape):
        if dim == axis or size == 1:
            continue
        strides = tuple(t[dim] for t in tensors)
        if groups and all(b == size * a for a, b in zip(strides, groups[-1][1], strict=True)):
            groups[-1] = (groups[-1][0] * size, strides)
        else:
            groups.append((size, strides))
    nothing = (0,) * len(tensors)
    if len(groups) > 2:
        return None
    if len(groups) == 2:
        return _Rows(groups[1][0], groups[0][1], groups[1][1])
    if groups and tensors[0][axis] != 1:  # let the policy see that rows are neighbours
        return _Rows(groups[0][0], nothing, groups[0][1])
    return _Rows(1, groups[0][1] if groups else nothing, nothing)


def _describe(arr: Tensor, request: Request, values: Strides, indices: Strides) -> _Rows | None:
    return _collapse(request.shape, request.axis, (arr.stride(), values, indices))


def _problem(request: Request, rows: _Rows, step: int, address: int, size: int) -> Problem:
    bits = address | 16 | rows.outer_strides[0] * size | rows.inner_strides[0] * size
    return Problem(
        dtype=request.dtype,
        rows=request.rows,
        n=request.n,
        k=request.k,
        b=request.b,
        kb=request.kb,
        candidates=request.candidates,
        largest=request.largest,
        sorted=request.sorted,
        interleaved=request.interleaved,
        index_bytes=8 if request.index_dtype == "int64" else 4,
        inner=rows.inner,
        inner_stride=rows.inner_strides[0],
        step=step if request.n > 1 else 1,
        alignment=bits & -bits,
    )


def _make_plan(
    arr: Tensor, request: Request, rows: _Rows, values: Tensor, indices: Tensor, device: int
) -> _Plan:
    axis = request.axis
    problem = _problem(request, rows, arr.stride(axis), arr.data_ptr(), arr.element_size())
    decision = schedule(problem, device_of(device))
    if isinstance(decision, str):
        raise NotImplementedError(decision)
    _, value_outer, index_outer = rows.outer_strides
    _, value_inner, index_inner = rows.inner_strides
    value_step, index_step = values.stride(axis), indices.stride(axis)
    size, index_size = values.element_size(), indices.element_size()
    places = math.gcd(value_outer, value_inner, request.b) * size
    index_places = math.gcd(index_outer, index_inner, request.b) * index_size
    aligned = (values.data_ptr() | indices.data_ptr() | places | index_places) % 16 == 0
    layout = OutputLayout(
        *(value_outer, value_inner, value_step),
        *(index_outer, index_inner, index_step),
        vector_out=aligned and value_step == 1 == index_step,
    )
    program = Program(problem, decision, rows.outer_strides[0], layout, device)
    return _Plan(program, program.scratch_bytes)


def _by_copies(
    arr: Tensor, request: Request, values: Tensor, indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Tensors whose rows no two strides describe: by way of contiguous ones."""
    results = topk(arr.contiguous(), request)
    values.copy_(results[0])
    indices.copy_(results[1])
    return values, indices


def _refuse_cold_capture() -> None:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "approxtopk.topk can't compile and load a kernel while a CUDA graph is captured; "
            "call it once with these arguments before the capture"
        )


def _expected_schedule(request: Request) -> Schedule | str:
    """The schedule for a contiguous, aligned tensor."""
    shape, axis = request.shape, request.axis
    strides = _contiguous(shape)
    outputs = _contiguous(request.out_shape)
    rows = _collapse(shape, axis, (strides, outputs, outputs))
    assert rows is not None, "a contiguous tensor has an outer and an inner dimension at most"
    ordinal = int(request.device.partition(":")[2] or 0)
    size = torch.empty((), dtype=getattr(torch, request.dtype)).element_size()
    return schedule(_problem(request, rows, strides[axis], 0, size), device_of(ordinal))


def _contiguous(shape: tuple[int, ...]) -> Strides:
    return tuple(math.prod(shape[dim + 1 :]) for dim in range(len(shape)))
