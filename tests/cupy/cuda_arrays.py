"""From NumPy arrays to arrays of several libraries on a CUDA device and back, bits kept."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np


def cupy_array(array: np.ndarray) -> Any:
    """The same bytes on the device, seen with the same strides."""
    flags = array.flags
    if not (array.dtype.isnative and flags.writeable and flags.aligned):
        raise NotImplementedError("CuPy arrays are native, writable and aligned")
    if array.size == 0:
        return cupy.asarray(array)
    reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    size = high - low + array.itemsize
    start = array.__array_interface__["data"][0] + low
    memory = cupy.cuda.alloc(size)
    memory.copy_from_host(start, size)
    return cupy.ndarray(array.shape, array.dtype, memory + -low, array.strides)


def numba_array(array: np.ndarray) -> Any:
    """Of Numba, which has no bfloat16."""
    from numba import cuda

    if array.dtype.name == "bfloat16":
        raise TypeError("Numba has no bfloat16")
    if 0 in array.strides and array.size > 1:
        raise NotImplementedError("Numba takes strides of 0 for those of contiguous elements")
    return cuda.as_cuda_array(cupy_array(array))


def jax_array(array: np.ndarray) -> Any:
    """Of JAX, whose arrays have no strides."""
    import jax

    if not array.dtype.isnative:
        raise NotImplementedError("JAX arrays are native")
    return jax.device_put(np.array(array, order="C"))


def to_numpy(array: Any) -> np.ndarray:
    """A copy in main memory of any of these."""
    if type(array).__module__.startswith("jax"):
        return np.asarray(array)
    return cupy.asnumpy(cupy.asarray(array))
