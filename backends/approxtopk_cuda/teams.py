"""Which threads share a row in the fused kernel. Pure arithmetic."""

from __future__ import annotations

from approxtopk.backend import itemsize_of

from .order import bins_of
from .problem import Device, Launch, Problem
from .variants import entry_bytes, key_bytes

__all__ = ["certify_space", "crowded", "merges", "static_space", "teams_for"]

#: Rows of a multiprocessor from which on they come in several waves, or nearly one of small blocks.
MANY_ROWS = 4
#: Bytes of L1 beyond the least there is, for as many loads as keep memory busy.
LEAST_L1 = 32 * 1024


def teams_for(p: Problem, device: Device) -> list[tuple[int, int]]:
    """Pairs (threads of a team, blocks of a cluster) to try, the preferred one first."""
    processors = device.multiprocessors
    places = p.b * p.kb
    if p.rows >= MANY_ROWS * processors:
        # A warp needs no barriers, but long rows need twice as many of them as are resident.
        fill = p.n <= 1024 or 32 * p.rows >= 2 * 1024 * processors
        warps = [(32, 1)] if places <= 512 and fill else []
        best = 128 if places <= 4096 else 256
        return warps + [(team, 1) for team in (best, 256, 512, 128)]
    step = p.b * itemsize_of(p.dtype)  # bytes of an element of each bucket
    if p.rows > processors:
        # No more threads than load a step at once, 16 bytes each: parts would have to be merged.
        return [(256, 1), (512, 1)] if step <= 16 * 256 else [(512, 1), (256, 1)]
    if p.n <= 8192 or 2 * p.rows > processors or not device.clusters:
        # Without clusters a row's time on one multiprocessor must not exceed two launches'.
        if p.n > 8192 and 2 * p.rows <= processors:
            return []
        # No more threads than load a step by 8 bytes each, where elements are narrow: their lists
        # take long to merge. Of wider ones as many as hide what memory takes.
        narrow = p.n <= 8192 or (itemsize_of(p.dtype) <= 2 and step <= 8 * 256)
        most = _lanes(p, 1) if narrow else max(512, _lanes(p, 1))
        return [(most, 1), (512, 1), (256, 1)]
    cluster = 2
    while cluster < 8 and 2 * cluster * p.rows <= processors:
        cluster *= 2
    if 4 * cluster * p.rows < processors and p.n > 65536:
        return []
    most = _lanes(p, cluster)
    return [(most, cluster), (512, cluster), (256, cluster)]


def _lanes(p: Problem, cluster: int) -> int:
    """No more threads than take all buckets at once, for parts would have to be merged.

    They load 16 bytes each, but 8 of 16-bit elements where that makes 512 of 256.
    """
    lanes = p.b * itemsize_of(p.dtype) // (16 * cluster)
    half = lanes == 256 and itemsize_of(p.dtype) == 2
    return 1024 if lanes > 512 else 512 if lanes > 256 or half else 256


def merges(launch: Launch) -> bool:
    """Whether buckets are shared, in parts whose lists are merged."""
    return dict(launch.kernel.defines)["MERGE"] == "1"


def crowded(p: Problem, device: Device, launch: Launch) -> bool:
    """Whether shared memory keeps out blocks that there are registers for, or loads in flight.

    What is on its way from memory has a place in L1, which is what blocks leave of the same memory.
    One block in eight is no loss, but where all would come in one wave.
    """
    macros = dict(launch.kernel.defines)
    if p.rows < MANY_ROWS * device.multiprocessors or macros["TEAM"] != str(launch.block):
        return False
    blocks = int(macros["MIN_BLOCKS"])
    wave = -(-launch.grid // device.multiprocessors)
    wanted = wave if wave <= blocks else blocks - blocks // 8
    fixed = static_space(p, launch.block) + (
        certify_space(p, launch.block) if p.certificate or p.repair else 0
    )
    room = device.shared_in_all
    if p.n * itemsize_of(p.dtype) % 128:  # loads of a warp touch more lines of L1 than they fill
        room -= LEAST_L1
    return wanted * (launch.shared + fixed + device.shared_reserved) > room


def static_space(p: Problem, team: int) -> int:
    """Static shared memory of a team, and a little more; see selectspace.cuh."""
    bins = bins_of(team)
    room = 352 if team >= 256 else 96
    key, warps = key_bytes(p.dtype), _per_warp(team)
    return -(-(4 * bins + 2 * key * room + (2 * key + 4) * warps + 48) // 16) * 16


def certify_space(p: Problem, team: int) -> int:
    """Static shared memory of a team for certificate and repair; see hidden.cuh."""
    known, entry = 32 if p.repair or team >= 512 else 1, entry_bytes(p.dtype)
    warps = _per_warp(team)
    return -(-((2 * known + warps) * entry + 4 * max(known, warps) + 40) // 16) * 16


def _per_warp(team: int) -> int:
    """Places for each warp; see selectspace.cuh."""
    return 32 if team >= 512 else team // 32
