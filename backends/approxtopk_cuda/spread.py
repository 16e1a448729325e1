"""When all blocks of a cluster select from their own candidates; see ``spread.cuh``."""

from __future__ import annotations

from .problem import Problem
from .teams import is_quick
from .tiling import Tiling
from .variants import key_bytes

__all__ = ["is_spread", "loads_in_flight", "spread_space"]

#: Candidates of a thread, at most: they stay in registers, and code is for each of them.
_EACH = 16
#: Threads of a block, at most: each has two bins or more.
_THREADS = 512
#: Bytes of a block's counts: two rounds of 1024 bins.
_COUNTS = 2 * 1024 * 2


def is_spread(p: Problem, tiling: Tiling, cluster: int) -> bool:
    """Whether blocks that walk their buckets in one pass should select so.

    Few winners are selected quicker by all blocks together, results in order are put in order by
    one, and repair selects again from what one has.
    """
    if is_quick(p) or p.sorted or p.repair or p.k == p.candidates:
        return False
    buckets = tiling.v if tiling.parts == 1 else 1  # of a thread; of such in parts some have one
    held = tiling.passes == 1 and (tiling.parts == 1 or tiling.tile <= tiling.threads)
    few = buckets * p.kb <= _EACH
    # All that there is room for is counted by 16 bits where keys are the least, empty places too.
    counted = cluster * tiling.threads * buckets * p.kb < 2**16
    return held and few and counted and tiling.threads <= _THREADS


def loads_in_flight(tiling: Tiling) -> int:
    """Of a thread, at most: more of 16-bit elements, whose queues take less arithmetic."""
    return 32 if tiling.queues == "PackedQueues" else 16


def spread_space(p: Problem, cluster: int) -> int:
    """Shared memory of a block for it: `SpreadSpace`, or a little more."""
    key, told = key_bytes(p.dtype), 4 if p.certificate else 2
    return cluster * (_COUNTS + told * key) + 32 * key + 64
