"""Ways to lay out an array in memory: strides, order, alignment, byte order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import Array, specials


def lay_out(array: Array, layout: str) -> Array:
    """An array of equal elements in that layout; "expanded" repeats the first along axis 0."""
    return LAYOUTS[layout](array)


def _contiguous(array: Array) -> Array:
    return np.array(array, order="C")


def _fortran(array: Array) -> Array:
    return np.array(array, order="F")


def _every_second(array: Array) -> Array:
    """Every other element along every axis of a larger array."""
    around = _filled(array, tuple(2 * length for length in array.shape))
    return _written(around[(slice(None, None, 2),) * array.ndim], array)


def _reversed(array: Array) -> Array:
    """Negative strides along every axis."""
    flip = (slice(None, None, -1),) * array.ndim
    return _contiguous(array[flip])[flip]


def _padded(array: Array) -> Array:
    """Rows with elements before and after them, so that no row starts on a boundary."""
    around = _filled(array, (*array.shape[:-1], array.shape[-1] + 3))
    return _written(around[..., 1:-2], array)


def _misaligned(array: Array) -> Array:
    """A base address that is no multiple of the element's size."""
    buffer = bytearray(array.nbytes + 1)
    return _written(np.ndarray(array.shape, array.dtype, buffer, offset=1), array)


def _expanded(array: Array) -> Array:
    """Stride 0 along axis 0."""
    first = _contiguous(array[:1])
    strides = (0, *first.strides[1:])
    return np.lib.stride_tricks.as_strided(first, array.shape, strides)


def _read_only(array: Array) -> Array:
    copy = _contiguous(array)
    copy.setflags(write=False)
    return copy


def _byte_swapped(array: Array) -> Array:
    """The other byte order, where the dtype has one."""
    other = array.dtype.newbyteorder()
    if other == array.dtype or array.dtype.kind == "V":
        return _contiguous(array)
    return array.byteswap().view(other)


def _filled(array: Array, shape: tuple[int, ...]) -> Array:
    """Elements that would be selected first if they were read: NaN, or the greatest."""
    return np.full(shape, specials(array.dtype.name).nan, array.dtype)


def _written(view: Array, array: Array) -> Array:
    view[...] = array
    return view


#: By name, the plainest first. A backend's framework may lack some: see `Subject.layouts`.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": _contiguous,
    "Fortran": _fortran,
    "every second": _every_second,
    "reversed": _reversed,
    "padded": _padded,
    "misaligned": _misaligned,
    "expanded": _expanded,
    "read-only": _read_only,
    "byte-swapped": _byte_swapped,
}
