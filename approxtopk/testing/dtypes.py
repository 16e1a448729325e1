"""The supported dtypes as NumPy dtypes, and the values of each that break things."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk.backend import SUPPORTED_DTYPES

Array = NDArray[Any]

#: Bits of exponent and mantissa.
_FORMATS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}

FLOATS = tuple(_FORMATS)


def available_dtypes() -> tuple[str, ...]:
    """Names of the supported dtypes that NumPy has here: bfloat16 needs `ml_dtypes`."""
    absent = () if find_spec("ml_dtypes") else ("bfloat16",)
    return tuple(name for name in SUPPORTED_DTYPES if name not in absent)


def dtype_of(name: str) -> np.dtype[Any]:
    """The NumPy dtype of that name."""
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype


def bits_of(array: Array) -> Array:
    """The elements' bits as unsigned integers in native byte order; the shape stays."""
    raw = native(np.ascontiguousarray(array))
    return raw.view(f"u{raw.dtype.itemsize}")


def native(array: Array) -> Array:
    """The array in native byte order, bits kept."""
    if array.dtype.isnative:
        return array
    return array.byteswap().view(array.dtype.newbyteorder("="))


class Specials(NamedTuple):
    """The values that a selection may get wrong; a type without one of them has another extreme."""

    zero: Any
    one: Any
    nan: Any
    lowest: Any  #: the least finite
    greatest: Any  #: the greatest finite
    minus_inf: Any
    inf: Any
    minus_zero: Any
    minus_nan: Any
    payload: Any  #: a NaN with a payload
    signalling: Any  #: a NaN that arithmetic would quieten
    denormal: Any
    minus_denormal: Any
    greatest_denormal: Any
    above_one: Any  #: the next value after one
    below_one: Any


@cache
def specials(name: str) -> Specials:
    """The special values of a dtype, as scalars of it."""
    return Specials(*_special_values(name))


@cache
def palette(name: str) -> Array:
    """256 values of a dtype, the simplest first: special ones, then small ones, then any.

    One byte picks an element, so that Hypothesis draws a whole array as one string of bytes and
    shrinks it towards short and plain.
    """
    dtype = dtype_of(name)
    special = _special_values(name)
    small = np.arange(2, 66).astype(dtype)
    others = 256 - len(special) - len(small)
    anything = np.frombuffer(np.random.default_rng(0).bytes(dtype.itemsize * others), dtype)
    values = np.concatenate([special, small, anything])
    values.setflags(write=False)
    return values


def _special_values(name: str) -> Array:
    """`Specials` as an array, made of bits: as Python numbers they would lose some."""
    dtype = dtype_of(name)
    if name not in _FORMATS:
        info = np.iinfo(dtype)
        low, high = int(info.min), int(info.max)
        integers = (0, 1, high, low, high, low, high, 0, low, high - 1, high, 2, low + 1, 2, 2, 0)
        return np.array(integers, dtype)
    exponent, mantissa = _FORMATS[name]
    sign = 1 << (exponent + mantissa)
    inf = ((1 << exponent) - 1) << mantissa
    one = ((1 << (exponent - 1)) - 1) << mantissa
    nan = inf | 1 << (mantissa - 1)
    patterns = (
        *(0, one, nan, sign | (inf - 1), inf - 1, sign | inf, inf),
        *(sign, sign | nan, nan | 5, inf | 1),
        *(1, sign | 1, (1 << mantissa) - 1, one + 1, one - 1),
    )
    return np.array(patterns, f"u{dtype.itemsize}").view(dtype)
