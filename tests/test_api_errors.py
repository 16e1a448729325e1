"""Every argument that is refused: the error names it, its value, and what is allowed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import approxtopk
from approxtopk.backend import SUPPORTED_DTYPES

ARRAY = np.zeros((3, 100), np.float32)


def refused(error: type[Exception], *words: str):
    """An error whose message holds every word, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words)))


@pytest.mark.parametrize("call", [approxtopk.topk, approxtopk.explain])
@pytest.mark.parametrize(
    ("k", "arguments", "words"),
    [
        (101, {}, ("k must be in [0, 100] (the length of the axis), got 101",)),
        (-1, {}, ("k must be in [0, 100]", "got -1")),
        (2**31, {}, ("k must be in [0, 100]", "got 2147483648")),
        (2**63, {}, ("k must be in [0, 100]", "got 9223372036854775808")),
        (5, {"axis": 0}, ("k must be in [0, 3]", "got 5")),
        (5, {"b": 0}, ("b must be in [1, 100]", "got 0")),
        (5, {"b": -3}, ("b must be in [1, 100]", "got -3")),
        (5, {"b": 101}, ("b must be in [1, 100]", "got 101")),
        (5, {"b": 10, "kb": 0}, ("kb must be in [1, 10] (the largest bucket), got 0",)),
        (5, {"b": 10, "kb": -1}, ("kb must be in [1, 10]", "got -1")),
        (5, {"b": 10, "kb": 11}, ("kb must be in [1, 10]", "got 11")),
        (5, {"b": 7, "kb": 16}, ("kb must be in [1, 15]", "got 16")),
        (5, {"kb": 101}, ("kb must be in [1, 100]", "got 101")),
        (5, {"kb": 0}, ("kb must be in [1, 100]", "got 0")),
        (21, {"b": 10, "kb": 2}, ("b=10", "kb=2", "20 candidates", "k=21", "[3, 10]")),
        (100, {"b": 7, "kb": 14}, ("b=7", "kb=14", "98 candidates", "k=100", "[15, 15]")),
        (5, {"b": 10, "kb": 2, "recall": 0.9}, ("recall", "b", "kb", "0.9", "10", "2")),
        (5, {"recall": 0.0}, ("recall must be in (0, 1], got 0.0",)),
        (5, {"recall": -0.5}, ("recall must be in (0, 1], got -0.5",)),
        (5, {"recall": 1.5}, ("recall must be in (0, 1], got 1.5",)),
        (5, {"recall": float("nan")}, ("recall must be in (0, 1], got nan",)),
        (5, {"axis": 2}, ("axis must be in [-2, 1] for rank 2, got 2",)),
        (5, {"axis": -3}, ("axis must be in [-2, 1]", "got -3")),
        (5, {"dim": 2}, ("axis must be in [-2, 1]", "got 2")),
        (5, {"axis": 0, "dim": 1}, ("dim is another name for axis", "axis=0", "dim=1")),
        (5, {"backend": "abacus"}, ("backend must be one of", "numpy", "got 'abacus'")),
    ],
)
def test_value_out_of_range(call, k, arguments, words) -> None:
    with refused(ValueError, *words):
        call(ARRAY, k, **arguments)


