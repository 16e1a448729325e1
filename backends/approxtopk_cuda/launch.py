"""Launch policy: from a problem and a device to the launches that solve it. Pure functions."""

from __future__ import annotations

from dataclasses import replace

from .exactness import certified, lost_group
from .fused import fused_launch
from .order import MAX_SORT, binned, sort_launches, sort_places
from .problem import MAX_GRID, Device, Launch, Problem, Schedule
from .short import short
from .teams import at_once, groups_for_bound, is_quick, static_space
from .tiling import Tiling, list_bytes, tile_grid, walk_of
from .variants import aligned, entry_bytes, key_bytes, make_kernel, turning_registers

__all__ = ["refuses", "schedule"]

MAX_KB = 16
#: Kernels that let the next launch begin early, if they end a call. A call's stage 2 leaves all but
#: a few multiprocessors to the next one's blocks, and blocks of short rows are done before these
#: have begun: they would be in the way.
_LETTING = ("fused", "stage1")
#: What part of the device's places a launch must take for those of the next one to be shared out
#: evenly.
_FULL = 0.75
#: Blocks of a cluster that share a row's candidates, and how many make that worth while.
SELECT_CLUSTER, LEAST_SHARED = 8, 16384


def refuses(problem: Problem) -> str | None:
    """One sentence on why the kernels can't solve a problem, or None."""
    p = problem
    if p.kb > MAX_KB:
        return f"the CUDA kernels keep at most {MAX_KB} elements per bucket, not kb = {p.kb}"
    if p.n > 2**32 - 2:
        return f"the CUDA kernels index rows of at most 4294967294 elements, not n = {p.n}"
    if p.rows > MAX_GRID:
        return f"the CUDA kernels take at most {MAX_GRID} rows, not {p.rows}"
    if p.b * p.kb >= 2**32:
        return f"the CUDA kernels take fewer than 2**32 candidate places, not {p.b * p.kb}"
    return None


def schedule(problem: Problem, device: Device) -> Schedule | str:
    """The launches that solve a problem, or one sentence on why the kernels don't."""
    reason = refuses(problem)
    if reason is not None:
        return reason
    found = certified(problem, device, _stages(problem, device))
    *others, last = found.launches
    launches = [replace(launch, lets_next=True) for launch in others]
    launches.append(_letting_next_call(last, device))
    return replace(found, launches=tuple(launches))


