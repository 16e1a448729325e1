"""The public calls: validate, plan, find the backend, hand over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, overload

from . import dispatch, planner, validate
from .backend import ArrayInfo, Backend, Request
from .planner import Plan


class TopK(NamedTuple):
    """Selected elements, and where they were on the selection axis."""

    values: Any
    indices: Any


class CertifiedTopK(NamedTuple):
    """Selected elements, where they were, and for each row whether they are the true top-k."""

    values: Any
    indices: Any
    exact: Any


# What the two have in common is said once more than a reader wants, but this way type checkers
# know how many arrays come back.
@overload
def topk(
    arr: Any, k: int, *, b: int | None = None, kb: int | None = None,
    recall: float | None = None, axis: int = -1, largest: bool = True, sorted: bool = False,
    interleaved: bool = True, index_dtype: Any = None, certificate: Literal[False] = False,
    backend: str | None = None, out: tuple[Any, Any] | None = None, dim: int | None = None,
) -> TopK: ...  # fmt: skip
@overload
def topk(
    arr: Any, k: int, *, b: int | None = None, kb: int | None = None,
    recall: float | None = None, axis: int = -1, largest: bool = True, sorted: bool = False,
    interleaved: bool = True, index_dtype: Any = None, certificate: Literal[True],
    backend: str | None = None, out: tuple[Any, Any] | None = None, dim: int | None = None,
) -> CertifiedTopK: ...  # fmt: skip
def topk(
    arr: Any,
    k: int,
    *,
    b: int | None = None,
    kb: int | None = None,
    recall: float | None = None,
    axis: int = -1,
    largest: bool = True,
    sorted: bool = False,
    interleaved: bool = True,
    index_dtype: Any = None,
    certificate: bool = False,
    backend: str | None = None,
    out: tuple[Any, Any] | None = None,
    dim: int | None = None,
) -> TopK | CertifiedTopK:
    """Select the `k` largest (or smallest) elements along an axis, with a recall known beforehand.

    The axis is split into `b` buckets, the `kb` best of each are kept, and an exact top-k of
    these candidates is returned: about the cost of reading the array once.

    Parameters
    ----------
    arr : array
        Any array that an installed backend serves (NumPy, torch, CuPy, …), of rank at least 1,
        any strides, dtype float16, bfloat16, float32, float64, int8, int16, int32, int64 or
        uint8. Never modified. Not copied if C-contiguous with `axis` last; for other layouts it
        depends on the backend.
    k : int
        Number of elements to select per row, in [0, n], n being the length of `axis`.
    b : int, optional
        Number of buckets, in [1, n]. Alone: ``kb = ceil(k / b)``, whatever its recall.
    kb : int, optional
        Elements kept per bucket, in [1, ceil(n / b)]. Without `b`: the cheapest `b` that
        reaches the recall with it.
    recall : float, optional
        Expected recall to plan for, in (0, 1]; recall is the share of the true top-k that is
        returned. Default 0.95 unless `b` is given. 1.0 is exact for every input: what the plan
        misses is found and mended. With both `b` and `kb` only 1.0 can be given.
    axis : int, default -1
        Axis to select along.
    largest : bool, default True
        Largest elements, or smallest. NaN counts as the greatest in both directions.
    sorted : bool, default False
        Best first, ties by index. Otherwise the order is unspecified; it is the same in every
        run if strides are equal and addresses equal modulo 16.
    interleaved : bool, default True
        Element ``i`` is in bucket ``i % b``. If False buckets are runs, the first ``n % b`` of
        them one element longer.
    index_dtype : {"int64", "int32"} or dtype, optional
        Type of the indices; int64 by default (int32 for JAX arrays without `jax_enable_x64`).
    certificate : bool, default False
        Also return, for each row, whether its answer is exact, usually for up to 5 % more time.
        The same elements are selected; unless `sorted`, their order may differ.
    backend : str, optional
        Name of the backend to use, as listed by `approxtopk.backends`.
    out : (array, array), optional
        Where to write values and indices: the shapes, dtypes and device of the result, any
        strides, overlapping neither each other nor `arr`. A pair with `certificate` too; the
        booleans are always a new array.
    dim : int, optional
        Another name for `axis`.

    Returns
    -------
    TopK
        Named tuple ``(values, indices)``, of arr's kind and on its device, of arr's shape but
        `k` along `axis`. `values` are bitwise copies of the elements at `indices`, the indices
        are unique, and ties go to the lower index. The same (b, kb, interleaved) selects the
        same elements on every backend and in every run.
    CertifiedTopK
        For ``certificate=True``: named tuple ``(values, indices, exact)``, `exact` holding a
        boolean per row, of arr's shape without `axis`. True precisely where the row's indices are
        those of the true top-k, ties to the lower index.

    Raises
    ------
    ValueError
        An argument out of range, fewer candidates than `k`, all three of `b`, `kb` and a `recall`
        below 1, rank 0, an unknown `backend`, or an `out` that doesn't fit.
    TypeError
        An argument of the wrong type, an unsupported dtype, or a masked array.
    NoBackendError
        No installed backend, or not the chosen one, can serve the call. A TypeError.
    RuntimeError
        A GPU kernel could not be compiled or launched, or would have to be compiled while a CUDA
        graph is captured: make the same call once before.

    See Also
    --------
    plan : the choice of b and kb, without an array.
    explain : which backend, kernel and plan a call would use.

    Notes
    -----
    O(n kb) operations per row at most, and about one read of the input: the CPU backends read
    parts of it again to find the indices, exact answers what may have been missed. Sources:
    "Approximate Top-k for Increased Parallelism" (arXiv 2412.04358, algorithm of section 2);
    "A Faster Generalized Two-Stage Approximate Top-K" (arXiv 2506.04165), for kb > 1 with a
    second stage.

    Examples
    --------
    >>> import numpy as np
    >>> import approxtopk
    >>> scores = np.random.default_rng(0).standard_normal((2, 100_000), dtype="float32")
    >>> values, indices = approxtopk.topk(scores, 10, recall=0.99)
    >>> values.shape, bool((np.take_along_axis(scores, indices, -1) == values).all())
    ((2, 10), True)
    """
    if dim is not None:
        axis = same_axis(axis, dim)
    array_type = type(arr)
    meet(array_type, backend)
    served = describers[array_type]
    info = served.describe(arr)
    result = CertifiedTopK if certificate else TopK
    if info is None:
        how = (axis, largest, sorted, interleaved, index_dtype, certificate, backend, out)
        return result(*served.trace(arr, k, b, kb, recall, *how))
    call = resolve(
        *(array_type, info, k, b, kb, recall, axis, largest, sorted, interleaved, index_dtype),
        *(certificate, backend if backend is not None else dispatch.chosen.get()),
    )
    if out is not None:
        _check_out(arr, call, out)
    return result(*call.backend.topk(arr, call.request, out))


@dataclass(frozen=True)
class Resolved:
    """Everything that follows from a call's signature: computed once, then looked up."""

    backend: Backend
    request: Request
    plan: Plan
    name: str
    passed_over: dict[str, str]


