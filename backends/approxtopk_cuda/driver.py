"""Loading kernels and launching them, by the CUDA driver and nothing above it."""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from .compile import compile_kernel, compile_kernels
from .problem import Device, Launch, Problem, Schedule
from .variants import Kernel, aligned

__all__ = ["DriverError", "Load", "OutputLayout", "Program", "device_of", "load"]

#: From kernels and a device's ordinal to the driver's handles (CUfunction) of them.
Load = Callable[[Sequence[Kernel], int], list[int]]

_STATIC_SHARED = 1  # CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
_MAX_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_SHARED_CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
_CLUSTER_DIMENSION = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
_BEGINS_EARLY = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
_LAUNCH_CARVEOUT = 14  # CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
_KNOWS_LAUNCH_CARVEOUT = 12080  # the driver, since CUDA 12.8

#: What the kernels need: the driver as CUDA writes versions, and compute capability.
OLDEST_DRIVER = 12000
OLDEST_DEVICE = (8, 0)
_UNCHECKED_SHARED = 32 * 1024  # more, with what a kernel has statically, must be asked for

#: struct Params of params.cuh: 8 pointers, rows, 9 strides, 24 numbers.
_PARAMS = struct.Struct("<8Qq9q24I")
_POINTERS = struct.Struct("<8Q")

