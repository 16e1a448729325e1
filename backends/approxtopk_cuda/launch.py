"""Launch policy: from a problem and a device to the launches that solve it. Pure functions."""

from __future__ import annotations

from dataclasses import replace

from approxtopk.backend import itemsize_of

from . import loaded, resident
from .exactness import at_its_end, certified, coarsely, lost_group, watched_steps
from .order import MAX_SORT, binned, sort_launches, sort_places
from .problem import MAX_GRID, Device, Launch, Problem, Schedule
from .short import short
from .teams import at_once, certify_space, crowded, is_quick, merges, static_space, teams_for
from .tiling import Tiling, list_bytes, tile_block, tile_grid
from .variants import (
    LIMITS,
    Walk,
    aligned,
    entry_bytes,
    key_bytes,
    make_kernel,
    registers,
    turning_registers,
)

__all__ = ["refuses", "schedule"]

MAX_KB = 16
#: Winners that a warp takes out one by one.
MAX_EXTRACT = 16
#: Rows that come in more waves than this have others to wait with.
_WAVES = 2
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
    fused = _fused(p, device)
    if fused is not None:
        return Schedule("fused", (fused,), size)

    places = p.b * p.kb
    first = _stage1(p, tiling, output=False, lost=not listed and tiling.splits == 1)
    shift = _walk(p, tiling)[0].key_shift
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


def _walk(p: Problem, tiling: Tiling, least: int = 0, more: int = 0) -> tuple[Walk, int]:
    """The walk, and the registers of its threads, of which `least` can be had anyway."""
    few = least >= 128  # threads of a multiprocessor, so that each has many loads in flight
    limits = LIMITS[1:] if few else tiling.limits
    at_most = 16 if few and tiling.steps >= 16 else 8
    queues, strided = tiling.queues, p.step != 1
    budget = registers(p.dtype, p.kb, tiling.v, queues, limits, more, at_most)
    pairs = budget.limit > 64
    walk = Walk(
        *(p.kb, tiling.v, budget.batch, queues),
        *(p.interleaved, strided, tiling.rows_first, pairs),
    )
    return walk, budget.limit


def _stage1(p: Problem, tiling: Tiling, output: bool, lost: bool = False) -> Launch:
    """Stage 1 alone. `lost`: there is room for what certificates ask for."""
    merge = tiling.parts > 1
    group = lost_group(p, tiling) if lost and (p.certificate or p.repair) else 0
    turning = turning_registers(p.kb, tiling.v, p.index_bytes) if output and not merge else 0
    walk, limit = _walk(p, tiling, more=turning)
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


# ---- both stages in one launch ------------------------------------------------------------------


def _fused(p: Problem, device: Device) -> Launch | None:
    """One launch, a team to a row; None where that leaves the device idle or does not fit."""
    if p.sorted and p.k > MAX_SORT:
        return None
    for team in resident.TEAMS:
        q = resident.bucketed(p, team)
        launch = _fused_by(q, device, team, 1, stays=True)
        if launch is not None:
            fields = (("b", q.b), ("candidates", q.candidates), *launch.fields)
            return replace(launch, fields=fields)
    loads = loaded.teams_of(p, device)
    if loads and loaded.is_faster(p, device, loads[1]):
        launch = _fused_by(p, device, *loads, loads=True)
        if launch is not None:
            return launch
    # Rather a larger team than more results than its bins can put in order.
    ways = sorted(teams_for(p, device), key=lambda way: p.sorted and not binned(p, way[0]))
    tries = (_fused_by(p, device, team, cluster) for team, cluster in ways)
    first = next((launch for launch in tries if launch is not None), None)
    if first is None or not crowded(p, device, first):
        return first
    # Another team then that finds room for all of its threads, and merges no parts of buckets.
    others = (launch for launch in tries if launch is not None and not merges(launch))
    return next((launch for launch in others if not crowded(p, device, launch)), first)


