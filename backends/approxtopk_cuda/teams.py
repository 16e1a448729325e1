"""Which threads share a row in the fused kernel. Pure arithmetic."""

from __future__ import annotations

from approxtopk.backend import itemsize_of

from .order import bins_of
from .problem import Device, Launch, Problem
from .variants import entry_bytes, key_bytes

__all__ = [
    "at_once",
    "by_warps",
    "certify_space",
    "crowded",
    "groups_for_bound",
    "is_for_clusters",
    "is_quick",
    "merges",
    "static_space",
    "takes_whole",
    "teams_for",
]

#: Rows of a multiprocessor from which on they come in several waves, or nearly one of small blocks.
MANY_ROWS = 4
#: Bytes of L1 beyond the least there is, for as many loads as keep memory busy.
LEAST_L1 = 32 * 1024
#: Winners that are found by ranking what reaches a bound, a quarter of it for 64-bit keys.
MAX_QUICK = 128
#: Blocks of a cluster.
MOST_BLOCKS = 8
#: Buckets, at most, of which an eighth leaves room on a multiprocessor for another block's, and
#: bytes of a row, at least, that are read sooner even so than by half as many blocks.
_MOST_SHARED, _LEAST_SHARED = 4096, 2 * 2**20
#: Bytes of a row, at most, that a cluster is quicker with than the whole device in two launches: of
#: one or two rows, that one block selects from; where rows are more, or certificate or repair would
#: be another launch, or of one or two rows that all blocks select from (see spread.py); and that
#: quick selection repairs. Of one or two rows half of that if elements are of 8 bytes, which take
#: more arithmetic.
_CLUSTERS, _CLUSTERS_INSTEAD, _CLUSTERS_REPAIR = 2**20, 2 * 2**20, 4 * 2**20
#: Elements of a row, at most, that a cluster is quicker with whatever the buckets and the layout;
#: and how many buckets longer rows must have, of neighbouring elements.
_SHORT, _BUCKETS = 65536, 1024
#: Winners beyond which 512 threads select so much sooner than 256 that narrower loads, or merging
#: parts of buckets, are worth it.
_MANY_WINNERS = 1024
#: Warps of a multiprocessor that hide what each of them waits for.
_WARPS = 12
#: Steps of a walk, of each element kept and two more, in whose time lists of its parts are merged.
_MERGING = 32


def teams_for(p: Problem, device: Device) -> list[tuple[int, int]]:
    """Pairs (threads of a team, blocks of a cluster) to try, the preferred one first."""
    processors = device.multiprocessors
    places = p.b * p.kb
    if p.rows >= MANY_ROWS * processors:
        warps = [(32, 1)] if by_warps(p, device) else []
        best = 128 if places <= 4096 else 256
        return warps + [(team, 1) for team in (best, 256, 512, 128)]
    if p.rows > processors:
        # No more threads than load a step at once, 16 bytes each: parts would have to be merged.
        best = 128 if p.rows > 2 * processors and places <= 4096 else 256
        while best < 512 and 16 * best < _step_bytes(p):
            best *= 2
        return [(best, 1), *((team, 1) for team in (256, 512) if team != best)]
    if not is_for_clusters(p, device, spread=not (p.sorted or is_quick(p))):
        return []
    most = _most_blocks(p, device)
    return _whole(p, device, most) if takes_whole(p) else _in_parts(p, device, most)


def _most_blocks(p: Problem, device: Device) -> int:
    """Blocks of a cluster, at most, that the device has room for."""
    most = 1
    while device.clusters and most < MOST_BLOCKS:
        sharing = 2 * most == MOST_BLOCKS and _may_share(p)
        if 2 * most * p.rows > (device.multiprocessors if sharing else at_once(device, 2 * most)):
            break
        most *= 2
    return most


def is_for_clusters(p: Problem, device: Device, spread: bool) -> bool:
    """Whether rows are for clusters, or blocks, even if that leaves most multiprocessors idle.

    `spread`: whether all blocks of a cluster would select.
    """
    if 4 * _most_blocks(p, device) * p.rows >= device.multiprocessors or p.n <= _SHORT:
        return True
    if p.b < _BUCKETS or p.step != 1 or not p.interleaved:
        return False
    each = itemsize_of(p.dtype)
    if p.repair and is_quick(p):
        most = _CLUSTERS_REPAIR
    elif p.rows > 2 or p.certificate or p.repair:
        most = _CLUSTERS_INSTEAD
    else:
        most = (_CLUSTERS_INSTEAD if spread else _CLUSTERS) // (1 if each < 8 else 2)
    return p.n * each <= most


def _may_share(p: Problem) -> bool:
    """Whether clusters of most blocks may be so many that some blocks share a multiprocessor."""
    return p.b <= _MOST_SHARED and p.n * itemsize_of(p.dtype) >= _LEAST_SHARED


