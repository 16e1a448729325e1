"""Launch policy of results in order: by bins where they are, or by launches of their own.

What the former is is told in ``kernels/order.cuh``, the latter in ``kernels/sort.cu``.
"""

from __future__ import annotations

from .problem import MAX_GRID, Launch, Problem
from .variants import entry_bytes, key_bytes, make_kernel

__all__ = ["MAX_SORT", "binned", "bins_of", "sort_launches", "sort_places"]

#: Winners that a block puts in order; more of them take launches of their own.
MAX_SORT = 4096
#: Entries of a run that `sort_runs` sorts, and that a block of `merge_runs` merges.
_RUN = 2048


def bins_of(team: int) -> int:
    """Bins that a team counts candidates by; see selectspace.cuh."""
    return 2048 if team >= 512 else 4 * team


def binned(p: Problem, team: int) -> int:
    """Whether results are put in order by bins: 2 if these are too few; see order.cuh."""
    if not p.sorted or p.k > 2 * bins_of(team) or p.b * p.kb > 65536:
        return 0
    return 1 if p.k <= bins_of(team) else 2


def sort_places(p: Problem, team: int) -> int:
    """Places that it takes to put results in order; see finish.cuh."""
    level = binned(p, team)
    if level:
        return 4 * bins_of(team) // key_bytes(p.dtype) if level == 2 else 0
    return 1 << (p.k - 1).bit_length() if p.sorted else 0


def sort_launches(
    p: Problem, length: int, key_shift: int, swapped: bool = False
) -> tuple[Launch, ...]:
    """Launches that sort `length` entries of each row; they read the spare ones if `swapped`."""
    launches: list[Launch] = []
    width = _RUN
    merging = False
    while True:
        last = width >= length if not merging else 2 * width >= length
        threads = 256 if merging else 512
        kernel = make_kernel(
            "sort",
            "merge_runs" if merging else "sort_runs",
            p,
            threads,
            1024 // threads,
            OUTPUT=last,
            KEY_SHIFT=key_shift,
            STRIDED=p.step != 1,
            BINNED=not merging,
        )
        grid = min(p.rows * -(-length // _RUN), MAX_GRID)
        shared = _RUN * entry_bytes(p.dtype)
        fields = (("rows", p.rows), ("length", length), ("width", width))
        launches.append(Launch(kernel, grid, threads, shared, fields=fields, swapped=swapped))
        if last:
            return tuple(launches)
        if merging:
            width *= 2
        merging = True
        swapped = not swapped