def _fused_by(
    p: Problem,
    device: Device,
    team: int,
    cluster: int,
    stays: bool = False,
    loads: bool = False,
) -> Launch | None:
    """One launch by teams of so many threads, or clusters of so many blocks, if they suit.

    `stays`: a row stays in a block's shared memory; `loads`: in its registers.
    """
    tiling = tile_block(p, device, team, cluster)
    if tiling is None or (stays and not resident.fits(p, device, tiling)):
        return None
    threads = 128 if team == 32 else team
    teams = threads // team
    blocks = p.rows * cluster // teams
    wave = max(1, -(-blocks // device.multiprocessors))  # blocks of a multiprocessor, in one wave
    walk, limit = _fused_walk(p, device, tiling, least=65536 // (threads * wave))
    merge = tiling.parts > 1
    if threads * limit > 65536 or (team == 32 and merge and p.n > 1024):
        return None

    more = max(tiling.lists * p.kb if merge else 0, sort_places(p, team))
    places = p.b * p.kb + more
    # With one row to a multiprocessor a selection's latency counts, else its work.
    # Groups for a bound: of a thread's share of the candidates, or of those it found itself.
    shared_out = merge or cluster > 1
    groups = min(team, p.b * p.kb if shared_out else -(-p.b // tiling.v))
    kept = stays or loads  # what follows is for rows of which too much reaches a bound
    quick = is_quick(p) and 3 * p.k <= 2 * groups and wave <= 4 and team >= 256 and not kept
    held = quick and tiling.passes == 1 and not merge
    extract = team == 32 and not merge and tiling.passes == 1
    extract = extract and p.k <= MAX_EXTRACT and tiling.v * p.kb <= 4

    late = not (held or kept or extract or cluster > 1)
    watched = watched_steps(p, device, tiling, walk.batch) if late else 0
    room = 65536 // limit // threads  # blocks of a multiprocessor
    in_waves = blocks > _WAVES * device.multiprocessors * room
    coarse = not (extract or kept)
    coarse = coarse and coarsely(p, device, tiling, held, in_waves and not watched)
    inside = at_its_end(p, tiling, cluster, more, watched, coarse)
    shared = teams * (inside.shared if inside else aligned(places) * entry_bytes(p.dtype))
    if extract:
        shared = 0
    fixed = static_space(p, team)
    if inside:
        fixed += certify_space(p, team) + (_told_space(p, tiling.v, team * cluster) if held else 0)
    if stays:
        shared = max(shared, resident.row_bytes(p, tiling))
        room = resident.blocks_of(device, threads, shared, fixed)
        walk = replace(walk, batch=resident.BATCH)
    if loads:
        shared = max(shared, loaded.space())
        walk = replace(walk, batch=loaded.BATCH)
        room = 1024 // team
    if shared + teams * fixed > device.shared_per_block:
        return None
    if stays and not resident.is_faster(p, device, tiling, room):
        return None
    name = "extract" if extract else "fused"
    kernel = make_kernel(
        name,
        name,
        p,
        threads,
        room,
        TEAM=team,
        CLUSTER=cluster,
        MERGE=merge,
        SORTED=p.sorted,
        BINNED=binned(p, team),
        LISTED=0,
        SHARED=1,
        ALL=p.k == p.candidates and not p.repair,
        QUICK=quick,
        HELD=held,
        RESIDENT=resident.STEPS_AT_ONCE if stays else 0,
        RANKED=stays and resident.ranked(p, device, tiling, room),
        **(_at_once(p, tiling, walk) if held else {}),
        LOADED=loaded.lines(p, team * cluster) if loads else 0,
        MASKED=loads and p.b & (p.b - 1) == 0,
        ENDS=loads and loaded.ends(p),
        EVEN=not kept and _even(p, tiling, walk, in_waves),
        UNALIGNED=tiling.unaligned,
        GROUPS=_groups(p.k, p.b * p.kb, team),
        **walk.defines(),
        **(inside.defines if inside else {}),
    )
    kernel = replace(kernel, wave=wave if wave <= room else 0)
    grid = -(-p.rows // teams) * cluster
    fields = (*tiling.fields(p), *(inside.fields if inside else ()))
    if loads:
        fields += (("wanted", loaded.wanted(p, team * cluster)),)
    return Launch(kernel, grid, threads, shared, cluster, fields, certifies=True)


def _even(p: Problem, tiling: Tiling, walk: Walk, in_waves: bool) -> bool:
    """Whether all threads that walk have as many steps, and these fill their batches.

    Then a kernel is for that alone. Of 8- and 16-bit elements only certificates and repair by
    longer queues are faster so, and many rows of 16 bits by queues of one; and no walk of a few
    large batches, whose code it doubles.
    """
    if tiling.unaligned:
        return False
    longer = p.kb > 2 and (p.certificate or p.repair)
    single = p.kb == 1 and in_waves and itemsize_of(p.dtype) == 2
    if itemsize_of(p.dtype) <= 2 and not (longer or single):
        return False
    steps, rest = divmod(p.n, p.b * tiling.parts * tiling.splits)
    large = walk.batch > 8 and steps > walk.batch
    return rest == 0 and steps > 0 and steps % walk.batch == 0 and not large


def _at_once(p: Problem, tiling: Tiling, walk: Walk) -> dict[str, int]:
    """Macros of a kernel for this number of steps alone; none for one that walks any number.

    Preferred for certificates: without a loop, what was dropped takes fewer instructions to keep.
    Other kernels are no faster without it, and those for exact answers slower. There is a loop
    again where `leaner` leaves fewer loads in flight than steps.
    """
    steps, rest = divmod(p.n, p.b)
    alike = not tiling.unaligned and (p.interleaved or not rest)
    if p.repair or not (p.certificate and alike and steps + (rest > 0) <= walk.batch):
        return {}
    return {"STEPS": steps, "UNEVEN": rest > 0}


def _fused_walk(p: Problem, device: Device, tiling: Tiling, least: int) -> tuple[Walk, int]:
    """The walk and its registers; what comes after it in the same kernel needs some as well."""
    # Selection, compiled for sm_80, takes some registers more.
    return _walk(p, tiling, least, more=0 if device.halves else 10)


def _told_space(p: Problem, v: int, threads: int) -> int:
    """The same for what `threads` of all blocks tell of what they dropped; see losslist.cuh."""
    key = key_bytes(p.dtype)
    if not p.repair:
        return 16 + threads // 8
    group = -(-(v * (key + 4) + key + 4) // 16) * 16  # aligned
    return 8 + 32 * group


def _groups(k: int, places: int, threads: int) -> int:
    """Groups of a thread's candidates for a bound on the k-th; 0 where there are too few."""
    for groups in (1, 2, 4, 8):
        if k <= groups * threads <= places:
            return groups
    return 0


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
        groups = _groups(-(-p.k // SELECT_CLUSTER), share, 1024)
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
        GROUPS=0 if cluster > 1 else _groups(p.k, places, 1024),
        PART_GROUPS=groups,
    )
    fields = (("rows", p.rows), ("splits", splits), ("tile", share))
    shared = shared if fits else aligned(sort) * entry
    return Launch(kernel, p.rows * cluster, 1024, shared, cluster, fields)
