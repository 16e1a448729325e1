"""Elements as unsigned integers, and what the kernels must know to order them."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approxtopk.backend import itemsize_of

_Array = NDArray[Any]

_INFINITY = {
    "float16": 0x7C00,
    "bfloat16": 0x7F80,
    "float32": 0x7F80_0000,
    "float64": 0x7FF0_0000_0000_0000,
}


class Order(NamedTuple):
    """An element type and a direction; see `approxtopk_numba.intrinsics.order_key`."""

    bits: np.dtype[Any]  #: the unsigned integers that elements are read as
    infinity: Any  #: bits of +inf, or None for integers
    flip: Any  #: exclusive-ored into every key


@cache
def order(dtype: str, largest: bool) -> Order:
    """What to tell the kernels for a dtype's name."""
    bits = np.dtype(f"u{itemsize_of(dtype)}")
    everything = 2 ** (8 * bits.itemsize) - 1
    infinity = _INFINITY.get(dtype)
    sign = everything // 2 + 1 if infinity is None and dtype[0] != "u" else 0
    flip = sign ^ (0 if largest else everything)
    return Order(bits, None if infinity is None else bits.type(infinity), bits.type(flip))


class _Writable:
    """The memory of an array, said to be writable."""

    def __init__(self, arr: _Array) -> None:
        self.arr = arr  # which lives as long
        interface = arr.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def flat_bits(elements: _Array, bits: np.dtype[Any]) -> _Array:
    """Contiguous elements as the kernels read them, in one dimension.

    The kernels write to none, but for a read-only array, another type to Numba, they would be
    compiled anew. So it comes as one that could be written to, of the same memory.
    """
    flat = elements.reshape(-1).view(bits)
    return flat if flat.flags.writeable else np.asarray(_Writable(flat))


def order_keys(elements: _Array, order: Order) -> _Array:
    """What `order_key` does, for an array of bits."""
    keys = elements
    if order.infinity is not None:
        one = order.bits.type(1)
        sign = one << order.bits.type(8 * order.bits.itemsize - 1)
        below, above = order.infinity + sign - keys, order.infinity + keys
        keys = np.minimum(
            np.where(keys < sign, above, below), order.infinity + order.infinity + one
        )
    flipped: _Array = keys ^ order.flip
    return flipped


def sort_rows(values: _Array, indices: _Array, order: Order) -> None:
    """Put rows of bits and their indices best first; they come, and stay where tied, by index."""
    keys = order_keys(values, order)
    np.invert(keys, out=keys)
    if order.bits.itemsize <= 4:  # one sort of key and place together, which NumPy does by SIMD
        places = keys.astype(np.uint64)
        places <<= np.uint64(32)
        places |= np.arange(values.shape[1], dtype=np.uint64)
        places.sort(axis=1)
        places &= np.uint64(2**32 - 1)
        best = places.view(np.int64)
    else:
        best = np.argsort(keys, axis=1, kind="stable")
    values[:] = np.take_along_axis(values, best, axis=1)
    indices[:] = np.take_along_axis(indices, best, axis=1)
