"""Launch policy of rows that stay in shared memory. Pure functions.

How they are selected from is told in ``kernels/resident.cuh``.
"""

from __future__ import annotations

import math
from dataclasses import replace

from approxtopk.backend import itemsize_of

from .problem import Device, Problem
from .teams import by_warps, is_quick
from .tiling import Tiling

__all__ = [
    "TEAMS",
    *("blocks_of", "bucketed", "defines", "fits", "is_faster", "row_bytes"),
]

#: Bytes of an element.
_SIZES = (2, 4)
#: Threads of a team, the preferred number first.
TEAMS = (128, 256)
#: Steps that a thread takes together.
_STEPS_AT_ONCE = 4
#: Registers of a thread.
_REGISTERS = 48
#: Elements that a team can list, and how many reach its bound for each of the k best.
_LISTED, _REACHING = 256, 1.5
#: Standard deviations of what a warp lists that there is room for.
_DEVIATIONS = 4
#: Steps of a bucket, at most: a bit of a word each.
_MOST_STEPS = 32
#: Threads of a multiprocessor, at least: some wait for memory while others select.
_THREADS = 768
#: Winners that a warp takes out of a short row sooner.
_HARDLY_ANY = 16
#: Bytes of a row: from which on exact answers gain, by bytes of an element; those of a plan; from
#: which on it may take all the time there is; and for a larger team to be worth its barriers.
_SHORT, _PLANNED, _LONG, _LARGE = {2: 7 * 1024, 4: 16 * 1024}, 12 * 1024, 24 * 1024, 48 * 1024
#: Steps that should not be fewer by wider loads.
_FEW_STEPS = 8
#: Waves of rows: hardly more than one, and many of a larger team or of short rows.
_FEW_WAVES, _MANY_WAVES = 2, 4
#: Winners so few that to compare all pairs takes no longer than to choose.
_FEW = 32
#: Bytes of a line of memory. Copies are fastest if those of shared memory begin with it.
_LINE = 128
#: Bytes of a kernel's own beside what all have.
_BARRIERS = 32


def bucketed(p: Problem, team: int) -> Problem:
    """The problem, and as many buckets as a team takes by its widest loads.

    Of exact answers only: any buckets do for these. Short rows have fewer, by narrower loads, if
    they are aligned.
    """
    size = itemsize_of(p.dtype)
    if not p.repair or size not in _SIZES:
        return p
    v = 16 // size
    while p.n < _FEW_STEPS * team * v and v * size > 4 and p.alignment == 16:
        v //= 2
    b = team * v
    if p.n < b:
        return p
    return replace(p, b=b, kb=1, candidates=b, interleaved=True)


def fits(p: Problem, device: Device, tiling: Tiling) -> bool:
    """Whether a block can keep each row, and each thread's buckets are its own."""
    size = itemsize_of(p.dtype)
    if not (device.halves and p.interleaved and p.step == 1 and size in _SIZES):
        return False
    if tiling.parts > 1 or tiling.passes > 1 or tiling.steps > _MOST_STEPS:
        return False
    # The copying engine takes 16 bytes at a time.
    aligned = tiling.v * size == 16 if tiling.unaligned else p.alignment == 16
    if not aligned or p.b * size % 16 or tiling.v * size < 4:
        return False
    warps = tiling.threads // 32
    listed = _REACHING * p.k / warps
    enough = listed + _DEVIATIONS * math.sqrt(listed) <= _LISTED // warps
    return enough and is_quick(p) and 3 * p.k <= 2 * -(-p.b // tiling.v)


def row_bytes(p: Problem, tiling: Tiling) -> int:
    """Shared memory for a row."""
    size = itemsize_of(p.dtype)
    cut = tiling.v * size + _LINE if tiling.unaligned else 0
    return -(-(p.n * size + cut) // 16) * 16


def blocks_of(device: Device, threads: int, shared: int, static: int) -> int:
    """Blocks of a multiprocessor, by dynamic and static shared memory of each."""
    each = shared + -(-(static + _BARRIERS) // _LINE) * _LINE + device.shared_reserved
    return min(65536 // _REGISTERS // threads, device.shared_in_all // each)


def defines(p: Problem, device: Device, tiling: Tiling, blocks: int) -> dict[str, int]:
    """Macros of ``resident.cuh``."""
    return {"RESIDENT": _STEPS_AT_ONCE, "RANKED": _ranked(p, device, tiling, blocks)}


def _ranked(p: Problem, device: Device, tiling: Tiling, blocks: int) -> bool:
    """Whether all pairs are compared for the k best, and not one warp chooses them.

    That is done sooner and takes more instructions, of 32-bit elements three for two.
    """
    size, row = itemsize_of(p.dtype), p.n * itemsize_of(p.dtype)
    if p.sorted or p.k <= _FEW:
        return True
    if row >= _LONG:
        return size == 2 or tiling.threads == TEAMS[0]
    return size == 2 and row >= _PLANNED and p.rows <= blocks * device.multiprocessors


def is_faster(p: Problem, device: Device, tiling: Tiling, blocks: int) -> bool:
    """Whether that is faster than what else there is, as was measured.

    Exact answers gain most: nothing is kept of what is dropped. Next are certificates, and those of
    a plan whose queues take long, if rows come in several waves or in less than one. None of these
    is faster than a warp for each row.
    """
    size, row = itemsize_of(p.dtype), p.n * itemsize_of(p.dtype)
    large = tiling.threads > TEAMS[0]
    if p.rows <= 2 * device.multiprocessors or blocks * tiling.threads < _THREADS:
        return False
    if large and (row < _LARGE or tiling.v * size < 16):
        return False
    if p.repair:
        return row >= (_SHORT[size] if p.k > _HARDLY_ANY else max(_SHORT.values()))
    if row < _SHORT[2] or by_warps(p, device):
        return False
    waves, longer = p.rows / (blocks * device.multiprocessors), p.kb > 1
    if size == 4 and not longer:
        return False
    if waves <= 1:
        return large or (row >= _LONG and size == 2 and longer and p.certificate)
    if row < _PLANNED:
        return size == 2 and (p.certificate or (longer and waves > _MANY_WAVES))
    if waves <= _FEW_WAVES:
        return row < _LONG and (longer or p.certificate)
    if p.alignment < 16 and not (longer or p.certificate):
        return False
    return not large or waves > _MANY_WAVES or (size == 2 and longer)