_NUMBERS = (
    *("inner", "n", "b", "k", "candidates", "steps", "rest", "tile", "parts", "splits"),
    *("block_rows", "passes", "vector_out", "length", "width"),
    *("entries", "range", "run", "longer", "droppers", "group", "watched", "lets_next", "wanted"),
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
    """What the launch policy must know of a device.

    Raises
    ------
    DriverError
        There is no driver, or it is too old, or the device is.
    """
    if _version() < OLDEST_DRIVER:
        found, needed = (f"{v // 1000}.{v % 1000 // 10}" for v in (_version(), OLDEST_DRIVER))
        raise DriverError(f"the CUDA kernels need a driver of CUDA {needed} or newer, not {found}")
    _check("cuInit", 0)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        _check("cuDeviceGetAttribute", ctypes.byref(value), number, ordinal)
        return value.value

    major, minor = attribute(75), attribute(76)
    if (major, minor) < OLDEST_DEVICE:
        raise DriverError(
            f"the CUDA kernels need compute capability {'.'.join(map(str, OLDEST_DEVICE))} or "
            f"newer, not {major}.{minor}"
        )
    return Device(
        arch=f"sm_{major}{minor}",
        multiprocessors=attribute(16),
        shared_per_block=attribute(97),
        shared_in_all=attribute(81),
        shared_reserved=attribute(111),
        clusters=major >= 9,
    )


@functools.cache
def _version() -> int:
    value = ctypes.c_int()
    _check("cuDriverGetVersion", ctypes.byref(value))
    return value.value


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


#: Kilobytes of shared memory that a multiprocessor can have, up to what all of it is.
_SHARED_KILOBYTES = (8, 16, 32, 64, 100, 132, 164, 196, 228)
#: Blocks of a multiprocessor that are given more shared memory than they need.
_MOST_SPACED = 2
_asked: dict[int, tuple[int, int]] = {}  #: of a function, dynamic shared memory and carve-out
_asked_lock = threading.Lock()


def carveout(launch: Launch, device: Device, static: int, blocks: int) -> int:
    """Percent of a multiprocessor's shared memory that a launch should have there.

    That is for as many blocks as will run there at once, up to `blocks`: the rest is L1, and what
    is on its way from memory has a place in it. A kernel declares `static` bytes for each block.
    There are a few proportions; the driver takes the least that has no less than it is asked for.

    A cluster's blocks are neighbours, and not every multiprocessor has enough of them left. Where
    clusters fill the device some need places for two blocks, and large ones get all there is.
    """
    grid = launch.grid * (2 if launch.lets_next else 1)  # and that of the next call
    resident = min(blocks, -(-grid // device.multiprocessors))
    if launch.cluster > 1 and 2 * launch.grid > device.multiprocessors:
        if launch.shared > _UNCHECKED_SHARED:
            return 100
        resident = blocks
    each = static + launch.shared + device.shared_reserved
    sizes = (1024 * size for size in _SHARED_KILOBYTES)
    most = device.shared_in_all
    return 100 * next((size for size in sizes if resident * each <= size < most), most) // most


def spaced(launch: Launch, device: Device, static: int, blocks: int) -> Launch:
    """A launch of which a multiprocessor has no more than `launch.abreast` blocks, if it says so.

    `blocks` fit by what they need. If these are more, and few enough for the rest to be L1, they
    get more shared memory than they need; else the next launch waits for the end of this one.
    """
    if not launch.abreast or blocks <= launch.abreast:
        return launch
    if launch.abreast > _MOST_SPACED:
        return replace(launch, lets_next=False)
    each = device.shared_in_all // (launch.abreast + 1) + 1
    return replace(launch, shared=aligned(each - static - device.shared_reserved))


def _ask_shared(function: ctypes.c_void_p, launch: Launch, device: Device) -> tuple[Launch, int]:
    """The launch, `spaced` and allowed its dynamic shared memory, and the carve-out that it wants.

    Where a launch can't say it by itself its function has the most that any of them wants: with
    too little there would be fewer blocks.
    """
    blocks, static = ctypes.c_int(), ctypes.c_int()
    with _asked_lock:
        shared, most = _asked.get(function.value or 0, (_UNCHECKED_SHARED, 0))
        _check("cuFuncGetAttribute", ctypes.byref(static), _STATIC_SHARED, function)
        _check("cuFuncSetAttribute", function, _SHARED_CARVEOUT, 100)  # else fewer are counted

        def allow(asked: int) -> int:
            nonlocal shared
            if asked > shared:
                shared = asked
                _check("cuFuncSetAttribute", function, _MAX_SHARED, shared)
            _check(
                "cuOccupancyMaxActiveBlocksPerMultiprocessor",
                *(ctypes.byref(blocks), function, launch.block, ctypes.c_size_t(asked)),
            )
            return blocks.value

        launch = spaced(launch, device, static.value, allow(launch.shared))
        wanted = carveout(launch, device, static.value, allow(launch.shared))
        most = max(most, wanted)
        _check("cuFuncSetAttribute", function, _SHARED_CARVEOUT, most)
        _asked[function.value or 0] = shared, most
    return launch, wanted


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
        ordinal: int,
    ):
        self.function = ctypes.c_void_p(function)
        device = device_of(ordinal)
        launch, wanted = _ask_shared(self.function, launch, device)
        numbers = {**numbers, **dict(launch.fields), "lets_next": int(launch.lets_next)}
        params = pack_params((0,) * 8, strides, numbers)
        self.params = ctypes.create_string_buffer(params, len(params))
        self.arguments = (ctypes.c_void_p * 1)(ctypes.addressof(self.params))
        self.swapped = launch.swapped
        self.config = _Config((launch.grid, 1, 1), (launch.block, 1, 1), launch.shared)
        asked = [_Attribute(_CLUSTER_DIMENSION, 0, (launch.cluster, 1, 1))] * (launch.cluster > 1)
        if device.clusters:  # kernels wait for the stream by themselves; team.cuh
            asked.append(_Attribute(_BEGINS_EARLY, 0, (1,)))
        if _version() >= _KNOWS_LAUNCH_CARVEOUT:
            asked.append(_Attribute(_LAUNCH_CARVEOUT, 0, (wanted,)))
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
        self._steps = [
            _Step(launch, numbers, strides, handle, ordinal)
            for launch, handle in zip(schedule.launches, handles, strict=True)
        ]
        self._offsets = schedule.scratch_offsets
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