def resolve(*signature: Any) -> Resolved:
    """Validate, plan and route a call; a dictionary look-up from the second time on.

    `signature` holds what `topk` takes, in its order, with the array replaced by its type and
    its `ArrayInfo`.  Types are part of the key, because True == 1 == 1.0.
    """
    try:
        return _resolve_cached(*signature)
    except TypeError:  # an argument that can't be hashed, or a bad one: below it says which
        pass
    return _resolve(*signature)  # outside of `except`, so that its error is the only one shown


def _resolve(
    array_type: type,
    info: ArrayInfo,
    k: Any,
    b: Any,
    kb: Any,
    recall: Any,
    axis: Any,
    largest: Any,
    sorted: Any,
    interleaved: Any,
    index_dtype: Any,
    certificate: Any,
    backend: Any,
) -> Resolved:
    validate.element_dtype(info.dtype)
    axis = validate.selection_axis("axis", axis, len(info.shape))
    n = info.shape[axis]
    k = validate.integer("k", k, 0, n, " (the length of the axis)")
    plan = planner.choose(n, k, recall, b, kb)
    request = Request(
        shape=tuple(info.shape),
        dtype=info.dtype,
        device=info.device,
        axis=axis,
        k=k,
        b=plan.b,
        kb=plan.kb,
        largest=validate.flag("largest", largest),
        sorted=validate.flag("sorted", sorted),
        interleaved=validate.flag("interleaved", interleaved),
        index_dtype=validate.index_dtype(index_dtype, n),
        exact=recall == 1.0,
        certificate=validate.flag("certificate", certificate),
    )
    name, loaded, passed_over = dispatch.route(array_type, request, backend)
    return Resolved(loaded, request, plan, name, passed_over)


def meet(array_type: type, backend: str | None) -> None:
    """Find the backend that describes arrays of a type, the first time that it is met."""
    if array_type not in describers:
        describers[array_type] = dispatch.describer(array_type, backend)


# Compilers that trace Python code call a function with this mark at once, instead of following it
# into plug-ins and locks.
vars(meet)["_dynamo_marked_constant"] = True


_cache: Any = lru_cache(maxsize=4096, typed=True)(_resolve)
_resolve_cached: Callable[..., Resolved] = _cache
describers: dict[type, Backend] = {}
dispatch.forget_on_change(_cache.cache_clear)
dispatch.forget_on_change(describers.clear)


def same_axis(axis: Any, dim: Any) -> Any:
    """The axis, by either of its names."""
    if axis != -1 and axis != dim:
        raise ValueError(f"dim is another name for axis; got both, {axis=} and {dim=}")
    return dim


def _check_out(arr: Any, call: Resolved, out: Any) -> None:
    """Whether `out` can take the result; before anything is launched or written."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"out must be a tuple (values, indices), got {type(out).__name__}")
    request, backend = call.request, call.backend
    wanted = {"out[0] (values)": request.dtype, "out[1] (indices)": request.index_dtype}
    for (name, dtype), array in zip(wanted.items(), out, strict=True):
        if not dispatch.serves(call.name, type(array)):
            kinds = f"a {type(arr).__name__} like arr, got a {type(array).__name__}"
            raise TypeError(f"{name} must be {kinds}")
        info = backend.describe(array)
        assert info is not None  # arr is no traced array, or topk would have asked for a trace
        for what, expected, got in (
            ("shape", request.out_shape, tuple(info.shape)),
            ("dtype", dtype, info.dtype),
            ("device", request.device, info.device),
        ):
            if expected != got:
                raise ValueError(f"{name} must have {what} {expected}, got {got}")
        if not backend.writable(array):
            raise ValueError(f"{name} must be writable, got a read-only array")
        if backend.overlap(arr, array):
            raise ValueError(f"{name} must not overlap arr in memory")
    if backend.overlap(*out):
        raise ValueError("out[0] (values) and out[1] (indices) must not overlap in memory")