@pytest.mark.parametrize("call", [approxtopk.topk, approxtopk.explain])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": True}, ("k must be an integer", "bool True")),
        ({"k": np.True_}, ("k must be an integer", "bool True")),
        ({"k": 2.0}, ("k must be an integer", "2.0", "float")),
        ({"k": "2"}, ("k must be an integer", "'2'", "str")),
        ({"k": None}, ("k must be an integer", "None")),
        ({"k": [2]}, ("k must be an integer", "[2]", "list")),
        ({"k": 5, "b": True}, ("b must be an integer", "bool True")),
        ({"k": 5, "b": 10.0}, ("b must be an integer", "10.0")),
        ({"k": 5, "b": 10, "kb": 1.0}, ("kb must be an integer", "1.0")),
        ({"k": 5, "kb": True}, ("kb must be an integer", "bool True")),
        ({"k": 5, "recall": "high"}, ("recall must be a real number", "'high'", "str")),
        ({"k": 5, "recall": True}, ("recall must be a real number", "True", "bool")),
        ({"k": 5, "axis": None}, ("axis must be an integer", "None")),
        ({"k": 5, "axis": True}, ("axis must be an integer", "bool True")),
        ({"k": 5, "axis": 0.0}, ("axis must be an integer", "0.0")),
        ({"k": 5, "axis": (0, 1)}, ("axis must be an integer", "(0, 1)")),
        ({"k": 5, "dim": 1.0}, ("axis must be an integer", "1.0")),
        ({"k": 5, "largest": 1}, ("largest must be True or False", "1", "int")),
        ({"k": 5, "sorted": None}, ("sorted must be True or False", "None")),
        ({"k": 5, "certificate": 1}, ("certificate must be True or False", "1")),
        ({"k": 5, "interleaved": "yes"}, ("interleaved must be True or False", "'yes'")),
        ({"k": 5, "index_dtype": "int16"}, ("index_dtype must be one of int64, int32", "int16")),
        ({"k": 5, "index_dtype": np.uint64}, ("index_dtype must be one of int64, int32", "uint64")),
    ],
)
def test_wrong_type(call, arguments, words) -> None:
    with refused(TypeError, *words):
        call(ARRAY, **arguments)


def test_an_earlier_good_call_does_not_hide_an_error() -> None:
    """True == 1 == 1.0, also as keys of a cache."""
    approxtopk.topk(ARRAY, 1, b=1, kb=1)
    for arguments in ({"k": True}, {"k": 1.0}, {"k": 1, "b": True}, {"k": 1, "b": 1, "kb": 1.0}):
        with pytest.raises(TypeError, match="must be an integer"):
            approxtopk.topk(ARRAY, **arguments)


def test_an_error_comes_alone() -> None:
    """Not with another one "during handling" of which it was raised."""
    for error, arguments in [
        (TypeError, {"recall": "high"}),
        (TypeError, {"largest": 1}),
        (TypeError, {"index_dtype": "int16"}),
        (ValueError, {"recall": 1.5}),
    ]:
        with pytest.raises(error) as caught:
            approxtopk.topk(ARRAY, 5, **arguments)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("k", [5, np.int64(5), np.uint8(5), np.array(5)])
def test_integers_of_every_kind(k) -> None:
    assert approxtopk.topk(ARRAY, k, b=np.int32(10), axis=np.int8(-1)).values.shape == (3, 5)


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "complex64",
        "complex128",
        "uint16",
        "uint32",
        "uint64",
        "longdouble",
        "O",
        "U3",
        "M8[s]",
    ],
)
def test_unsupported_dtype(dtype) -> None:
    with refused(TypeError, "arr has dtype", "supported are", ", ".join(SUPPORTED_DTYPES)):
        approxtopk.topk(np.zeros((3, 100), dtype), 5)


def test_float8() -> None:
    float8 = pytest.importorskip("ml_dtypes").float8_e4m3fn
    with refused(TypeError, "arr has dtype float8_e4m3fn; supported are"):
        approxtopk.topk(np.zeros(100, float8), 5)


@pytest.mark.parametrize("arr", [[1, 2, 3], (1, 2), 3.0, "123", None, np.float32(1)])
def test_what_is_no_array(arr) -> None:
    with refused(approxtopk.NoBackendError, type(arr).__name__, "numpy.ndarray"):
        approxtopk.topk(arr, 1)


def test_masked_array() -> None:
    with refused(TypeError, "masked array", "filled"):
        approxtopk.topk(np.ma.masked_array([1.0, 2.0], [True, False]), 1)


def test_rank_0() -> None:
    with refused(ValueError, "arr must have at least one dimension", "rank 0"):
        approxtopk.topk(np.array(1.0), 1)


def test_index_dtype_that_is_too_small() -> None:
    longest = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (2**31 + 1,), (0,))
    with refused(ValueError, "index_dtype int32 can't hold", "2147483648", "int64"):
        approxtopk.explain(longest, 5, index_dtype="int32")
    assert approxtopk.explain(longest[:-1], 5, index_dtype="int32").plan.n == 2**31


