"""The cost model of a plan, in one place.

The unit is one element of the input read at full bandwidth, so that a cost over ``n`` is the
ratio to the read floor.  The constants are fitted to ten workloads on an NVIDIA H200 (float32 and
bfloat16, 1 to 16,384 rows; ``benchmarks/gpu_sweep.py``): what the model chooses is within 10 % of
the best plan of that sweep (11 % of 32 × 4096, which wants more buckets), which a test checks.
A CPU weighs the parts much alike; see ``docs/performance-cpu.md``.  The number of rows is left
out, so that a plan is known without an array and a row is answered alike in any batch.
"""

from __future__ import annotations

from .backend import count_candidates, is_lossless
from .exactness import estimates

#: Stage 1 per element, by kb: insertions into longer queues.  From kb = 4 on arithmetic is the
#: bound (two operations per kept element), so it grows by kb / 4.
STAGE1 = {1: 1.00, 2: 1.08, 3: 1.16, 4: 1.40}
STAGE1_PER_KB = STAGE1[4] / 4

#: Stage 2 per candidate.  A few thousand stay in the registers of their block; the more there are,
#: the fewer blocks fit on a multiprocessor, until they leave for a launch of their own.
STAGE2_PER_CANDIDATE = 2.0
CROWDED = 4096  #: Candidates that add 1 to that, …
MOST_CROWDED = 16.0  #: … as often as this at the most.

#: Certificate, and repair for each element of a flagged bucket. The kernels read few of these
#: again, since they know the best that was dropped, but what they read they wait for. Fitted to the
#: exact answers of ``benchmarks/gpu_exact.py``: what the model chooses there is within 10 % of the
#: best on all ten workloads; a test checks it.
CERTIFICATE_PER_RESULT = 4.0
READ_AGAIN = 20.0

#: What it costs a row that there are fewer buckets than threads for it, so that several share a
#: bucket and their queues are merged: a part of reading it and the steps of merging.
MERGING_PER_ELEMENT = 0.3
MERGING = 1000.0


def plan_cost(n: int, k: int, b: int, kb: int) -> float:
    """Estimated cost of one row, in elements read."""
    merging = MERGING_PER_ELEMENT * n + MERGING if b < wide(n) else 0.0
    return _stage1(n, kb) + _stage2(count_candidates(n, b, kb), k) + merging


def exact_cost(n: int, k: int, b: int, kb: int) -> float:
    """The same for an exact answer: with certificate, and the expected cost of repair.

    A row that needs it has its results and what joins them selected from once more.
    """
    cost = plan_cost(n, k, b, kb)
    if is_lossless(n, k, b, kb):
        return cost
    repair, read_again = estimates(n, k, b, kb)
    cost += CERTIFICATE_PER_RESULT * k + READ_AGAIN * read_again
    return cost + repair * _stage2(2 * k, k)


def cost_floor(n: int, k: int, kb: int) -> float:
    """What a plan with this queue length costs at the least, whatever its b."""
    return _stage1(n, kb) + (_stage2(k + 1, k) if kb < k else 0.0)


def wide(n: int) -> int:
    """The least b with a bucket for each thread that a row of `n` elements is worth.

    A warp at least, and a thread for every 32 buckets' worth of it up to the 1,024 of a block, each
    reading four neighbouring buckets, or of a short row for every 16 up to 64; beyond 2**24 as many
    blocks as keep a GPU busy with one row.
    """
    return min(n, max(32, min(n // 16, 256), min(n // 32, 4096), n // 4096))


def _stage1(n: int, kb: int) -> float:
    return n * STAGE1.get(kb, kb * STAGE1_PER_KB)


def _stage2(candidates: int, k: int) -> float:
    if candidates == k:  # there is nothing to choose
        return 0.0
    return candidates * (STAGE2_PER_CANDIDATE + min(candidates / CROWDED, MOST_CROWDED))
