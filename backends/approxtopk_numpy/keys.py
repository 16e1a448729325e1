"""Order-preserving integer keys: one total order for every dtype, NaN and signed zeros included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UintArray = NDArray[np.unsignedinteger[Any]]


def order_keys(values: NDArray[Any], largest: bool) -> UintArray:
    """Unsigned integers of the same width, greater for an element to be selected earlier.

    Parameters
    ----------
    values : ndarray
        Any supported dtype and byte order, any shape.
    largest : bool
        Whether greater elements are selected earlier, or lesser ones.

    Returns
    -------
    ndarray
        uint8/16/32/64 of the shape of `values`. Elements that tie have equal keys: all NaNs,
        which are greater than everything, and -0.0 with 0.0. ``largest=False`` is the
        complement of every key, so NaN comes last.
    """
    values = values.astype(values.dtype.newbyteorder("="), copy=False)  # native byte order
    bits = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    one = bits.dtype.type(1)
    top = one << bits.dtype.type(8 * bits.dtype.itemsize - 1)  # the sign bit
    if values.dtype.kind == "u":
        keys = bits
    elif values.dtype.kind == "i":
        keys = bits ^ top
    else:  # IEEE: negative numbers fall as their magnitude rises
        magnitude = bits & ~top
        keys = bits.view(np.dtype(f"i{bits.itemsize}")) >> (8 * bits.itemsize - 1)  # 0 or -1
        keys = keys.view(bits.dtype)
        keys ^= magnitude
        keys += top
        keys[magnitude == 0] = top
        keys[magnitude > np.array(np.inf, values.dtype).view(bits.dtype)] = ~(one ^ one)
    return keys if largest else ~keys