def good_out() -> tuple[np.ndarray, np.ndarray]:
    return np.empty((3, 5), np.float32), np.empty((3, 5), np.int64)


@pytest.mark.parametrize(
    ("place", "array", "words"),
    [
        (0, np.empty((3, 6), np.float32), ("out[0] (values)", "(3, 5)", "(3, 6)")),
        (0, np.empty((5, 3), np.float32), ("out[0] (values)", "(3, 5)", "(5, 3)")),
        (0, np.empty(15, np.float32), ("out[0] (values)", "(3, 5)", "(15,)")),
        (0, np.empty((3, 5), np.float64), ("out[0] (values)", "float32", "float64")),
        (1, np.empty((3, 4), np.int64), ("out[1] (indices)", "(3, 5)", "(3, 4)")),
        (1, np.empty((3, 5), np.int32), ("out[1] (indices)", "int64", "int32")),
        (1, np.empty((3, 5), np.float32), ("out[1] (indices)", "int64", "float32")),
        (0, np.broadcast_to(np.float32(0), (3, 5)), ("out[0] (values)", "writ")),
    ],
)
def test_out_that_does_not_fit(place, array, words) -> None:
    out = list(good_out())
    out[place] = array
    with refused(ValueError, *words):
        approxtopk.topk(ARRAY, 5, out=tuple(out))


def test_out_that_overlaps() -> None:
    indices = good_out()[1]
    array = np.zeros((3, 100), np.float32)
    with refused(ValueError, "out[0] (values) must not overlap arr"):
        approxtopk.topk(array, 5, out=(array[:, ::20], indices))
    integers = np.zeros((3, 100), np.int64)
    with refused(ValueError, "out[1] (indices) must not overlap arr"):
        approxtopk.topk(integers, 5, out=(indices, integers[:, 3:8]))
    with refused(ValueError, "out[0] (values) and out[1] (indices) must not overlap"):
        approxtopk.topk(integers, 5, out=(indices, indices[::-1]))


@pytest.mark.parametrize("out", [np.empty((3, 5)), (np.empty((3, 5)),), [*good_out()], "ab", 3])
def test_out_that_is_no_pair(out) -> None:
    with refused(TypeError, "out must be a tuple (values, indices)"):
        approxtopk.topk(ARRAY, 5, out=out)


def test_out_that_is_no_array() -> None:
    with refused(TypeError, "out[0] (values)", "list"):
        approxtopk.topk(ARRAY, 5, out=([0.0] * 5, good_out()[1]))


def test_nothing_is_written_where_anything_is_wrong() -> None:
    values, indices = good_out()
    values[...], indices[...] = 7, 7
    with pytest.raises(ValueError, match="k must be"):
        approxtopk.topk(ARRAY, 101, out=(values, indices))
    with pytest.raises(ValueError, match=re.escape("out[1]")):
        approxtopk.topk(ARRAY, 5, out=(values, indices[:, :4]))
    assert (values == 7).all()
    assert (indices == 7).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 0), ("n must be in [0,", "got -1")),
        ((10, 11), ("k must be in [0, 10]", "got 11")),
        ((10, -1), ("k must be in [0, 10]", "got -1")),
    ],
)
def test_plan_of_what_cannot_be(arguments, words) -> None:
    with refused(ValueError, *words):
        approxtopk.plan(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 0, 1, 1), ("n must be in [1,", "got 0")),
        ((10, 11, 1, 1), ("k must be in [0, 10]", "got 11")),
        ((10, 5, 11, 1), ("b must be in [1, 10]", "got 11")),
        ((10, 5, 4, 4), ("kb must be in [1, 3] for b=4, got 4",)),
    ],
)
def test_expected_recall_of_what_cannot_be(arguments, words) -> None:
    with refused(ValueError, *words):
        approxtopk.expected_recall(*arguments)


def test_use_backend_of_an_unknown_name() -> None:
    with refused(ValueError, "numpy", "'abacus'"), approxtopk.use_backend("abacus"):
        pass
