"""From a request and arrays of any strides to a program: what every framework's backend shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from approxtopk import Request
from approxtopk.backend import itemsize_of

from .again import elements_read_again
from .driver import DriverError, Load, OutputLayout, Program, device_of, load
from .exactness import settle
from .launch import schedule
from .problem import Problem, Schedule

__all__ = [
    *("Programs", "Strided", "describe", "make_program", "read_again", "refuses", "rows_of"),
    "workspace",
]

_INDEX_BYTES = {"int64": 8, "int32": 4}

Strides = tuple[int, ...]


class Strided(NamedTuple):
    """An array as kernels see it."""

    strides: Strides  #: in elements
    address: int


class Programs(dict[tuple[object, ...], Program]):
    """Programs by all that decides about them.

    Emptied when full: shapes may differ in every call.
    """

    most = 4096

    def __setitem__(self, key: tuple[object, ...], program: Program) -> None:
        if len(self) >= self.most:
            self.clear()
        super().__setitem__(key, program)


class Rows(NamedTuple):
    """Rows of arrays: the inner size, and the strides of the arrays along outer and inner rows."""

    inner: int
    outer_strides: Strides
    inner_strides: Strides


def rows_of(request: Request, arrays: Sequence[Strided]) -> Rows | None:
    """The rows of input, values and indices; None where two strides don't describe them.

    Then the caller goes by way of contiguous copies.
    """
    return _collapse(request.shape, request.axis, tuple(a.strides for a in arrays))


def make_program(
    request: Request, rows: Rows, arrays: Sequence[Strided], load: Load = load
) -> Program:
    """What runs for input, values and indices laid out like these.

    Raises
    ------
    CompileError, DriverError
    """
    arr, values, indices = arrays
    problem = _problem(request, rows, arr.strides[request.axis], arr.address)
    ordinal = _ordinal(request)
    decision = schedule(problem, device_of(ordinal))
    if isinstance(decision, str):
        raise NotImplementedError(decision)
    layout = _layout(problem, rows, request.axis, values, indices)
    return Program(problem, decision, rows.outer_strides[0], layout, ordinal, load)


def refuses(request: Request) -> str | None:
    """One sentence on why the kernels can't serve a request, or None if they can."""
    if request.empty:
        return None
    try:
        _, decision = _expected(request)
    except DriverError as error:
        return str(error)
    return decision if isinstance(decision, str) else None


def workspace(request: Request) -> int:
    """Bytes of scratch memory for a contiguous array."""
    _, decision = _expected(request)
    return 0 if request.empty or isinstance(decision, str) else decision.scratch_bytes


def read_again(request: Request) -> float:
    """Bytes of a contiguous array's rows expected to be read again; see `approxtopk.Backend`."""
    problem, decision = _expected(request)
    if isinstance(decision, str):
        return 0.0
    return request.rows * request.itemsize * elements_read_again(problem, decision)


def describe(request: Request) -> str:
    """What will run for a contiguous array, in a few words."""
    _, decision = _expected(request)
    return decision if isinstance(decision, str) else f"CUDA: {decision.name}"


def _collapse(shape: tuple[int, ...], axis: int, arrays: tuple[Strides, ...]) -> Rows | None:
    """Dimensions other than the axis as an outer and an inner one, alike for all arrays."""
    groups: list[tuple[int, Strides]] = []
    for dim, size in enumerate(shape):
        if dim == axis or size == 1:
            continue
        strides = tuple(a[dim] for a in arrays)
        if groups and all(b == size * a for a, b in zip(strides, groups[-1][1], strict=True)):
            groups[-1] = (groups[-1][0] * size, strides)
        else:
            groups.append((size, strides))
    nothing = (0,) * len(arrays)
    if len(groups) > 2:
        return None
    if len(groups) == 2:
        return Rows(groups[1][0], groups[0][1], groups[1][1])
    if groups and arrays[0][axis] != 1:  # let the policy see that rows are neighbours
        return Rows(groups[0][0], nothing, groups[0][1])
    return Rows(1, groups[0][1] if groups else nothing, nothing)


def _problem(request: Request, rows: Rows, step: int, address: int) -> Problem:
    size = request.itemsize
    bits = address | 16 | rows.outer_strides[0] * size | rows.inner_strides[0] * size
    problem = Problem(
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
        index_bytes=_INDEX_BYTES[request.index_dtype],
        inner=rows.inner,
        inner_stride=rows.inner_strides[0],
        step=step if request.n > 1 else 1,
        alignment=bits & -bits,
        certificate=request.certificate and not request.exact,
        repair=request.exact,
    )
    return settle(problem, device_of(_ordinal(request)))


def _layout(p: Problem, rows: Rows, axis: int, values: Strided, indices: Strided) -> OutputLayout:
    _, value_outer, index_outer = rows.outer_strides
    _, value_inner, index_inner = rows.inner_strides
    value_step, index_step = values.strides[axis], indices.strides[axis]
    places = math.gcd(value_outer, value_inner, p.b) * itemsize_of(p.dtype)
    index_places = math.gcd(index_outer, index_inner, p.b) * p.index_bytes
    aligned = (values.address | indices.address | places | index_places) % 16 == 0
    return OutputLayout(
        *(value_outer, value_inner, value_step),
        *(index_outer, index_inner, index_step),
        vector_out=aligned and value_step == 1 == index_step,
    )


def _expected(request: Request) -> tuple[Problem, Schedule | str]:
    """The problem that a contiguous, aligned array makes, and its schedule."""
    strides, outputs = _contiguous(request.shape), _contiguous(request.out_shape)
    rows = _collapse(request.shape, request.axis, (strides, outputs, outputs))
    assert rows is not None, "a contiguous array has an outer and an inner dimension at most"
    problem = _problem(request, rows, strides[request.axis], 0)
    return problem, schedule(problem, device_of(_ordinal(request)))


def _ordinal(request: Request) -> int:
    return int(request.device.partition(":")[2] or 0)


def _contiguous(shape: tuple[int, ...]) -> Strides:
    return tuple(math.prod(shape[dim + 1 :]) for dim in range(len(shape)))
