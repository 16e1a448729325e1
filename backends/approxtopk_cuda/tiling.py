"""How a block's threads share rows, buckets and parts of buckets. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from approxtopk.backend import itemsize_of

from .problem import Device, Problem
from .teams import takes_whole
from .variants import (
    LIMITS,
    Walk,
    entry_bytes,
    key_bytes,
    least_registers,
    queues_for,
    registers,
    wave_limits,
    widest_load,
)

__all__ = ["Tiling", "list_bytes", "tile_block", "tile_grid", "walk_of"]

#: Threads of a block of stage 1 alone: few, so that the last blocks leave little idle; more where
#: they share buckets.
THREADS, SHARING_THREADS = 128, 256
#: Bytes of neighbouring buckets that a block should read at each step, at least.
_LEAST_RUN = 64
#: Steps of a walk that are worth what the ends of an unaligned row cost. The kernels need a whole
#: one: else the row would begin and end in the same chunk.
_LEAST_CHUNKS = 4
#: Blocks of a multiprocessor, at most, for one more or less to matter; and what share of the device
#: must be won by smaller ones.
_COUNTED, _EVENER = 4, 0.1
#: Shared memory for the lists of a block, at most: two blocks of a multiprocessor fit.
_MOST_LISTS = 96 * 1024


@dataclass(frozen=True)
class Tiling:
    """A block's tile: `block_rows` rows, `tile` buckets, `parts` parts of each bucket."""

    threads: int
    v: int
    rows_first: bool
    block_rows: int
    tile: int
    parts: int
    splits: int
    passes: int
    steps: int  #: that a thread walks, at most
    queues: str
    limits: tuple[int, ...] = LIMITS  #: registers of a thread to choose from
    unaligned: bool = False  #: loads are wider than rows are aligned; see params.cuh

    @property
    def lists(self) -> int:
        """Lists to merge."""
        return self.block_rows * self.tile * self.parts

    def fields(self, p: Problem) -> tuple[tuple[str, int], ...]:
        """What the kernel is told."""
        stride = p.b * self.parts * self.splits
        return (
            ("rows", p.rows),
            ("steps", p.n // stride),
            ("rest", p.n % stride),
            ("tile", self.tile),
            ("parts", self.parts),
            ("splits", self.splits),
            ("block_rows", self.block_rows),
            ("passes", self.passes),
        )


def tile_grid(p: Problem, device: Device, most_splits: int) -> Tiling:
    """Stage 1 alone: enough threads to fill the device, where the problem has them.

    With `most_splits` above 1 blocks may share a bucket, for stage 2 to merge.
    """
    longest = -(-p.n // p.b)
    rows_first = _rows_first(p)
    threads = THREADS
    v = _width(p, device, longest, rows_first, most=threads)
    rows_at_least = min(_floor_power_of_two(p.rows), 32) if rows_first else 1

    wanted = device.multiprocessors * _resident(p, device, v, longest)
    shortage = wanted * v / (p.rows * p.b)
    walkable = max(1, longest // max(4, 2 * p.kb))  # merging must not cost as much as walking
    # A part should be worth its merging: 16 steps, fewer where most of the device would be idle.
    worth = min(shortage, max(longest / 16, shortage / 4))
    parts = min(_floor_power_of_two(walkable), _floor_power_of_two(worth))
    parts = max(parts, _least_parts(p, v, longest))
    if parts > 1:
        threads = SHARING_THREADS
    space = threads * v  # virtual buckets of a block
    # What a block can hold: whole buckets of a run of memory, in shared memory when merging.
    run = 1
    if p.interleaved and not rows_first:
        run = min(p.b, max(v, _LEAST_RUN // itemsize_of(p.dtype))) if p.b % v == 0 else p.b
    most = max(_least_parts(p, v, longest), _floor_power_of_two(space // (rows_at_least * run)))
    lists = _MOST_LISTS // list_bytes(p)
    splits = 1
    if parts > most:
        parts = most
        blocks = p.rows * -(-p.b * parts // space)
        splits = max(1, min(4 * device.multiprocessors // blocks, walkable // parts, most_splits))
    elif parts > 1:
        if p.kb > 1 and itemsize_of(p.dtype) in (1, 8) and space <= lists:
            # Parts whose steps fit a byte: their queues are cheaper.
            counted = _ceil_power_of_two(longest / 254)
            parts = max(parts, counted if counted <= min(most, walkable) else 1)
        if 2 * parts <= most and _evener(p.rows * p.b * parts / space, device):
            threads //= 2
    if splits > 1:
        parts = max(parts, 2)

    block_rows, tile = _shape(p, v, threads, parts, rows_at_least)
    if parts > 1:
        while block_rows * tile * parts > lists and block_rows > rows_at_least:
            block_rows //= 2
        group = v if p.interleaved else 1  # buckets that a thread takes at once
        if block_rows * tile * parts > lists and tile > group and p.b % group == 0:
            tile = max(group, lists // (block_rows * parts) // group * group)
    steps = -(-longest // (parts * splits))
    queues = queues_for(p.dtype, p.kb, steps, v, device.halves)
    limits = wave_limits(p.dtype, p.kb) if shortage < 2 / 3 else LIMITS
    return Tiling(threads, v, rows_first, block_rows, tile, parts, splits, 1, steps, queues, limits)


def tile_block(p: Problem, device: Device, team: int, cluster: int) -> Tiling | None:
    """Stage 1 of the fused kernel: a cluster of blocks, or a warp, takes all buckets of a row.

    Of rows that begin anywhere it reads whole chunks, as of aligned ones, where a row has enough.
    What is in front of such a row has indices that wrap, so that these must be far from 2**32.
    """
    if p.alignment < 16 and p.interleaved and p.step == 1 and p.n < 2**31:
        longest = p.n + 16 // itemsize_of(p.dtype) - 1  # with what its first chunk has in front
        found = _tile_block(replace(p, alignment=16, n=longest), device, team, cluster)
        enough = found is not None and p.n >= _LEAST_CHUNKS * p.b * found.parts
        if found is not None and enough and found.v * itemsize_of(p.dtype) > p.alignment:
            return replace(found, unaligned=True)
    return _tile_block(p, device, team, cluster)


def _tile_block(p: Problem, device: Device, team: int, cluster: int) -> Tiling | None:
    if _rows_first(p):
        return None
    longest = -(-p.n // p.b)
    share = -(-p.b // cluster)
    v = _width(p, device, longest, False, most=team)
    few = p.rows <= device.multiprocessors
    short = team == 32 or (few and p.n <= 8192)

    def too_wide(v: int) -> bool:
        """Whether narrower loads cost less than what comes with these, of a team's threads."""
        uneven = cluster > 1 and p.b % v > 0  # needs parts, and these all buckets in one block
        merging = short and p.b < team * v
        parted = 2 * share <= team * v  # parts of buckets, whose lists would be merged
        if few and not takes_whole(p) and itemsize_of(p.dtype) > 2:
            parted = parted and team * v < 4 * share and v * itemsize_of(p.dtype) == 16
        return uneven or merging or parted

    while p.interleaved and _narrower(p, v) and too_wide(v):
        v //= 2
    whole = cluster == 1 and p.b <= team * v  # a pass takes all buckets
    least = _least_parts(p, v, longest)
    if p.interleaved:
        if p.b % v and not whole:
            return None
        if cluster > 1 and share < v:
            return None
        passes = -(-share // (team * v))
        tile = p.b if whole else -(-share // (passes * v)) * v
        parts = max(least, min(_floor_power_of_two(team * v // tile), _floor_power_of_two(longest)))
        if p.b % v == 0:
            parts = max(1, min(parts, longest // 2)) if longest > 1 else 1
        if tile * parts > team * v:
            return None
    else:
        parts = max(least, min(team * v, _floor_power_of_two(max(1, team * v // share))))
        parts = max(v, min(parts, _ceil_power_of_two(longest)))
        tile = min(share, team * v // parts)
        passes = -(-share // tile)
    steps = -(-longest // parts)
    queues = queues_for(p.dtype, p.kb, steps, v, device.halves)
    complement = 0 if p.largest else 2  # registers for keys of the smallest
    if least_registers(p.dtype, p.kb, v, queues) + complement > 65536 // team:
        return None
    return Tiling(team, v, False, 1, tile, parts, 1, passes, steps, queues)


def list_bytes(p: Problem) -> int:
    """Shared memory of a list to merge: its entries, and the best key lost where that is asked."""
    lost = key_bytes(p.dtype) if p.certificate or p.repair else 0
    return p.kb * entry_bytes(p.dtype) + lost


def _rows_first(p: Problem) -> bool:
    """Whether neighbouring threads should take neighbouring rows: they are closer in memory."""
    return p.step != 1 and p.inner >= 8 and abs(p.inner_stride) < abs(p.step)


def _width(p: Problem, device: Device, longest: int, rows_first: bool, most: int) -> int:
    """Elements of a load: neighbouring buckets, or neighbouring elements of a contiguous bucket."""
    if p.step != 1 or rows_first:
        return 1
    v = widest_load(p.dtype, p.kb, p.alignment, longest, device.halves)
    if p.interleaved:
        # A b that v does not divide needs parts, and all buckets in one block.
        space = most * v * list_bytes(p)
        fits = p.b % v == 0 or (p.b <= most and longest >= 2 * v and space <= _MOST_LISTS)
    else:
        fits = p.n % p.b == 0 and longest % v == 0
    if fits:
        return v
    while v > 1 and not (p.b % v == 0 if p.interleaved else p.n % p.b == 0 and longest % v == 0):
        v //= 2
    return v if v * itemsize_of(p.dtype) in (4, 8, 16) else 1


def _narrower(p: Problem, v: int) -> bool:
    """Whether half as wide a load is one."""
    return v > 1 and v // 2 * itemsize_of(p.dtype) >= 4


def _least_parts(p: Problem, v: int, longest: int) -> int:
    """Fewest parts of a bucket that loads of v elements need, or that make them coalesce."""
    if p.interleaved:
        return 1 if p.b % v == 0 else v
    if _rows_first(p):
        return 1
    return min(32 * v, max(v, _floor_power_of_two(longest)))


def _shape(p: Problem, v: int, threads: int, parts: int, rows_at_least: int) -> tuple[int, int]:
    """Rows and buckets of a block."""
    space = threads * v
    if rows_at_least > 1 or _rows_first(p):
        tile = max(1, min(p.b, threads // (rows_at_least * parts)))
        return rows_at_least, tile
    if p.b * parts <= space:
        return max(1, min(p.rows, space // (p.b * parts))), p.b
    tile = space // parts
    return 1, max(1, tile // v * v if p.interleaved else tile)


def _resident(p: Problem, device: Device, v: int, longest: int) -> int:
    """Threads of a multiprocessor, by their registers."""
    queues = queues_for(p.dtype, p.kb, longest, v, device.halves)
    return 65536 // registers(p.dtype, p.kb, v, queues).limit


def _evener(blocks: float, device: Device) -> bool:
    """Whether twice as many blocks of half the threads leave far less of the device idle."""
    each = blocks / device.multiprocessors
    return 1 <= each <= _COUNTED and 2 * math.ceil(each) >= math.ceil(2 * each) + _EVENER * each


def _floor_power_of_two(x: float) -> int:
    return 1 << (max(1, int(x)).bit_length() - 1)


def _ceil_power_of_two(x: float) -> int:
    return 1 << (max(1, -int(-x // 1)) - 1).bit_length()


def walk_of(
    p: Problem, tiling: Tiling, least: int = 0, more: int = 0, most: int = 16
) -> tuple[Walk, int]:
    """The walk, and the registers of its threads, of which `least` can be had anyway.

    `most`: loads of a thread in flight, where few threads are on a multiprocessor.
    """
    few = least >= 128  # threads of a multiprocessor, so that each has many loads in flight
    limits = LIMITS[1:] if few else tiling.limits
    at_most = min(most, tiling.steps) if few and tiling.steps >= 16 else 8
    queues, strided = tiling.queues, p.step != 1
    budget = registers(p.dtype, p.kb, tiling.v, queues, limits, more, at_most)
    pairs = budget.limit > 64
    walk = Walk(
        *(p.kb, tiling.v, budget.batch, queues),
        *(p.interleaved, strided, tiling.rows_first, pairs),
    )
    return walk, budget.limit
