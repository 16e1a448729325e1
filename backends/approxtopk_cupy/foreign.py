"""Arrays of other libraries on a CUDA device, seen as CuPy's without a copy, and answered in kind.

DLPack comes first: with it a producer makes the consumer's stream wait for its own. An array that
has `__cuda_array_interface__` alone may name its stream; then that one and the current one wait for
each other by events, and the host for neither.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cupy
import numpy as np
from cupy import ndarray
from cupy.cuda import Event, get_current_stream, runtime

from approxtopk import ArrayInfo, Request

__all__ = ["answerable", "borrow", "borrowed", "describe", "give_back", "writable"]

_DEVICE_KINDS = {1: "cpu", 2: "cuda", 13: "cuda"}  # of DLPack; 13 is managed memory
_LEGACY_STREAM = 1  # CuPy calls it 0


class Names(dict[Any, str]):
    """Names of dtypes, made once: making one takes a microsecond. Byte-swapped ones have none."""

    def __missing__(self, dtype: Any) -> str:
        if isinstance(dtype, np.dtype):
            name = dtype.name if dtype.isnative else dtype.str
        else:
            name = str(dtype).rpartition(".")[2]
        self[dtype] = name
        return name


NAMES = Names()


def describe(arr: Any) -> ArrayInfo:
    """What the core must know of an array of another library."""
    if hasattr(arr, "__dlpack_device__"):
        kind, ordinal = arr.__dlpack_device__()
        name = _DEVICE_KINDS.get(int(kind), f"DLPack device {int(kind)}")
        device = "cpu" if name == "cpu" else f"{name}:{ordinal}"
        return ArrayInfo(tuple(arr.shape), NAMES[arr.dtype], device)
    interface = getattr(arr, "__cuda_array_interface__", None)
    if interface is None:
        name = type(arr).__name__
        raise TypeError(f"arr is a {name} that has no memory; while JAX traces, call outside jit")
    if interface.get("mask") is not None:
        raise TypeError("arr has a mask, which selection would ignore; fill it first")
    address = interface["data"][0]
    ordinal = runtime.pointerGetAttributes(address).device if address else runtime.getDevice()
    return ArrayInfo(interface["shape"], NAMES[np.dtype(interface["typestr"])], f"cuda:{ordinal}")


def writable(arr: Any) -> bool:
    """Whether an array may be written to, as far as it says: DLPack alone is taken for a no."""
    interface = getattr(arr, "__cuda_array_interface__", None)
    return interface is not None and not interface["data"][1]


@contextmanager
def borrowed(arrays: tuple[Any, ...]) -> Iterator[tuple[ndarray, ...]]:
    """The arrays as CuPy's on the current device, whose kernels are launched before this is left.

    They stay alive until these kernels are done, since their owner need not know of the stream.
    """
    streams = [_stream_of(arr) for arr in arrays]
    for stream in streams:
        _wait(_current_stream(), stream)
    views = tuple(borrow(arr) for arr in arrays)
    yield views
    for stream in streams:
        _wait(stream, _current_stream())
    _keep_until_done(views)


def borrow(arr: Any) -> ndarray:
    """The same memory as a CuPy array."""
    if isinstance(arr, ndarray):
        return arr
    if hasattr(arr, "__dlpack__"):
        return cupy.from_dlpack(arr)
    return cupy.asarray(_Unsynchronised(arr))


class _Unsynchronised:
    """An array without its stream, lest CuPy make the host wait for it."""

    def __init__(self, arr: Any) -> None:
        self.arr = arr  # CuPy keeps this object, and so the memory
        self.__cuda_array_interface__ = {**arr.__cuda_array_interface__, "stream": None}


def _stream_of(arr: Any) -> int | None:
    """The stream that an array names as its own."""
    if isinstance(arr, ndarray) or hasattr(arr, "__dlpack__"):
        return None
    stream: int | None = arr.__cuda_array_interface__.get("stream")
    return stream


def _current_stream() -> int:
    return get_current_stream().ptr or _LEGACY_STREAM


def _wait(waiting: int | None, for_stream: int | None) -> None:
    """Have a stream wait for what is on another by now."""
    if waiting is not None and for_stream is not None and waiting != for_stream:
        event = Event(disable_timing=True)
        runtime.eventRecord(event.ptr, for_stream)
        runtime.streamWaitEvent(waiting, event.ptr)


_kept: deque[tuple[Event, tuple[ndarray, ...]]] = deque()
_kept_lock = threading.Lock()


def _keep_until_done(arrays: tuple[ndarray, ...]) -> None:
    """Hold on to arrays, and let go of those whose kernels are done by now."""
    event = Event(disable_timing=True)
    event.record(get_current_stream())
    done = []  # to be let go of without the lock: what an owner does then is not known
    with _kept_lock:
        _kept.append((event, arrays))
        while _kept and _kept[0][0].done:
            done.append(_kept.popleft())


def answerable(arr: Any, request: Request) -> Request:
    """The request as the array's library can take the answer: JAX may have no 64-bit indices."""
    jax = sys.modules.get("jax")
    if (
        request.index_dtype != "int64"
        or jax is None
        or not isinstance(arr, jax.Array)
        or jax.config.jax_enable_x64
    ):
        return request
    if request.n > 2**31:
        raise ValueError(
            f"indices along an axis of length {request.n} need jax_enable_x64, which is off"
        )
    return _with_short_indices(request)


@functools.lru_cache(maxsize=4096)
def _with_short_indices(request: Request) -> Request:
    return replace(request, index_dtype="int32")


def give_back(like: Any, results: Sequence[ndarray]) -> tuple[Any, ...]:
    """The results in the kind of `like` where its library takes DLPack, else as CuPy arrays."""
    take = _importer(like)
    return tuple(results) if take is None else tuple(map(take, results))


_importers: dict[type, Callable[[ndarray], Any] | None] = {}


def _importer(arr: Any) -> Callable[[ndarray], Any] | None:
    """`from_dlpack` of the library that an array comes from: of its array API, or its own."""
    array_type = type(arr)
    if array_type not in _importers:
        if hasattr(arr, "__array_namespace__"):
            library = arr.__array_namespace__()
        else:
            library = sys.modules.get(array_type.__module__.partition(".")[0])
        _importers[array_type] = getattr(library, "from_dlpack", None)
    return _importers[array_type]
