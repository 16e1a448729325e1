"""Kernel variants: which queue, how wide a load, how many registers. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from approxtopk.backend import itemsize_of

if TYPE_CHECKING:
    from .problem import Problem

__all__ = [
    *("Kernel", "Registers", "Walk"),
    *("aligned", "entry_bytes", "key_bytes", "leaner", "make_kernel", "registers"),
]

_ELEMENT = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
}
#: Bits of the step in queues that keep it in one integer with the key.
_STEP_BITS = {"HalfQueues": 8, "PackedQueues": 16}
#: Registers that a walk needs beside its queues and loads.
_OVERHEAD = 26
#: Registers that walking and then selecting need beside queues and loads, by the size of a key.
_SELECTION = {4: 34, 8: 56}
#: Registers of a thread to choose from: as few as will do.
LIMITS = (64, 128, 256)
#: Registers of queues that still leave room for loads in flight.
_MOST_QUEUES = 100


def key_bytes(dtype: str) -> int:
    """Size of a candidate's key."""
    return 8 if itemsize_of(dtype) == 8 else 4


def entry_bytes(dtype: str) -> int:
    """Size of a candidate: its key and its position."""
    return key_bytes(dtype) + 4


def aligned(places: int) -> int:
    """Places of a list of keys, so that the next one is aligned to 16 bytes."""
    return -(-places // 4) * 4


@dataclass(frozen=True)
class Kernel:
    """A kernel to compile: a source file, an entry point in it, and its macros."""

    source: str
    entry: str
    defines: tuple[tuple[str, str], ...]
    wave: int = 0  #: blocks of a multiprocessor that take all rows at once; 0 if they come in waves


def leaner(kernel: Kernel) -> Kernel | None:
    """The same kernel for the same launch, in need of fewer registers or allowed more of them.

    Where many blocks are resident together, one less costs least, unless some rows would have to
    wait for another wave; then half of the loads in flight, down to two; then fewer blocks again.
    None where nothing is left to give.
    """
    macros = dict(kernel.defines)
    batch, blocks = int(macros.get("BATCH", 0)), int(macros["MIN_BLOCKS"])
    if batch < 4 and blocks == 1:
        return None
    if batch < 4 or blocks > (kernel.wave or 4):
        macros["MIN_BLOCKS"] = str(blocks - 1)
    else:
        macros["BATCH"] = str(batch // 2)
    return replace(kernel, defines=tuple(sorted(macros.items())))


@dataclass(frozen=True)
class Walk:
    """How a thread walks: what stage 1 is compiled for besides the problem's own dtype and order.

    Queues, and when each is preferred:
      HalfQueues    8-bit elements, up to 254 steps, sm_90 and later: cheapest.
      PackedQueues  8- and 16-bit elements, up to 65534 steps.
      ByteQueues    wider ones, kb > 1 and up to 254 steps: fewer operations and registers.
      PairQueues    the rest.
    """

    kb: int
    v: int  #: neighbouring elements that a thread loads at once
    batch: int  #: loads in flight
    queues: str
    interleaved: bool
    strided: bool
    rows_first: bool
    pairs: bool = True  #: whether registers allow `ByteQueues` to take two elements at once

    @property
    def key_shift(self) -> int:
        """Bits of a candidate's key below the element's own: its step, if that orders indices."""
        return _STEP_BITS.get(self.queues, 0) if self.interleaved else 0

    def defines(self) -> dict[str, str]:
        """Macros of ``stage1.cuh``."""
        return {
            "KB": str(self.kb),
            "V": str(self.v),
            "BATCH": str(self.batch),
            "KEY_SHIFT": str(self.key_shift),
            "QUEUES": self.queues,
            "PAIRS": str(int(self.pairs)),
            "INTERLEAVED": str(int(self.interleaved)),
            "STRIDED": str(int(self.strided)),
            "ROWS_FIRST": str(int(self.rows_first)),
        }


def common_defines(
    dtype: str, largest: bool, index_bytes: int, threads: int, blocks: int
) -> dict[str, str]:
    """Macros that every kernel needs."""
    return {
        "ELEMENT": _ELEMENT[dtype],
        "LARGEST": str(int(largest)),
        "INDEX_BYTES": str(index_bytes),
        "THREADS": str(threads),
        "MIN_BLOCKS": str(blocks),
        "BINNED": "0",
        "LOST": "0",
        "WINNERS": "0",
        "REPAIR": "0",
        "LATE": "0",
        "BY_THREAD": "0",
        "COARSE": "0",
        "STEPS": "0",
        "UNEVEN": "0",
        "EVEN": "0",
        "UNALIGNED": "0",
        "INDICES": "0",
        "SPREAD": "0",
        "RESIDENT": "0",
        "RANKED": "0",
        "LOADED": "0",
        "REREAD": "0",
        "MASKED": "0",
        "ENDS": "0",
    }


def make_kernel(
    source: str, entry: str, p: Problem, threads: int, blocks: int, **defines: object
) -> Kernel:
    """A kernel with the macros that all have, and some of its own."""
    macros = common_defines(p.dtype, p.largest, p.index_bytes, threads, blocks)
    macros.update((name, str(int(v) if isinstance(v, int) else v)) for name, v in defines.items())
    return Kernel(source, entry, tuple(sorted(macros.items())))


def queues_for(dtype: str, kb: int, steps: int, v: int, halves: bool) -> str:
    """The cheapest queues for a walk of this many steps.

    `halves` tells whether the device has maxima of 16-bit halves.
    """
    if itemsize_of(dtype) == 1 and steps < 255 and v >= 4 and halves:
        return "HalfQueues"
    if itemsize_of(dtype) <= 2 and steps < 65535:
        return "PackedQueues"
    return "ByteQueues" if kb > 1 and steps < 255 else "PairQueues"


def queue_registers(dtype: str, kb: int, v: int, queues: str) -> int:
    """Registers of v queues."""
    key = key_bytes(dtype) // 4 * kb
    each = {"PackedQueues": kb, "ByteQueues": key + (kb + 3) // 4, "PairQueues": key + kb}
    return v // 2 * kb if queues == "HalfQueues" else v * each[queues]


def widest_load(dtype: str, kb: int, alignment: int, steps: int, halves: bool) -> int:
    """Most neighbouring elements a thread can take: by alignment, and by registers for queues."""
    size = itemsize_of(dtype)
    v = max(1, alignment // size)
    while v > 1:
        held = queue_registers(dtype, kb, v, queues_for(dtype, kb, steps, v, halves))
        if held <= _MOST_QUEUES and v * size in (4, 8, 16):
            return v
        v //= 2
    return 1


@dataclass(frozen=True)
class Registers:
    """What a walk's registers allow."""

    batch: int
    limit: int  #: registers of a thread


def turning_registers(kb: int, v: int, index_bytes: int) -> int:
    """Registers for turning a warp's indices before they are stored; see ``stage1.cu``."""
    if v * index_bytes <= 32:
        return 0
    return 22 if v >= 16 else min(20, 4 * (kb - 1))


def registers(
    dtype: str,
    kb: int,
    v: int,
    queues: str,
    limits: tuple[int, ...] = LIMITS,
    more: int = 0,
    at_most: int = 8,
) -> Registers:
    """Loads in flight that fit, in the first of `limits` that holds the queues and `more`."""
    words = max(1, v * itemsize_of(dtype) // 4)
    merged = kb * (key_bytes(dtype) // 4 + 1)  # while two lists are merged, from shared memory
    held = max(queue_registers(dtype, kb, v, queues), merged if kb > 4 else 0)
    extra = max(1, kb // 2) * (key_bytes(dtype) // 4) + (6 if v >= 16 else 0)
    needed = _OVERHEAD + held + extra + more
    limit = next((r for r in limits if needed + 2 * words <= r), limits[-1])
    most = 2 if kb >= 8 or held >= 48 else at_most
    batch = next(
        n for n in (32, 16, 8, 4, 2) if n <= most and (n == 2 or needed + n * words <= limit)
    )
    return Registers(batch, limit)


def least_registers(dtype: str, kb: int, v: int, queues: str) -> int:
    """Fewest that will do for walking, with two loads in flight, and then selecting."""
    key = key_bytes(dtype)
    loads = 2 * max(1, v * itemsize_of(dtype) // 4)
    extra = max(1, kb // 2) * (key // 4)
    return _SELECTION[key] + queue_registers(dtype, kb, v, queues) + extra + loads


def wave_limits(dtype: str, kb: int) -> tuple[int, ...]:
    """Limits where blocks come in waves anyway: rather loads in flight than threads.

    But the more arithmetic an element needs, the more threads it takes to do it meanwhile.
    """
    if itemsize_of(dtype) == 8 or (itemsize_of(dtype) == 4 and kb > 4):
        return LIMITS
    if itemsize_of(dtype) == 4 and kb > 1:
        return (96 if kb == 2 else 72, *LIMITS[1:])
    return LIMITS[1:]