def _letting_next_call(launch: Launch, device: Device) -> Launch:
    """The launch, and whether blocks of the next call may come as soon as all of it run.

    They take what room there is. Where a multiprocessor has room for more blocks than it got, some
    would get two of the next call's and others none, which takes 6 to 23 % longer. So a launch that
    comes in one wave must leave no more room than its blocks take; see `driver.spaced`.
    """
    if launch.kernel.source not in _LETTING or not device.clusters:  # older ones can't
        return launch
    processors, room = device.multiprocessors, int(dict(launch.kernel.defines)["MIN_BLOCKS"])
    if 2 * launch.grid <= processors or 2 * launch.grid >= 3 * room * processors:
        return replace(launch, lets_next=True)
    each = -(-launch.grid // processors)
    if launch.cluster > 1 or each > room:
        return replace(launch, lets_next=room == 1)
    even = each == 1 or launch.grid >= _FULL * each * processors
    return replace(launch, lets_next=even, abreast=each if even else 0)


def _stages(p: Problem, device: Device) -> Schedule:
    """Stages 1 and 2, and a sort."""
    size = key_bytes(p.dtype)
    listed = p.sorted and p.k > MAX_SORT
    tiling = tile_grid(p, device, 1 if listed else _most_splits(p, device))
    if p.k == p.candidates and not p.sorted and tiling.splits == 1:
        return Schedule("stage 1", (_stage1(p, tiling, output=True),), size)
    rows = short(p, device)
    if rows is not None:
        return Schedule("short rows", (rows,), size)
    fused = fused_launch(p, device)
    if fused is not None:
        return Schedule("fused", (fused,), size)

    places = p.b * p.kb
    first = _stage1(p, tiling, output=False, lost=not listed and tiling.splits == 1)
    shift = walk_of(p, tiling)[0].key_shift
    entries = p.rows * tiling.splits * places
    if not listed:
        second = _select(p, device, tiling.splits, shift)
        return Schedule("stage 1, stage 2", (first, second), size, entries)
    if p.k == p.candidates:
        return Schedule(
            "stage 1, sort", (first, *sort_launches(p, places, shift)), size, entries, entries
        )
    second = _select(p, device, 1, shift, listed=True)
    sort = sort_launches(p, p.k, shift, swapped=True)
    return Schedule("stage 1, stage 2, sort", (first, second, *sort), size, entries, p.rows * p.k)


def _stage1(p: Problem, tiling: Tiling, output: bool, lost: bool = False) -> Launch:
    """Stage 1 alone. `lost`: there is room for what certificates ask for."""
    merge = tiling.parts > 1
    group = lost_group(p, tiling) if lost and (p.certificate or p.repair) else 0
    turning = turning_registers(p.kb, tiling.v, p.index_bytes) if output and not merge else 0
    walk, limit = walk_of(p, tiling, more=turning)
    blocks = max(1, 65536 // limit // tiling.threads)
    kernel = make_kernel(
        "stage1",
        "stage1",
        p,
        tiling.threads,
        blocks,
        OUTPUT=output,
        MERGE=merge,
        LOST=group > 0,
        **walk.defines(),
    )
    tiles = -(-p.b // tiling.tile)
    work = -(-p.rows // tiling.block_rows) * tiles * tiling.splits
    shared = tiling.lists * list_bytes(p) if merge else 0
    grid, fields = min(work, MAX_GRID), tiling.fields(p)
    return Launch(kernel, grid, tiling.threads, shared, fields=fields, lost_group=group)


# ---- stage 2 ------------------------------------------------------------------------------------


def _most_splits(p: Problem, device: Device) -> int:
    """Blocks that may share a bucket: stage 2 merges their lists in its shared memory."""
    space = device.shared_per_block - static_space(p, 1024)
    space -= sort_places(p, 1024) * entry_bytes(p.dtype)
    return max(1, space // (p.b * p.kb * entry_bytes(p.dtype)) - 1)


def _select(
    p: Problem, device: Device, splits: int, key_shift: int, listed: bool = False
) -> Launch:
    places = p.b * p.kb
    sort = 0 if listed else sort_places(p, 1024)
    entry = entry_bytes(p.dtype)
    room = device.shared_per_block - static_space(p, 1024)
    lists = places * splits if splits > 1 else 0
    shared = aligned(places + max(lists, sort)) * entry
    fits = splits > 1 or shared <= room
    cluster, share, groups = 1, 0, 0
    if splits == 1 and places >= LEAST_SHARED and device.clusters:
        share = aligned(-(-places // SELECT_CLUSTER))
        groups = groups_for_bound(-(-p.k // SELECT_CLUSTER), share, 1024)
        needed = aligned(2 * share + sort) * entry
        most = at_once(device, SELECT_CLUSTER) // SELECT_CLUSTER
        if p.rows <= most and 2 * p.k <= share and groups and needed <= room:
            cluster, shared, fits = SELECT_CLUSTER, needed, True
    kernel = make_kernel(
        "stage2",
        "stage2",
        p,
        1024,
        1,
        KB=p.kb,
        KEY_SHIFT=key_shift,
        STRIDED=p.step != 1,
        CLUSTER=cluster,
        MERGE=splits > 1,
        SHARED=fits,
        SORTED=p.sorted and not listed,
        BINNED=0 if listed else binned(p, 1024),
        LISTED=listed,
        ALL=p.k == p.candidates,
        QUICK=is_quick(p) and not listed and places >= 1024,
        HELD=0,
        GROUPS=0 if cluster > 1 else groups_for_bound(p.k, places, 1024),
        PART_GROUPS=groups,
    )
    fields = (("rows", p.rows), ("splits", splits), ("tile", share))
    shared = shared if fits else aligned(sort) * entry
    return Launch(kernel, p.rows * cluster, 1024, shared, cluster, fields)
