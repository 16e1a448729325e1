"""The cost model of a plan, in one place.

The unit is one element of the input read at full bandwidth, so that a cost over ``n`` is the
ratio to the read floor. The constants are fitted to what an NVIDIA H200 takes for 117 workloads,
1 to 16,384 rows of float32 and bfloat16, by plans of one to four kept elements of each bucket
(``benchmarks/gpu_plans.py`` and ``gpu_sweep.py``). What the model chooses takes 2 to 4 % longer
than the best of them on average, and up to 1.6 times as long; tests hold it to that. A CPU weighs
the parts much alike; see ``docs/performance-cpu.md``. The number of rows and the dtype are left
out, so that a plan is known without an array and a row is answered alike in any batch.
"""

from __future__ import annotations

from .backend import count_candidates, is_lossless
from .exactness import estimates
from .hypergeometric import expected_recall

#: Stage 1 per element, by kb: insertions into longer queues. From kb = 4 on arithmetic is the
#: bound (two operations per kept element), so it grows by kb / 4.
STAGE1 = {1: 1.00, 2: 1.08, 3: 1.12, 4: 1.24}
STAGE1_PER_KB = STAGE1[4] / 4

#: A step of a bucket's walk: where rows are too few to fill a device its time is that of one
#: thread, which has the longer a way the fewer buckets there are. Of short rows it is no more than
#: a part of reading them.
STEP = 300.0
STEP_PER_ELEMENT = 1 / 18

#: Fewer buckets leave some of a warp's lanes idle.
LANES = 32

#: Longer buckets are walked in parts, whose queues are merged: a part of reading an element.
LONG = 4096
MERGING_PER_ELEMENT = 0.4

#: Stage 2 per candidate. A few thousand stay in the registers of their block; the more there are,
#: the fewer blocks fit on a multiprocessor, until a launch of their own takes them, and until not
#: even a cluster's shared memory does.
STAGE2_PER_CANDIDATE = 3.5
CROWDED = 16384  #: Candidates that add 1 to that.
MOST_SHARED = 65536
OUTSIDE_PER_CANDIDATE = 60.0

#: An exact answer's repair: of a row that needs it, beside another stage 2 of its results and what
#: joins them, and of each element of a flagged bucket. The kernels read few of these again, since
#: they know the best that was dropped, but what they read they wait for; and all of them where a
#: row hides more than a few.
REPAIR = 1000.0
READ_AGAIN = 6.0
FEW_HIDDEN = 32
ALL_READ_AGAIN = 40.0


def plan_cost(n: int, k: int, b: int, kb: int) -> float:
    """Estimated cost of one row, in elements read."""
    if n == 0:
        return 0.0
    steps = -(-n // b)
    walk = steps * min(STEP, STEP_PER_ELEMENT * n)
    merging = MERGING_PER_ELEMENT * n if steps > LONG else 0.0
    idle = max(1.0, LANES / b)
    return _stage1(n, kb) * idle + walk + merging + _stage2(count_candidates(n, b, kb), k)


def exact_cost(n: int, k: int, b: int, kb: int) -> float:
    """The same for an exact answer: with the expected cost of repair."""
    cost = plan_cost(n, k, b, kb)
    if is_lossless(n, k, b, kb):
        return cost
    repair, read_again = estimates(n, k, b, kb)
    hidden = k * (1.0 - expected_recall(n, k, b, kb))
    again = READ_AGAIN if hidden <= FEW_HIDDEN else ALL_READ_AGAIN
    return cost + repair * (REPAIR + _stage2(2 * k, k)) + again * read_again


def cost_floor(n: int, k: int, kb: int) -> float:
    """What a plan with this queue length costs at the least, whatever its b."""
    return _stage1(n, kb) + (_stage2(k + 1, k) if kb < k else 0.0)


def _stage1(n: int, kb: int) -> float:
    return n * STAGE1.get(kb, kb * STAGE1_PER_KB)


def _stage2(candidates: int, k: int) -> float:
    if candidates == k:  # there is nothing to choose
        return 0.0
    if candidates > MOST_SHARED:
        return candidates * OUTSIDE_PER_CANDIDATE
    return candidates * (STAGE2_PER_CANDIDATE + candidates / CROWDED)
