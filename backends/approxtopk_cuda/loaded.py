"""Launch policy of rows that are loaded into registers. Pure functions.

How they are selected from is told in ``kernels/loaded.cuh``.
"""

from __future__ import annotations

import math
from functools import lru_cache

from approxtopk.backend import itemsize_of
from approxtopk.hypergeometric import bucket_misses

from .problem import Device, Problem
from .teams import MOST_BLOCKS, at_once, is_quick

__all__ = [
    *("BATCH", "alike", "at_most", "by_lines", "defines", "dropped", "is_faster"),
    *("lines", "space", "teams_of", "wanted"),
]

#: Bytes of a load, which is a line.
_LINE = 16
#: Bytes of an element.
_SIZES = (2, 4)
#: Lines of a thread, all on their way at once: as many as it has registers for.
_MOST_LINES = 8
#: Loads in flight of the walk that is taken instead where too many elements reach the bound: that
#: is rare, and must not cost registers.
BATCH = 2
#: Bytes of a row, at least.
_LEAST = 8 * 1024
#: Bytes of a row from which on a larger team is worth its barriers. So it is for less where most of
#: its threads have a line and hardly any two: more than 512 lines, and a few more than 1,024.
_LARGE, _A_LINE = 32 * 1024, 17 * 1024
#: What a team has room for: lines that its warps show, and elements of its list.
_SHOWN, _LISTED = 512, 320
#: Threads that compare an entry of the list with all of it.
_SHARING = 2
#: What was dropped that there is room for, and cells by which its bucket is found.
_DROPPED, _CELLS = 64, 2048
#: Standard deviations that there is room for, and that of what reaches the bound by the square root
#: of its mean.
_DEVIATIONS, _SPREAD = 4, 0.7
#: As many times more reach a bound of 16-bit elements, many of which are alike.
_ALIKE = 1.15
#: Elements dropped, of those that reach a bound, from which on queues are faster if they keep one.
_MANY_DROPPED = 3
#: Steps, at most, of which queues track sooner what they drop.
_FEW_STEPS = 16
#: Bytes of a row, at least, for its buckets' queues of one to be slower: where they track what is
#: dropped, and where they don't.
_TRACKED, _UNTRACKED = 48 * 1024, 96 * 1024


def teams_of(p: Problem, device: Device) -> tuple[int, int] | None:
    """Threads of a team and blocks of a cluster that can load a row and select from it, if any."""
    size, processors = itemsize_of(p.dtype), device.multiprocessors
    row = p.n * size
    if size not in _SIZES or row < _LEAST or p.rows > 2 * processors:
        return None
    if not (device.halves and p.step == 1 and is_quick(p)):
        return None
    # Blocks of the larger team are alone on their multiprocessor.
    large = row >= _LARGE or _LEAST < row <= _A_LINE
    team, cluster = 1024 if large and p.rows <= processors else 512, 1
    while lines(p, team * cluster) > _MOST_LINES:
        cluster *= 2
        if team < 1024 or cluster > MOST_BLOCKS or cluster * p.rows > at_once(device, cluster):
            return None
    return (team, cluster) if _has_room(p, team, cluster) else None


def is_faster(p: Problem, device: Device, cluster: int) -> bool:
    """Whether clusters of so many blocks are faster by that than by queues, as was measured.

    Exact answers gain most, and longer queues more than those of one. The latter take few
    instructions for an element, and what they drop of what reaches a bound is much. Certificates
    cost nothing then, where queues would have to track what they drop.
    """
    if p.repair or p.kb > 1 or p.b == p.n:
        return True
    size = itemsize_of(p.dtype)
    few = 2 * cluster * p.rows <= device.multiprocessors
    if not p.certificate:
        return few and (cluster > 1 or p.n * size >= _UNTRACKED)
    if cluster > 1:
        return few or (size == 2 and p.n > _FEW_STEPS * p.b)
    if p.rows > device.multiprocessors and size > 2:
        return False
    # By a team of 1,024, whichever it is: that is how it was measured.
    rare = few or dropped(p, _reaching(p, 1024, p.k)) <= _MANY_DROPPED
    return rare and p.n * size >= _TRACKED


