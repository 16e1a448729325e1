"""Loading kernels and launching them, by the CUDA driver and nothing above it."""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .compile import compile_kernel, compile_kernels
from .problem import Device, Launch, Problem, Schedule
from .variants import Kernel

__all__ = ["DriverError", "Load", "OutputLayout", "Program", "device_of", "load"]

#: From kernels and a device's ordinal to the driver's handles (CUfunction) of them.
Load = Callable[[Sequence[Kernel], int], list[int]]

_MAX_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_SHARED_CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
_CLUSTER_DIMENSION = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
_BEGINS_EARLY = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
_UNCHECKED_SHARED = 32 * 1024  # more, with what a kernel has statically, must be asked for

#: struct Params of params.cuh: 8 pointers, rows, 9 strides, 23 numbers, and up to a multiple of 8.
_PARAMS = struct.Struct("<8Qq9q23I4x")
_POINTERS = struct.Struct("<8Q")

_NUMBERS = (
    *("inner", "n", "b", "k", "candidates", "steps", "rest", "tile", "parts", "splits"),
    *("block_rows", "passes", "vector_out", "length", "width"),
    *("entries", "range", "run", "longer", "droppers", "group", "watched", "lets_next"),
)


class DriverError(RuntimeError):
    """The CUDA driver is missing or refused a call."""


class _Attribute(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint), ("pad", ctypes.c_uint), ("value", ctypes.c_uint * 16))


