"""Checks of arguments: each names the argument, its value and what is allowed."""

from __future__ import annotations

import math
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from .backend import INDEX_DTYPES, SUPPORTED_DTYPES


def integer(name: str, value: Any, low: int, high: int, why: str = "") -> int:
    """An integer in [low, high]; `why` explains the upper bound in the message."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got the bool {value}")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}"
        ) from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be in [{low}, {high}]{why}, got {number}")
    return number


def probability(name: str, value: Any) -> float:
    """A real number in (0, 1]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r} of type {_kind(value)}")
    number = float(value)
    if not 0.0 < number <= 1.0 or math.isnan(number):
        raise ValueError(f"{name} must be in (0, 1], got {number}")
    return number


def flag(name: str, value: Any) -> bool:
    """True or False, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r} of type {_kind(value)}")
    return bool(value)


def selection_axis(name: str, axis: Any, ndim: int) -> int:
    """The axis counted from the front."""
    if ndim == 0:
        raise ValueError(f"arr must have at least one dimension to select along {name}, got rank 0")
    return integer(name, axis, -ndim, ndim - 1, f" for rank {ndim}") % ndim


def element_dtype(dtype: str) -> None:
    """Refuse arrays that have no order or no kernel."""
    if dtype not in SUPPORTED_DTYPES:
        raise TypeError(f"arr has dtype {dtype}; supported are {', '.join(SUPPORTED_DTYPES)}")


def index_dtype(value: Any, n: int) -> str:
    """The name of an index dtype: given as a name, or as NumPy's, torch's or another's object."""
    if value is None:
        return "int64"
    name = value if isinstance(value, str) else getattr(value, "__name__", None) or str(value)
    name = name.rpartition(".")[2]
    if name not in INDEX_DTYPES:
        raise TypeError(f"index_dtype must be one of {', '.join(INDEX_DTYPES)}, got {value!r}")
    if name == "int32" and n > 2**31:
        raise ValueError(f"index_dtype int32 can't hold indices up to {n - 1}; use int64")
    return name


def _kind(value: Any) -> str:
    return type(value).__name__