def defines(p: Problem, threads: int) -> dict[str, int]:
    """Macros of ``loaded.cuh``, for so many threads in a cluster."""
    return {"LOADED": lines(p, threads), **by_lines(p)}


def by_lines(p: Problem) -> dict[str, int]:
    """Macros of rows that are read by lines, which tell buckets from an element's index."""
    ends = p.alignment < _LINE or p.n * itemsize_of(p.dtype) % _LINE > 0
    return {"MASKED": p.b & (p.b - 1) == 0, "ENDS": ends}


def lines(p: Problem, threads: int) -> int:
    """Lines of a thread, of so many in a cluster."""
    each = _LINE // itemsize_of(p.dtype)
    longest = p.n + (each - 1 if p.alignment < _LINE else 0)
    return -(-longest // (each * threads))


def space() -> int:
    """Bytes of `LoadedSpace` of loaded.cuh."""
    return _SHOWN * (_LINE + 4) + (_CELLS + _LISTED + MOST_BLOCKS) * 4 + _DROPPED * 8 + 16


def wanted(p: Problem, threads: int) -> int:
    """Elements to ask a bound for, so that k of what reaches it are left when others are dropped.

    Mostly twice as many reach it as are asked for, so that k will do; no fewer ever do.
    """
    if p.repair:
        return p.k
    reach = _reaching(p, threads, p.k)
    lost = at_most(dropped(p, reach))
    if reach - _DEVIATIONS * _SPREAD * math.sqrt(reach) - lost >= p.k:
        return p.k
    return p.k + math.ceil(lost)


def _reaching(p: Problem, threads: int, k: int) -> float:
    """Elements expected to reach the bound of quick selection for k of them; see quick.cuh."""
    warps = threads // 32
    each = -(-_quarters(warps) * k // (4 * warps))  # of a warp's threads
    share = min(-(-k // each), warps - 0.5) / warps  # of warps, with so many that reach it
    reach = warps * _mean_of(each, share)
    if reach >= threads:
        return math.inf
    return -threads * math.log1p(-reach / threads) * alike(p)


def alike(p: Problem) -> float:
    """How many times as much reaches a bound because elements are alike."""
    return _ALIKE if itemsize_of(p.dtype) == 2 else 1.0


def _quarters(warps: int) -> int:
    """Quarters of k that all warps' equal shares of the bound add up to."""
    return 6 if warps >= 32 else 5


@lru_cache(maxsize=1 << 10)
def _mean_of(least: int, share: float) -> float:
    """The mean of a Poisson distribution of which such a share is no less than `least`."""
    low, high = 0.0, 64.0
    for _ in range(30):
        mean = (low + high) / 2
        fewer = sum(math.exp(-mean) * mean**i / math.factorial(i) for i in range(least))
        low, high = (mean, high) if 1 - fewer < share else (low, mean)
    return high


def dropped(p: Problem, reach: float) -> float:
    """How many of the best `reach` elements the queues are expected to drop."""
    if reach == math.inf:
        return math.inf
    best, (run, longer) = min(p.n, math.ceil(reach)), divmod(p.n, p.b)
    return sum(
        buckets * bucket_misses(p.n, best, length, p.kb)
        for length, buckets in ((run, p.b - longer), (run + 1, longer))
        if buckets
    )


def at_most(mean: float) -> float:
    """What a number of rare events hardly ever exceeds."""
    return mean + _DEVIATIONS * math.sqrt(mean)


def _has_room(p: Problem, team: int, cluster: int) -> bool:
    """Whether usual rows are selected from: what reaches the bound is enough, and not too much."""
    if not (p.repair or p.interleaved):
        return False
    threads = team * cluster
    reach = _reaching(p, threads, wanted(p, threads))
    listed = _LISTED if p.repair else min(_LISTED, team // _SHARING)
    if at_most(reach / cluster) > listed // cluster:  # each block has its own places
        return False
    if at_most(reach / (threads // 32)) > _SHOWN // (team // 32):
        return False
    return p.repair or at_most(dropped(p, reach)) <= _DROPPED