def by_warps(p: Problem, device: Device) -> bool:
    """Whether each of many rows is for a warp, which needs no barriers.

    It takes its time for a long row, so that there must be others.
    """
    enough = p.n <= 1024 or p.rows >= _WARPS * device.multiprocessors
    return p.b * p.kb <= 512 and p.rows >= MANY_ROWS * device.multiprocessors and enough


def at_once(device: Device, cluster: int) -> int:
    """Blocks in clusters, alone on their multiprocessors, for which the device has room at once.

    Multiprocessors of a cluster are of one group. The groups of a device differ, in pairs, and what
    is left over in each takes no cluster: an H200's 132 have no room for 32 clusters of four.
    """
    return device.multiprocessors * (8 if cluster <= 2 else 7) // 8


def is_quick(p: Problem) -> bool:
    """Whether winners are so few that ranking what reaches a bound is quick; see quick.cuh."""
    return p.k <= (MAX_QUICK if key_bytes(p.dtype) == 4 else MAX_QUICK // 4)


def takes_whole(p: Problem) -> bool:
    """Whether each thread of few rows should walk whole buckets, however narrow its loads get.

    Else buckets are split in parts, which take less time to walk, and their lists are merged, which
    takes longer the longer these are.
    """
    short = -(-p.n // p.b) < _MERGING * (p.kb + 2)
    return p.interleaved and short and _step_bytes(p) >= 4 * 128


def _whole(p: Problem, device: Device, most: int) -> list[tuple[int, int]]:
    """For few rows of buckets that are not split: many threads, and few blocks.

    Latency is what counts. A thread with narrow loads has less to do when they have come. Blocks of
    a cluster wait for each other, which takes as long as reading some bytes, or twice as many where
    the others would not have been idle.
    """
    size, cluster = p.n * itemsize_of(p.dtype), 1
    while cluster < most and size > device.alone * cluster:
        idle = 4 * cluster * p.rows <= device.multiprocessors
        if not idle and size <= 2 * device.alone * cluster:
            break
        cluster *= 2
    if not device.clusters and size > 2 * device.alone and 2 * p.rows <= device.multiprocessors:
        return []  # a row's time on one multiprocessor must not exceed two launches'
    step = _step_bytes(p) // cluster
    if cluster == MOST_BLOCKS or step > (16 * 512 if cluster == 1 else 16 * 256):
        team = _lanes(p, cluster)
    else:
        busy = cluster == 1 or 2 * cluster * p.rows > device.multiprocessors
        largest = 1024 if busy and is_quick(p) and key_bytes(p.dtype) == 4 else 512
        team = 128
        while team < largest and 4 * team < step:
            team *= 2
    if cluster > 1:
        team = _to_select(p, team)
    return [(team, cluster), *((other, cluster) for other in (512, 256, 128) if other != team)]


def _in_parts(p: Problem, device: Device, most: int) -> list[tuple[int, int]]:
    """For few rows of buckets that are split, if there are threads enough."""
    step = _step_bytes(p)
    if p.n <= 8192 or most == 1:
        # Without clusters a row's time on one multiprocessor must not exceed two launches'.
        if p.n > 8192 and 2 * p.rows <= device.multiprocessors:
            return []
        # No more threads than load a step by 8 bytes each, where elements are narrow: their lists
        # take long to merge. Of wider ones as many as hide what memory takes.
        narrow = p.n <= 8192 or (itemsize_of(p.dtype) <= 2 and step <= 8 * 256)
        team = _lanes(p, 1) if narrow else max(512, _lanes(p, 1))
        return [(team, 1), (512, 1), (256, 1)]
    return [(_to_select(p, _lanes(p, most)), most), (512, most), (256, most)]


def _to_select(p: Problem, team: int) -> int:
    """So many threads of each block, or more, where one of a cluster may select by itself."""
    return max(team, 512) if p.k > _MANY_WINNERS else team


def _step_bytes(p: Problem) -> int:
    """Bytes of an element of each bucket."""
    return p.b * itemsize_of(p.dtype)


def _lanes(p: Problem, cluster: int) -> int:
    """No more threads than take all buckets at once, for parts would have to be merged.

    They load 16 bytes each, but 8 of 16-bit elements where that makes 512 of 256.
    """
    lanes = _step_bytes(p) // (16 * cluster)
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


def certify_space(p: Problem, team: int, cluster: int = 1) -> int:
    """The same for certificate and repair; see hidden.cuh."""
    known, entry = 32 if p.repair or team >= 512 else 1, entry_bytes(p.dtype)
    warps = _per_warp(team)
    sums = 32 if p.repair and p.sorted else warps
    lost = 0 if p.repair else cluster * warps * key_bytes(p.dtype)
    return -(-((2 * known + warps) * entry + 4 * sums + lost + 40) // 16) * 16


def _per_warp(team: int) -> int:
    """Places for each warp; see selectspace.cuh."""
    return 32 if team >= 512 else team // 32


def groups_for_bound(k: int, places: int, threads: int) -> int:
    """Groups of a thread's candidates for a bound on the k-th; 0 where there are too few."""
    for groups in (1, 2, 4, 8):
        if k <= groups * threads <= places:
            return groups
    return 0
