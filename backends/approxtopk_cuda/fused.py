"""Launch policy of both stages in one launch, the fused kernels. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from approxtopk.backend import itemsize_of

from . import loaded, reread, resident
from .candidates import candidate_bytes, indices_of, spared_bytes
from .exactness import at_its_end, coarsely, watched_steps
from .order import MAX_SORT, binned, sort_places
from .problem import Device, Launch, Problem
from .spread import is_spread, loads_in_flight, spread_space
from .teams import (
    certify_space,
    crowded,
    groups_for_bound,
    is_for_clusters,
    is_quick,
    merges,
    static_space,
    teams_for,
)
from .tiling import Tiling, tile_block, walk_of
from .variants import Walk, key_bytes, make_kernel

__all__ = ["fused_launch"]

#: Winners that a warp takes out one by one.
MAX_EXTRACT = 16
#: Rows that come in more waves than this have others to wait with.
_WAVES = 2


def fused_launch(p: Problem, device: Device) -> Launch | None:
    """One launch, a team to a row; None where that leaves the device idle or does not fit."""
    if p.sorted and p.k > MAX_SORT:
        return None
    for team, way in (
        (reread.TEAM, Way.REREAD),
        *((team, Way.RESIDENT) for team in resident.TEAMS),
    ):
        q = resident.bucketed(p, team)
        launch = _fused_by(q, device, team, 1, way)
        if launch is not None:
            fields = (("b", q.b), ("candidates", q.candidates), *launch.fields)
            return replace(launch, fields=fields)
    loads = loaded.teams_of(p, device)
    if loads and loaded.is_faster(p, device, loads[1]):
        launch = _fused_by(p, device, *loads, Way.LOADED)
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


class Way(Enum):
    """How a team selects from its row."""

    QUEUES = auto()
    RESIDENT = auto()  #: it stays in shared memory
    LOADED = auto()  #: it is in registers
    REREAD = auto()  #: its best lines are read again


def _fused_by(
    p: Problem, device: Device, team: int, cluster: int, way: Way = Way.QUEUES
) -> Launch | None:
    """One launch by teams of so many threads, or clusters of so many blocks, if they suit."""
    stays, kept = way is Way.RESIDENT, way is not Way.QUEUES
    if way is Way.REREAD and not (reread.fits(p, device) and reread.is_faster(p, device)):
        return None
    tiling = tile_block(p, device, team, cluster)
    if tiling is None or (stays and not resident.fits(p, device, tiling)):
        return None
    threads = 128 if team == 32 else team
    teams = threads // team
    blocks = p.rows * cluster // teams
    wave = max(1, -(-blocks // device.multiprocessors))  # blocks of a multiprocessor, in one wave
    least = 65536 // (threads * wave)
    walk, limit = _fused_walk(p, device, tiling, least)
    merge = tiling.parts > 1
    if threads * limit > 65536 or (team == 32 and merge and p.n > 1024):
        return None

    more = max(tiling.lists * p.kb if merge else 0, sort_places(p, team))
    # With one row to a multiprocessor a selection's latency counts, else its work.
    # Groups for a bound: of a thread's share of the candidates, or of those it found itself.
    shared_out = merge or cluster > 1
    groups = min(team, p.b * p.kb if shared_out else -(-p.b // tiling.v))
    # By other ways queues are for rows that are given nothing, mostly as too much reaches a bound.
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
    shared = teams * (inside.shared if inside else candidate_bytes(p, tiling, p.b * p.kb, more))
    if extract:
        shared = 0
    fixed = static_space(p, team)
    if inside:
        fixed += certify_space(p, team, cluster)
        fixed += _told_space(p, tiling.v, team * cluster) if held else 0
    macros = _at_once(p, tiling, walk) if held else {}
    wanted: tuple[tuple[str, int], ...] = ()
    if kept:
        room = 1024 // team
        walk = replace(walk, batch=loaded.BATCH)
    if way is Way.LOADED:
        shared = max(shared, loaded.space())
        macros = loaded.defines(p, team * cluster)
        wanted = (("wanted", loaded.wanted(p, team * cluster)),)
    elif way is Way.REREAD:
        shared = max(shared, reread.space(p, device, fixed))
        macros = reread.defines(p)
        wanted = (("wanted", reread.wanted(p)),)
    elif stays:
        shared = max(shared, resident.row_bytes(p, tiling))
        room = resident.blocks_of(device, threads, shared, fixed)
        macros = resident.defines(p, device, tiling, room)
    most = device.shared_per_block - teams * fixed
    # What a team is to select from is bounded as if indices were stored: of more it has not been
    # measured that this is faster than another launch.
    if shared + (0 if kept or extract else teams * spared_bytes(p, tiling)) > most:
        return None
    spread = cluster > 1 and not kept and is_spread(p, tiling, cluster)
    spread = spread and shared + spread_space(p, cluster) <= most
    if spread:
        shared += spread_space(p, cluster)
        walk, _ = _fused_walk(p, device, tiling, least, loads_in_flight(tiling))
    elif cluster > 1 and not (kept or is_for_clusters(p, device, spread=False)):
        return None
    if stays and not resident.is_faster(p, device, tiling, room):
        return None
    if way is Way.REREAD and not reread.has_room(device, shared + fixed):
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
        INDICES=indices_of(p, tiling),
        ALL=p.k == p.candidates and not p.repair,
        QUICK=quick,
        HELD=held,
        SPREAD=spread,
        EVEN=not kept and _even(p, tiling, walk, in_waves),
        UNALIGNED=tiling.unaligned,
        GROUPS=groups_for_bound(p.k, p.b * p.kb, team),
        **walk.defines(),
        **macros,
        **(inside.defines if inside else {}),
    )
    kernel = replace(kernel, wave=wave if wave <= room else 0)
    grid = -(-p.rows // teams) * cluster
    fields = (*tiling.fields(p), *(inside.fields if inside else ()), *wanted)
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


def _fused_walk(
    p: Problem, device: Device, tiling: Tiling, least: int, most: int = 16
) -> tuple[Walk, int]:
    """The walk and its registers; what comes after it in the same kernel needs some as well."""
    # Selection, compiled for sm_80, takes some registers more.
    return walk_of(p, tiling, least, more=0 if device.halves else 10, most=most)


def _told_space(p: Problem, v: int, threads: int) -> int:
    """The same for what `threads` of all blocks tell of what they dropped; see losslist.cuh."""
    key = key_bytes(p.dtype)
    if not p.repair:
        return 16 + threads // 8
    group = -(-(v * (key + 4) + key + 4) // 16) * 16  # aligned
    return 8 + 32 * group
