"""Problems that between them call for every kind of kernel: shared by the tests of this folder."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from approxtopk.backend import count_candidates
from approxtopk_cuda import Device, Launch, Problem, Schedule, schedule

DTYPES = (
    *("float16", "bfloat16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8"),
)


def problem(
    rows: int, n: int, k: int, b: int, kb: int, dtype: str = "float32", **more: Any
) -> Problem:
    return Problem(dtype, rows, n, k, b, kb, count_candidates(n, b, kb), **more)


def only_launch(p: Problem) -> Launch:
    """Of a problem that takes one."""
    result = schedule(p, Device())
    assert isinstance(result, Schedule)
    (launch,) = result.launches
    return launch


#: One of each: stage 1 alone (stream, split, rows first, contiguous), rows in registers (short),
#: fused (warp, block, cluster, sorted), two stages (split over blocks, global), long sorts.
KINDS = {
    "stream": (128, 2**20, 65536, 32768, 2),
    "split": (4, 2**20, 128, 64, 2),
    "odd buckets": (300, 9999, 14, 7, 2),
    "short": (8192, 256, 8, 64, 2),
    "warp": (16384, 4096, 8, 64, 2),
    "block": (128, 65536, 64, 4096, 1),
    "many rows": (16384, 16384, 64, 512, 2),
    "cluster": (64, 131072, 64, 4096, 1),
    "two stages": (1, 2**27, 1024, 65536, 1),
    "parts over blocks": (1, 2**27, 64, 64, 4),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smallest, int32": {"largest": False, "index_bytes": 4},
    "sorted": {"sorted": True},
    "contiguous": {"interleaved": False},
    "misaligned": {"alignment": 1},
    "step": {"step": 3, "alignment": 1},
}


def with_queue(shape: tuple[int, int, int, int, int], kb: int, dtype: str, **more: Any) -> Problem:
    """One of the kinds with another queue length, as far as its buckets go."""
    rows, n, k, b, _ = shape
    kb = min(kb, -(-n // b))
    return problem(rows, n, min(k, count_candidates(n, b, kb)), b, kb, dtype, **more)


def every_problem() -> list[Problem]:
    """All kinds in all dtypes with all queue lengths, and in all layouts with the usual ones."""
    shapes = KINDS.values()
    every_queue = product(shapes, range(1, 17), DTYPES)
    every_layout = product(shapes, (1, 2, 4), DTYPES, LAYOUTS.values())
    return [
        *(with_queue(*choice) for choice in every_queue),
        *(with_queue(*choice, **layout) for *choice, layout in every_layout),
        *some_problems(),
    ]


def some_problems() -> list[Problem]:
    """About 200 problems: all kinds in all layouts, all dtypes and queue lengths."""
    found = []
    for shape, layout in product(KINDS.values(), LAYOUTS.values()):
        found.append(problem(*shape, **layout))
    for dtype, (name, shape) in product(DTYPES, KINDS.items()):
        if name in ("stream", "block", "short", "warp"):
            found.append(problem(*shape, dtype))
    for kb, dtype in product(range(1, 17), ("bfloat16", "float32", "float64")):
        found.append(problem(128, 65536, 32, 1024, kb, dtype))
        found.append(problem(128, 2**20, 8192 * kb, 8192, kb, dtype))
    found.append(problem(1000, 4096, 64, 64, 4, inner=1000, inner_stride=1, step=1000, alignment=4))
    found.append(problem(3, 10**6, 50000, 100000, 1, sorted=True))
    found.append(problem(3, 10**6, 100000, 100000, 1, sorted=True))
    return found


def ties_of_two_steps(rows: int) -> np.ndarray:
    """Rows of 16 steps over 1000 buckets: 1000 ones in three steps, and 500 more in the next.

    With a few of these the last results come early in their step, and the step before ends in the
    same bin of positions.
    """
    arr = np.zeros((rows, 16000), np.int8)
    for step, (begin, end) in enumerate(((0, 300), (300, 600), (600, 1000), (0, 500))):
        arr[:, step * 1000 + begin : step * 1000 + end] = 1
    return arr
