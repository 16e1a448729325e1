"""Launch policy of exactness: certificate and repair after a schedule. Pure functions.

What they are is told in ``kernels/certify.cuh``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from approxtopk.backend import itemsize_of
from approxtopk.hypergeometric import bucket_misses

from .candidates import candidate_bytes
from .order import MAX_SORT
from .problem import MAX_GRID, Device, Launch, Problem, Schedule
from .tiling import Tiling
from .variants import aligned, entry_bytes, key_bytes, make_kernel

__all__ = ["at_its_end", "certified", "coarsely", "lost_group", "settle", "watched_steps"]

#: Bytes of a row that a block holds at once: less work than a plan and its certificate.
_HELD = 16 * 1024
#: Blocks of a cluster that share a row's certificate and repair where rows are few.
_CLUSTER = 8
#: Words of flagged buckets that a thread reads at a time for repair, alone and in a cluster.
_READ_AT_ONCE = {False: 2, True: 8}
#: Shared memory that `SelectSpace` and `ResultSpace` take at most.
_SPACE = 16 * 1024
#: Rows, at most, of those worked on at the same time, that hide nothing dropped in the second half
#: of a walk: each takes as long as watching a quarter of it.
_RARE = 1 / 2
#: The same of less than half of a walk.
_HARDLY_ANY = 1 / 20
#: Share of a walk, at most, that is worth watching rather than all.
_MOST_WATCHED = 5 / 8


def settle(p: Problem, device: Device) -> Problem:
    """The problem as it is to be scheduled: without what it needs not, or cannot have."""
    if p.kb >= min(p.k, -(-p.n // p.b)):  # no bucket can drop one of the true top k
        return replace(p, certificate=False, repair=False)
    few = p.rows <= device.multiprocessors and p.n * itemsize_of(p.dtype) <= _HELD
    if p.repair and (few or (p.sorted and p.k > MAX_SORT)):  # select from whole rows instead
        whole = replace(p, b=p.n, kb=1, candidates=p.n, interleaved=True)
        return replace(whole, certificate=False, repair=False)
    return p


def certified(p: Problem, device: Device, schedule: Schedule) -> Schedule:
    """A schedule, and what is asked about its results being exact."""
    if not (p.certificate or p.repair):
        return schedule
    name = f"{schedule.name}, {'repair' if p.repair else 'certificate'}"
    if schedule.launches[-1].certifies:
        return replace(schedule, name=name)
    group = schedule.launches[0].lost_group
    launch, entries = _certify(p, device, group)
    lost = p.rows * -(-p.b // group) if group else 0
    return replace(
        schedule,
        name=name,
        launches=(*schedule.launches, launch),
        entries=max(schedule.entries, entries),
        spare_entries=max(schedule.spare_entries, lost),
    )


@dataclass(frozen=True)
class Inside:
    """What it takes that a team of the fused kernel certifies its row itself."""

    shared: int  #: bytes of a team
    defines: dict[str, int]
    fields: tuple[tuple[str, int], ...]


def at_its_end(
    p: Problem, tiling: Tiling, cluster: int, more: int, watched: int, coarse: bool
) -> Inside | None:
    """For a team with `more` places beyond its candidates'; None where nothing is asked.

    `watched`: by `watched_steps`; `coarse`: by `coarsely`.
    """
    if not (p.certificate or p.repair):
        return None
    group = lost_group(p, tiling)
    # Repair gathers results and groups of buckets where candidates were: one at the least, and so
    # many that it need not select too often.
    run, longer = _lengths(p, tiling.v if tiling.unaligned else 0)
    gathered = max(group * (run + (longer > 0)), min(p.k // 2, p.n - p.k))
    entries = max(p.b * p.kb, p.repair * (p.k + gathered))
    late = watched > 0
    alone = not p.repair and tiling.parts == 1 and cluster == 1
    by_thread = late or (alone and tiling.passes > 1)
    if late:
        losses = 2 * tiling.threads
    else:
        losses = aligned(tiling.tile // tiling.v if by_thread else -(-p.b // group))
    losses += aligned(tiling.lists) if tiling.parts > 1 else 0
    return Inside(
        candidate_bytes(p, tiling, entries, more) + losses * key_bytes(p.dtype),
        {
            "WINNERS": 1,
            "LOST": 1,
            "LATE": late,
            "REPAIR": p.repair,
            "BY_THREAD": by_thread,
            "COARSE": coarse,
        },
        (("run", run), ("longer", longer), ("entries", entries), ("watched", watched)),
    )


def watched_steps(p: Problem, device: Device, tiling: Tiling, batch: int) -> int:
    """Steps at the end of a walk that tell by themselves that a row is not exact; 0 if they don't.

    Of a walk by batches of `batch` steps, whole batches. A bucket overflows late: by far the most
    of what is hidden is dropped in the second half of a walk. If that is much, hardly any row of
    random data has none of it, and if a row hides more, fewer steps will do.
    """
    if not p.certificate or p.repair or p.k == p.candidates or tiling.parts > 1:
        return 0
    run, longer = divmod(p.n, p.b)
    at_once = min(p.rows, 2 * device.multiprocessors)

    def without(watched: int) -> float:
        """Rows that hide nothing dropped in so many last steps."""
        late = 0.0
        for length, buckets in ((run, p.b - longer), (run + 1, longer)):
            early = bucket_misses(p.n, p.k, length - watched, p.kb)
            late += buckets * (bucket_misses(p.n, p.k, length, p.kb) - early)
        return at_once * math.exp(-late)

    def batches(share: float) -> int:
        """Steps of as many whole batches as make up such a share of a walk, or a little more."""
        return math.ceil(run * share / batch) * batch

    half = run // 2 // batch * batch
    for eighths in (1, 2, 3):
        watched = batches(eighths / 8)
        if watched < half and without(watched) <= _HARDLY_ANY:
            return watched
    for watched in (half, batches(1 / 2)):
        if 0 < watched <= _MOST_WATCHED * run and without(watched) <= _RARE:
            return watched
    return 0


def coarsely(p: Problem, device: Device, tiling: Tiling, held: bool, others_work: bool) -> bool:
    """Whether of the keys that queues drop the upper half alone is kept, which takes less.

    What ties with the k-th in it is read again. That is rare for float64; of int64 all may tie.
    (Where candidates are `held`, a certificate has no room for all groups that tie.) 16-bit
    elements, whose keys are packed with their steps, tie in a few of a hundred rows: these take
    some microseconds more, which is no loss if other rows are worked on meanwhile.
    """
    if p.dtype == "float64":
        return p.repair or not held
    packed = p.kb == 1 and tiling.queues == "PackedQueues" and itemsize_of(p.dtype) == 2
    whole = p.interleaved and tiling.parts == 1 and tiling.v > 1
    return packed and whole and others_work and not (held or p.repair) and device.halves


def lost_group(p: Problem, tiling: Tiling) -> int:
    """Buckets of which stage 1 tells the best key that they lost together; as in stage1.cuh."""
    return tiling.v if p.interleaved and tiling.parts == 1 else 1


def _lengths(p: Problem, v: int = 0) -> tuple[int, int]:
    """Elements that all buckets have, and how many buckets have one more.

    Of unaligned rows, read by `v` elements: what none exceeds wherever a row begins, and none.
    """
    return (-(-(p.n + v - 1) // p.b), 0) if v else divmod(p.n, p.b)


def _certify(p: Problem, device: Device, group: int) -> tuple[Launch, int]:
    """The launch, and the entries of scratch memory that it needs.

    `group`: as `Launch.lost_group`, of stage 1.
    """
    cluster = _CLUSTER if device.clusters and p.rows * _CLUSTER <= device.multiprocessors else 1
    threads = _threads(p, device)
    gathered = 4 * _READ_AT_ONCE[cluster > 1] // key_bytes(p.dtype)
    words = (device.shared_per_block - _SPACE) // 4
    entry = entry_bytes(p.dtype) // 4  # words of one
    entries = _entries(p, threads * gathered) if p.repair else 0
    most = p.k // p.kb  # buckets that results can fill; tau's may be listed for nothing
    buckets, marks = p.b, -(-p.b // 4) + most
    shared = aligned(entries) * entry + min(marks, words // 2) <= words
    places = aligned(entries) * entry * shared
    if places + marks > words:  # look at a range of buckets at a time
        left = words - places
        buckets = max(4 * (left - most), left * 4 // 5) // 4 * 4
        marks = buckets // 4 + min(buckets, most)
    kernel = make_kernel(
        "certify",
        "certify",
        p,
        threads,
        max(1, 512 // threads),
        KB=p.kb,
        KEY_SHIFT=0,
        INTERLEAVED=p.interleaved,
        STRIDED=p.step != 1,
        REPAIR=p.repair,
        SORTED=p.sorted,
        SHARED=shared,
        LOST=group > 0,
        LISTED=0,
        ALL=0,
        QUICK=0,
        GROUPS=0,
        CLUSTER=cluster,
        GATHERED=gathered,
    )
    run, longer = _lengths(p)
    droppers = p.b if run > p.kb else longer if run == p.kb else 0
    fields = (
        *(("run", run), ("longer", longer), ("rows", p.rows), ("range", buckets)),
        *(("droppers", droppers), ("entries", entries), ("group", group)),
    )
    grid = min(p.rows * cluster, MAX_GRID)
    launch = Launch(kernel, grid, threads, 4 * (places + marks), cluster, fields, certifies=True)
    return launch, 0 if shared else p.rows * cluster * entries


def _threads(p: Problem, device: Device) -> int:
    """Threads of a row's block: latency counts where rows are few, else work."""
    if p.rows <= 2 * device.multiprocessors:
        return 512
    return 128 if p.k <= 512 else 256


def _entries(p: Problem, at_once: int) -> int:
    """Places for repair: for the k selected, twice as many gathered, and so many read at once."""
    selected = 1 << (p.k - 1).bit_length() if p.sorted else p.k
    return selected + 2 * p.k + at_once
