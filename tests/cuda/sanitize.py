"""Problems for compute-sanitizer: random ones, then one of each kind of kernel.

On a machine with a GPU and CUDA's compute-sanitizer,

    PYTHONPATH=.:backends python tests/cuda/sanitize.py memcheck racecheck initcheck

runs 240 of them under each tool, in 12 processes, and fails if a result is wrong or a tool reports
anything.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from typing import Any

from test_gpu import check, fill, make_request, random_case

PROBLEMS, PROCESSES = 240, 12
#: rows, n, k, b, kb and what they call for.
SHAPES: tuple[tuple[int, int, int, int, int, dict[str, Any]], ...] = (
    (8, 8192, 64, 4096, 1, {}),  # a block a row, candidates in registers
    (150, 8192, 700, 4096, 2, {}),  # in shared memory, two passes
    (16, 16384, 64, 8192, 1, {}),  # a cluster a row, candidates in registers
    (40, 16384, 300, 2048, 2, {"sorted": True}),  # in the first block's shared memory
    (600, 256, 8, 32, 2, {}),  # a warp a row, winners taken out one by one
    (600, 1000, 60, 100, 2, {}),  # and selected
    (2, 2**17, 1000, 32768, 1, {}),  # two launches, a cluster selects
    (1, 2**17, 1500, 32768, 1, {"sorted": True}),  # and sorts
    (2, 2**17, 40, 16, 4, {}),  # blocks share buckets
    (1, 100_000, 5000, 30_000, 1, {"sorted": True}),  # candidates in global memory
)


def kinds() -> list[tuple[Any, ...]]:
    found = itertools.product(SHAPES, ("float32", "bfloat16", "float64"), ("normal", "few"))
    return list(found)


def run_slice(first: int) -> None:
    """Every PROCESSES-th problem."""
    cases = kinds()
    for seed in range(first, PROBLEMS, PROCESSES):
        if seed < PROBLEMS - len(cases):
            arr, request = random_case(seed)
        else:
            (rows, n, k, b, kb, more), dtype, pattern = cases[seed - PROBLEMS + len(cases)]
            arr = fill((rows, n), dtype, pattern, random.Random(seed)).cuda()
            request = make_request((rows, n), dtype, 1, k, b, kb, **more)
        check(arr, request)


def run_under(tool: str) -> bool:
    """Whether all slices are right and clean."""
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", sys.executable]
    running = [
        subprocess.Popen(
            [*command, __file__, str(first)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first in range(PROCESSES)
    ]
    clean = True
    for process in running:
        output, _ = process.communicate()
        if process.returncode:
            clean = False
            print(output[-3000:])
    print(f"{tool}: {PROBLEMS} problems {'are right and clean' if clean else 'are not clean'}")
    return clean


def main() -> None:
    if sys.argv[1].isdigit():
        run_slice(int(sys.argv[1]))
    else:
        clean = [run_under(tool) for tool in sys.argv[1:]]
        sys.exit(not all(clean))


if __name__ == "__main__":
    main()
