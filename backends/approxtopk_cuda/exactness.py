"""Launch policy of exactness: certificate and repair after a schedule. Pure functions.

What they are is told in ``kernels/certify.cuh``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .problem import Device, Launch, Problem, Schedule
from .variants import Kernel, common_defines, entry_bytes

__all__ = ["certified", "marks_for", "settle"]

#: Winners that a block sorts in shared memory.
MAX_SORT = 4096
#: Elements of flagged buckets that a thread holds at a time; as in certify.cuh.
_GATHERED = 2
#: Shared memory that `SelectSpace` and `CertifySpace` take at most.
_SPACE = 14 * 1024
_MAX_GRID = 2**31 - 1


def settle(p: Problem) -> Problem:
    """The problem as it is to be scheduled: without what it needs not, or cannot have."""
    if p.kb >= min(p.k, -(-p.n // p.b)):  # no bucket can drop one of the true top k
        return replace(p, certificate=False, repair=False)
    if p.repair and p.sorted and p.k > MAX_SORT:  # select from whole rows instead
        return replace(p, b=p.n, kb=1, candidates=p.n, certificate=False, repair=False)
    return p


def certified(p: Problem, device: Device, schedule: Schedule) -> Schedule:
    """A schedule, and what is asked about its results being exact."""
    if not (p.certificate or p.repair):
        return schedule
    launch, entries = _certify(p, device)
    return replace(
        schedule,
        name=f"{schedule.name}, {'repair' if p.repair else 'certificate'}",
        launches=(*schedule.launches, launch),
        entries=max(schedule.entries, entries),
    )


@dataclass(frozen=True)
class Marks:
    """Shared memory for counts of a range of buckets, a byte each, and a list of flagged ones."""

    range: int  #: buckets that are looked at together
    words: int


def marks_for(p: Problem, words: int) -> Marks:
    """As many buckets at a time as fit in so many words of four bytes."""
    most = (p.k - 1) // p.kb  # flagged buckets of a row
    needed = -(-p.b // 4) + min(p.b, most)
    if needed <= words:
        return Marks(p.b, needed)
    # A range of r buckets needs r / 4 words and the list's, which is no longer than r.
    buckets = max(4 * (words - most), words * 4 // 5) // 4 * 4
    return Marks(buckets, buckets // 4 + min(buckets, most))


def _certify(p: Problem, device: Device) -> tuple[Launch, int]:
    """The launch, and the entries of scratch memory that it needs."""
    threads = _threads(p, device)
    budget = device.shared_per_block - _SPACE
    entries = _entries(p, threads) if p.repair else 0
    # Half of shared memory is enough for marks: more ranges cost little beside so many results.
    in_shared = entries * entry_bytes(p.dtype) <= budget // 2
    space = entries * entry_bytes(p.dtype) if in_shared else 0
    marks = marks_for(p, (budget - space) // 4)
    macros = common_defines(p.dtype, p.largest, p.index_bytes, threads, max(1, 512 // threads))
    macros.update(
        KB=str(p.kb),
        KEY_SHIFT="0",
        INTERLEAVED=str(int(p.interleaved)),
        STRIDED=str(int(p.step != 1)),
        REPAIR=str(int(p.repair)),
        SORTED=str(int(p.sorted and p.repair)),
        SHARED=str(int(in_shared)),
        LISTED="0",
        QUICK="0",
        GROUPS="0",
    )
    kernel = Kernel("certify", "certify", tuple(sorted(macros.items())))
    fields = (("rows", p.rows), ("entries", entries), ("range", marks.range))
    shared = space + 4 * marks.words
    launch = Launch(kernel, min(p.rows, _MAX_GRID), threads, shared, fields=fields)
    return launch, 0 if in_shared else p.rows * entries


def _threads(p: Problem, device: Device) -> int:
    """Threads of a row's block: latency counts where rows are few, else work."""
    if p.rows <= 2 * device.multiprocessors:
        return 512
    return 128 if p.k <= 512 else 256


def _entries(p: Problem, threads: int) -> int:
    """Places for repair: for the k selected, and twice as many gathered."""
    selected = 1 << (p.k - 1).bit_length() if p.sorted else p.k
    return -(-(selected + 2 * p.k + _GATHERED * threads) // 4) * 4
