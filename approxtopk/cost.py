"""The cost model of a plan, in one place.

The unit is one element of the input read at full bandwidth, so that a cost over ``n`` is the
ratio to the read floor.  The constants were measured on an NVIDIA H200 (float32 input, int64
indices, 2026-11-20); a CPU weighs the two stages much alike.
"""

from __future__ import annotations

from .backend import count_candidates

#: Stage 1 per element, by kb.  128 rows of 2**20 with b * kb = 65536 took 155 us at kb = 1, 161
#: at 2 and 186 at 4, where reading and writing alone takes 146; kb = 3 is interpolated.  From
#: kb = 4 on arithmetic is the bound (two operations per kept element), so it grows by kb / 4.
STAGE1 = {1: 1.00, 2: 1.04, 3: 1.11, 4: 1.20}
STAGE1_PER_KB = STAGE1[4] / 4

#: Stage 2 per candidate.  256 rows of 131072, b = 4096, kb = 1, k = 64, both stages in one launch
#: took 36.0 us where reading takes 30.6: 5.4 us for 2**20 candidates, against 0.91 ps for each
#: element read.
STAGE2_PER_CANDIDATE = 5.7


def plan_cost(n: int, k: int, b: int, kb: int) -> float:
    """Estimated cost of one row, in elements read."""
    candidates = count_candidates(n, b, kb)
    stage1 = _stage1(n, kb) if b < n else 0.0  # b = n: every element is a candidate
    stage2 = 0.0 if candidates == k else STAGE2_PER_CANDIDATE * candidates
    return stage1 + stage2


def cost_floor(n: int, k: int, kb: int) -> float:
    """What a plan with this queue length costs at the least, whatever its b."""
    return _stage1(n, kb) + (STAGE2_PER_CANDIDATE * k if kb < k else 0.0)


def _stage1(n: int, kb: int) -> float:
    return n * STAGE1.get(kb, kb * STAGE1_PER_KB)