class _Config(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


@functools.cache
def _driver() -> Any:
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise DriverError("no CUDA driver was found (libcuda.so.1); install the NVIDIA driver")


def _check(call: str, *args: Any) -> None:
    code = getattr(_driver(), call)(*args)
    if code:
        _fail(call, code)


def _fail(call: str, code: int) -> NoReturn:
    text = ctypes.c_char_p()
    _driver().cuGetErrorString(code, ctypes.byref(text))
    reason = (text.value or b"unknown error").decode()
    raise DriverError(f"{call} failed: {reason} (CUDA error {code})")


@functools.cache
def device_of(ordinal: int) -> Device:
    """What the launch policy must know of a device."""
    _check("cuInit", 0)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        _check("cuDeviceGetAttribute", ctypes.byref(value), number, ordinal)
        return value.value

    major, minor = attribute(75), attribute(76)
    return Device(
        arch=f"sm_{major}{minor}",
        multiprocessors=attribute(16),
        shared_per_block=attribute(97),
        clusters=major >= 9,
    )


def load(kernels: Sequence[Kernel], ordinal: int) -> list[int]:
    """Handles of kernels, loaded into the current context, which is that of device `ordinal`."""
    arch = device_of(ordinal).arch
    compile_kernels(kernels, arch)
    return [_handle(kernel, arch, ordinal) for kernel in kernels]


@functools.cache
def _handle(kernel: Kernel, arch: str, ordinal: int) -> int:
    library, entry, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    code = compile_kernel(kernel, arch)
    _check("cuLibraryLoadData", ctypes.byref(library), code, None, None, 0, None, None, 0)
    _check("cuLibraryGetKernel", ctypes.byref(entry), library, kernel.entry.encode())
    _check("cuKernelGetFunction", ctypes.byref(function), entry)
    return function.value or 0


_shared: dict[int, int] = {}
_shared_lock = threading.Lock()


def _allow_shared(function: ctypes.c_void_p, needed: int) -> None:
    """Asks for dynamic shared memory beyond what every kernel may have."""
    with _shared_lock:
        if needed > _shared.get(function.value or 0, _UNCHECKED_SHARED):
            _check("cuFuncSetAttribute", function, _MAX_SHARED, needed)
            _check("cuFuncSetAttribute", function, _SHARED_CARVEOUT, 100)
            _shared[function.value or 0] = needed


@dataclass(frozen=True)
class OutputLayout:
    """Where rows of values and indices are: strides in elements, as in `Problem`."""

    outer: int
    inner_stride: int
    step: int
    index_outer: int
    index_inner_stride: int
    index_step: int
    vector_out: bool  #: rows are contiguous, 16-byte aligned, and so is every b-th element


def pack_params(
    pointers: tuple[int, ...], strides: tuple[int, ...], numbers: dict[str, int]
) -> bytes:
    """Struct Params of ``params.cuh``: numbers that are not given are 0."""
    values = (numbers.get(name, 0) for name in _NUMBERS)
    return _PARAMS.pack(*pointers, numbers["rows"], *strides, *values)


class _Step:
    """A launch with all but the pointers and the stream filled in."""

    def __init__(
        self,
        launch: Launch,
        numbers: dict[str, int],
        strides: tuple[int, ...],
        function: int,
        begins_early: bool,
    ):
        numbers = {**numbers, **dict(launch.fields), "lets_next": int(launch.lets_next)}
        params = pack_params((0,) * 8, strides, numbers)
        self.params = ctypes.create_string_buffer(params, len(params))
        self.arguments = (ctypes.c_void_p * 1)(ctypes.addressof(self.params))
        self.swapped = launch.swapped
        self.function = ctypes.c_void_p(function)
        _allow_shared(self.function, launch.shared)
        self.config = _Config((launch.grid, 1, 1), (launch.block, 1, 1), launch.shared)
        cluster = _Attribute(_CLUSTER_DIMENSION, 0, (launch.cluster, 1, 1))
        early = _Attribute(_BEGINS_EARLY, 0, (1,))
        asked = [cluster] * (launch.cluster > 1) + [early] * begins_early
        self.attributes = (_Attribute * len(asked))(*asked)
        self.config.attributes = self.attributes
        self.config.attribute_count = len(asked)
        self.config_address = ctypes.byref(self.config)


class Program:
    """A schedule ready to launch on one device. Thread-safe; a launch allocates nothing.

    Parameters
    ----------
    problem, schedule
        From the launch policy.
    outer : int
        Stride of the problem's outer rows, in elements.
    out : OutputLayout
    ordinal : int
        The device, whose context is current.
    load : callable
        Loads kernels there.

    Raises
    ------
    CompileError, DriverError
    """

    def __init__(
        self,
        problem: Problem,
        schedule: Schedule,
        outer: int,
        out: OutputLayout,
        ordinal: int,
        load: Load = load,
    ):
        p = problem
        self.scratch_bytes = schedule.scratch_bytes
        numbers = {name: getattr(p, name) for name in ("inner", "n", "b", "k", "candidates")}
        numbers["vector_out"] = int(out.vector_out)
        strides = (
            *(outer, p.inner_stride, p.step),
            *(out.outer, out.inner_stride, out.step),
            *(out.index_outer, out.index_inner_stride, out.index_step),
        )
        handles = load([launch.kernel for launch in schedule.launches], ordinal)
        early = device_of(ordinal).clusters  # kernels wait for the stream by themselves; team.cuh
        self._steps = [
            _Step(launch, numbers, strides, handle, early)
            for launch, handle in zip(schedule.launches, handles, strict=True)
        ]
        keys = schedule.entries * schedule.key_bytes
        positions = schedule.entries * 4
        spare = schedule.spare_entries * schedule.key_bytes
        # Of keys, positions, spare keys, spare positions; keys first, which keeps them aligned.
        self._offsets = (0, keys + spare, keys, keys + spare + positions)
        self._swapped = (*self._offsets[2:], *self._offsets[:2])
        self._lock = threading.Lock()
        self._launch = _driver().cuLaunchKernelEx

    def launch(
        self, stream: int, arr: int, values: int, indices: int, scratch: int, exact: int = 0
    ) -> None:
        """Enqueue on a stream; all arguments are addresses.

        A problem with a certificate wants one for it: a byte for each row.
        """
        with self._lock:  # the arguments are copied by the time the driver returns
            for step in self._steps:
                keys, places, other, others = self._swapped if step.swapped else self._offsets
                _POINTERS.pack_into(
                    *(step.params, 0, arr, values, indices),
                    *(scratch + keys, scratch + places, scratch + other, scratch + others),
                    exact,
                )
                step.config.stream = stream
                code = self._launch(step.config_address, step.function, step.arguments, None)
                if code:
                    _fail("cuLaunchKernelEx", code)
