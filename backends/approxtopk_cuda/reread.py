"""Launch policy of rows whose best lines are read again. Pure functions.

How they are selected from is told in ``kernels/reread.cuh``.
"""

from __future__ import annotations

import math

from approxtopk.backend import itemsize_of

from . import loaded
from .problem import Device, Problem
from .teams import is_quick
from .variants import aligned

__all__ = ["TEAM", "defines", "fits", "has_room", "is_faster", "read_again", "space", "wanted"]

#: Threads of a team, and blocks of a multiprocessor: as many as have registers.
TEAM, _BLOCKS = 256, 4
#: Bytes of an element, and of a line.
_SIZES, _LINE = (2, 4), 16
#: Groups of lines of a thread, lines of a group at the most, and lines that are on their way.
_GROUPS, _MOST_LINES, _FLIGHT = 8, 4, 12
#: What a team has room for: elements of its list, cells of their buckets; elements that share one
#: with others, and as many that were dropped.
_LISTED, _CELLS, _OTHERS = 240, 4096, 64
#: Indices of 16-bit elements are of as many bits.
_MOST_ELEMENTS = 2**16
#: Bytes of a row, at least, by bytes of an element, for exact answers of few rows; elements of one
#: for other answers, and for those of many rows.
_SHORT, _LONG = {2: 16 * 1024, 4: 48 * 1024}, 24_000
#: Elements of a row, at most, for plans' answers, but for buckets of few steps: where it takes time
#: to tell what is dropped, where buckets have cells, and for certificates then.
_LONGEST, _LONGEST_BY_CELLS, _LONGEST_CERTIFIED, _FEW_STEPS = 40_000, 48_000, 56_000, 13
#: More than are wanted reach a bound, at the most.
_MORE = 1 / 8


def fits(p: Problem, device: Device) -> bool:
    """Whether usual rows can be selected from."""
    size = itemsize_of(p.dtype)
    if not (device.halves and p.step == 1 and size in _SIZES and is_quick(p)):
        return False
    if not (p.repair or p.interleaved) or (size == 2 and p.n > _MOST_ELEMENTS):
        return False
    if loaded.lines(p, TEAM) > _GROUPS * _MOST_LINES:
        return False
    reach = _reaching(p, wanted(p) * (1 + _MORE))
    if loaded.at_most(reach) > _LISTED:
        return False
    if p.repair:
        return True
    cells = min(p.b, _CELLS)
    others = reach + cells * math.expm1(-reach / cells)  # that share a cell with the one it has
    return max(loaded.at_most(loaded.dropped(p, reach)), loaded.at_most(others)) <= _OTHERS


def is_faster(p: Problem, device: Device) -> bool:
    """Whether that is faster, where it fits, than what else there is, as was measured.

    Exact answers gain most. What a plan's queues would have dropped takes time to tell, once or
    twice where rows come in as many waves, unless buckets have cells; queues of few steps each take
    more.
    """
    size, row = itemsize_of(p.dtype), p.n * itemsize_of(p.dtype)
    waves = p.rows / (_BLOCKS * device.multiprocessors)
    if p.rows <= 2 * device.multiprocessors:
        return False
    if p.repair:
        return p.n >= _LONG or (waves <= 2 and row >= _SHORT[size])
    if p.n < _LONG:
        return False
    if p.n <= _FEW_STEPS * p.b:
        return True
    if not _has_cells(p):
        return size == 2 and p.n <= _LONGEST and waves <= (2 if p.certificate else 1)
    if waves <= 1:
        return True
    if p.certificate:
        return p.n <= _LONGEST_CERTIFIED
    return waves > 2 and p.n <= _LONGEST_BY_CELLS


def defines(p: Problem) -> dict[str, int]:
    """Macros of ``reread.cuh``."""
    lines = _group_lines(p)
    return {
        "REREAD": lines,
        "GROUPS_EACH": -(-loaded.lines(p, TEAM) // lines),
        "FLIGHT": max(1, _FLIGHT // lines),
        "CELLS": _has_cells(p),
        **loaded.by_lines(p),
    }


def read_again(p: Problem) -> float:
    """Elements of a row in groups of lines that reach the bound."""
    groups = _reaching(p, wanted(p) * (1 + _MORE / 2)) / loaded.alike(p)
    return groups * _group_lines(p) * (_LINE // itemsize_of(p.dtype))


def space(p: Problem, device: Device, static: int) -> int:
    """Bytes of a block beside `static` ones: `RereadSpace` of reread.cuh, or more.

    So that there is room for as many blocks as registers are for, and no more: with all that is
    left as L1 they take 5 % longer.
    """
    entry = 4 if itemsize_of(p.dtype) == 2 else 8
    least = (_LISTED + 32 + 2 * _OTHERS) * entry + _LISTED + 4 * _CELLS + 2 * 384 + 40
    alone = device.shared_in_all // (_BLOCKS + 1) + 1 - static - device.shared_reserved
    return max(least, aligned(alone))


def has_room(device: Device, each: int) -> bool:
    """Whether so many bytes of a block leave room for as many as registers are for."""
    return _BLOCKS * (each + device.shared_reserved) <= device.shared_in_all


def wanted(p: Problem) -> int:
    """Elements to ask a bound for, so that k of them are left when others are dropped."""
    if p.repair:
        return p.k
    reach = _reaching(p, p.k * (1 + _MORE))
    return p.k + math.ceil(loaded.at_most(loaded.dropped(p, reach)))


def _has_cells(p: Problem) -> bool:
    """Whether each bucket of a plan keeps one, and has a cell for that."""
    return itemsize_of(p.dtype) == 2 and p.kb == 1 and p.b <= _CELLS and not p.repair


def _group_lines(p: Problem) -> int:
    return -(-loaded.lines(p, TEAM) // _GROUPS)


def _reaching(p: Problem, most: float) -> float:
    """Elements expected to reach a bound that the best of so many threads do."""
    return -TEAM * math.log1p(-most / TEAM) * loaded.alike(p) if most < TEAM else math.inf
