"""What a call promises beyond the selection itself: ``promise(subject, dtype)``.

These need arrays of the backend's own kind, so that no function of NumPy arrays can stand in.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

import approxtopk
from approxtopk import dispatch

from .case import require
from .cases import mixed
from .dtypes import Array, dtype_of
from .laws import same_bits
from .subject import Subject

UNSUPPORTED = ("bool", "complex64", "complex128", "uint16", "uint32", "uint64")


def result_is_like_the_input(subject: Subject, dtype: str) -> None:
    """Values and indices are of arr's type and on its device; values have its dtype."""
    arr = subject.to_array(mixed(dtype, 3, 40))
    describe = dispatch.describer(type(arr)).describe
    for array, element in zip(_topk(subject, arr, 5), (dtype, "int64"), strict=True):
        require(type(array) is type(arr), "{} for {}", type(array), type(arr))
        given, got = describe(arr), describe(array)
        expected = given and ((3, 5), element, given.device)
        require(got == expected, "{} for {}", got, given)


def index_dtype(subject: Subject, dtype: str) -> None:
    """``index_dtype="int32"`` gives the same indices as int32."""
    arr = subject.to_array(mixed(dtype, 3, 40))
    wide = subject.to_numpy(_topk(subject, arr, 5).indices)
    narrow = subject.to_numpy(_topk(subject, arr, 5, index_dtype="int32").indices)
    require(narrow.dtype == np.int32, "indices of {}", narrow.dtype)
    require((wide == narrow).all(), "int32 indices {}, int64 {}", narrow, wide)


def out_is_written(subject: Subject, dtype: str) -> None:
    """``out=`` of any strides is written in place and returned."""
    arr = subject.to_array(mixed(dtype, 3, 40))
    expected = _topk(subject, arr, 5)
    for width, step in ((5, 1), (10, 2)):
        spread = (np.zeros((3, width), dtype_of(dtype)), np.zeros((3, width), np.int64))
        values, indices = (subject.to_array(array)[:, ::step] for array in spread)
        got = _topk(subject, arr, 5, out=(values, indices))
        require(got.values is values and got.indices is indices, "another array came back")
        for written, wanted in zip(got, expected, strict=True):
            same_bits("what out= holds", subject.to_numpy(written), subject.to_numpy(wanted))


def out_is_refused(subject: Subject, dtype: str) -> None:
    """An `out` of the wrong shape or dtype, or that overlaps, is a ValueError."""
    arr = subject.to_array(mixed(dtype, 3, 40))

    def empty(k: int, element: str) -> Any:
        return subject.to_array(np.zeros((3, k), dtype_of(element)))

    good = empty(40, dtype), empty(40, "int64")
    other = "float32" if dtype != "float32" else "int32"
    for out in (
        *((empty(39, dtype), good[1]), (good[0], empty(41, "int64"))),
        *((empty(40, other), good[1]), (good[0], empty(40, "int32"))),
        (arr, good[1]),
    ):
        _raises(ValueError, partial(_topk, subject, arr, 40, out=out), "out")
    if dtype == "int64":
        _raises(ValueError, partial(_topk, subject, arr, 40, out=(good[1], good[1])), "overlap")
        _raises(ValueError, partial(_topk, subject, arr, 40, out=(good[1], arr)), "overlap")


def unsupported_dtypes(subject: Subject, dtype: str) -> None:
    """Another dtype is a TypeError that lists the supported ones."""
    for name in UNSUPPORTED:
        try:
            arr = subject.to_array(np.zeros((2, 8), name))
        except (TypeError, NotImplementedError):
            continue  # arrays of this kind have no such dtype
        _raises(TypeError, partial(_topk, subject, arr, 2), "float32")


def nothing_to_select(subject: Subject, dtype: str) -> None:
    """``k = 0`` of an empty axis is an empty result; more, or rank 0, is a ValueError."""
    arr = subject.to_array(np.empty((3, 0), dtype_of(dtype)))
    result = approxtopk.topk(arr, 0, backend=subject.name)
    shapes = [tuple(array.shape) for array in result]
    require(shapes == [(3, 0), (3, 0)], "values and indices of shapes {}", shapes)
    _raises(ValueError, partial(_topk, subject, arr, 1), "k must be in [0, 0]")
    scalar = subject.to_array(np.zeros((), dtype_of(dtype)))
    _raises(ValueError, partial(_topk, subject, scalar, 0), "rank 0")


def certificates(subject: Subject, dtype: str) -> None:
    """A certificate is one more array like the input, and all True where nothing is selected.

    `out` stays a pair.
    """
    arr = subject.to_array(mixed(dtype, 3, 40))
    describe = dispatch.describer(type(arr)).describe
    given = describe(arr)
    out = tuple(
        subject.to_array(a) for a in (np.zeros((3, 5), dtype_of(dtype)), np.zeros((3, 5), int))
    )
    try:
        got = approxtopk.topk(arr, 5, b=8, kb=1, certificate=True, out=out, backend=subject.name)
    except approxtopk.NoBackendError:
        return  # it gives none
    require(got.values is out[0] and got.indices is out[1], "another array came back")
    require(type(got.exact) is type(arr), "{} for {}", type(got.exact), type(arr))
    expected = given and ((3,), "bool", given.device)
    require(describe(got.exact) == expected, "exact is {}", describe(got.exact))
    for shape, k, rows in (
        ((3, 40), 0, (3,)),
        ((3, 0), 0, (3,)),
        ((0, 40), 5, (0,)),
        ((6,), 0, ()),
    ):
        none = subject.to_array(np.zeros(shape, dtype_of(dtype)))
        exact = approxtopk.topk(none, k, certificate=True, backend=subject.name).exact
        found = subject.to_numpy(exact)
        require(found.shape == rows and found.all(), "exact is {} for shape {}", found, shape)


def twenty_repeats(subject: Subject, dtype: str) -> None:
    """Twenty calls give the same bits."""
    array = mixed(dtype, 4, 5000)
    first = subject(array, 50, b=128, kb=2)
    for _ in range(19):
        _same_result(subject(array, 50, b=128, kb=2), first)


def threads(subject: Subject, dtype: str) -> None:
    """Calls from four threads at once give what one thread gets."""
    arrays = [mixed(dtype, 2, 1000 + i) for i in range(16)]
    expected = [subject(array, 9, b=64, kb=2) for array in arrays]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda array: subject(array, 9, b=64, kb=2), arrays))
    for got, alone in zip(together, expected, strict=True):
        _same_result(got, alone)


#: Every promise; a broken one raises AssertionError.
PROMISES: tuple[Callable[[Subject, str], None], ...] = (
    *(result_is_like_the_input, index_dtype, out_is_written, out_is_refused),
    *(unsupported_dtypes, nothing_to_select, certificates, twenty_repeats, threads),
)


def _topk(subject: Subject, arr: Any, k: int, **arguments: Any) -> approxtopk.TopK:
    result = approxtopk.topk(arr, k, b=max(k, 1), kb=1, backend=subject.name, **arguments)
    return approxtopk.TopK(*result)


def _raises(expected: type[Exception], call: Callable[[], object], word: str) -> None:
    try:
        call()
    except expected as error:
        require(word in str(error), "the message does not say {!r}: {}", word, error)
    else:
        raise AssertionError(f"no {expected.__name__} about {word!r}")


def _same_result(got: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for one, other in zip(got, expected, strict=True):
        same_bits("a repeat against the first call", one, other)
