"""Problems for compute-sanitizer: random ones, one of each kind of kernel, certificates and repair.

On a machine with a GPU and CUDA's compute-sanitizer,

    PYTHONPATH=.:backends python tests/cuda/sanitize.py memcheck racecheck initcheck

runs 379 of them under each tool, in 12 processes, and fails if a result is wrong or a tool reports
anything. A number among the arguments is how many seconds to begin new problems for, kinds of
kernels and exactness first.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import re
import subprocess
import sys
import time
from typing import Any

import test_certify
from adversaries import rows_for
from gpu_cases import check, fill, make_request, random_case
from problems import DTYPES

from approxtopk import Request
from approxtopk_cuda import loaded

RANDOM, EXACT, PROCESSES = 180, 40, 12
#: rows, n, k, b, kb and what they call for.
SHAPES: tuple[tuple[int, int, int, int, int, dict[str, Any]], ...] = (
    (8, 8192, 64, 4096, 1, {}),  # a block a row, candidates in registers
    (150, 8192, 700, 4096, 2, {}),  # in shared memory, two passes
    (8, 40_000, 64, 4096, 1, {}),  # a cluster a row, candidates in registers
    (20, 40_000, 300, 2048, 2, {"sorted": True}),  # in the first block's shared memory
    (20, 40_000, 300, 2048, 2, {}),  # all blocks of a cluster select
    (4, 100_000, 300, 512, 4, {}),  # and have parts to merge
    (20, 40_000, 3000, 2048, 2, {"sorted": True}),  # more than there are bins to order them by
    (600, 256, 8, 32, 2, {}),  # a warp a row, winners taken out one by one
    (600, 1000, 60, 100, 2, {}),  # and selected
    (2, 2**17, 1000, 32768, 1, {}),  # two launches, a cluster selects
    (1, 2**17, 1500, 32768, 1, {"sorted": True}),  # and sorts
    (2, 2**17, 40, 16, 4, {}),  # blocks share buckets
    (1, 100_000, 5000, 30_000, 1, {"sorted": True}),  # candidates in global memory
    (9, 8195, 64, 2048, 1, {}),  # rows that begin anywhere: candidates in registers
    (150, 16387, 300, 2048, 2, {}),  # and in shared memory
    (16, 70_001, 300, 256, 2, {}),  # and in that of a cluster's first block, with parts to merge
)


#: The same for certificates and exact answers.
PROVEN = (
    (8, 8192, 64, 4096, 1, {}),  # a bit of each thread tells what it dropped; no loop over steps
    (8, 40_000, 30, 4096, 1, {}),  # in clusters
    (8, 80_000, 30, 2048, 2, {}),  # and with a loop
    (150, 16384, 2500, 4096, 2, {}),  # hardly ever exact, which is known from what is dropped late
    (600, 16384, 1000, 1024, 2, {"sorted": True}),
    (9, 8195, 64, 2048, 1, {}),  # rows that begin anywhere
    (150, 16387, 2500, 4096, 2, {}),
    (300, 8192, 40, 512, 1, {}),  # rows that stay in shared memory
    (300, 16387, 40, 1024, 2, {"sorted": True}),
    (128, 65536, 64, 4096, 2, {}),  # longer than registers have room for: candidates alone
    (100, 16384, 40, 1024, 2, {}),  # rows in registers
    (200, 8195, 50, 1000, 3, {"sorted": True}),
    (16, 70_001, 300, 256, 2, {"sorted": True}),
    (20, 40_000, 300, 2048, 2, {}),  # all blocks of a cluster select
    (2, 2**17, 1000, 32768, 1, {}),  # a cluster certifies
    (1, 70_000, 100, 10, 12, {"sorted": True}),  # not knowing what was lost
    (1, 100_000, 8000, 30_000, 1, {}),  # in global memory
    (20, 70_000, 300, 16384, 2, {}),  # a block certifies
    (300, 9000, 64, 3072, 1, {}),  # several passes, of which a thread keeps one key
    (300, 24001, 40, 2500, 1, {}),  # best lines are read again
    (2200, 4099, 40, 1024, 1, {}),  # in waves: what 16 bits drop is known without its step
)


def of_kind(seed: int, shape: tuple[Any, ...], dtype: str, pattern: str) -> None:
    rows, n, k, b, kb, more = shape
    arr = fill((rows, n), dtype, pattern, random.Random(seed)).cuda()
    check(arr, make_request((rows, n), dtype, 1, k, b, kb, **more))


def proven(shape: tuple[Any, ...], dtype: str) -> None:
    rows, n, k, b, kb, more = shape
    certify(Request((rows, n), dtype, "cuda:0", 1, k, b, kb, **more), 0)


def exact(seed: int) -> None:
    certify(test_certify.request_for(random.Random(seed), DTYPES[seed % len(DTYPES)]), seed)


def certify(request: Request, seed: int) -> None:
    test_certify.check(rows_for(request, seed).cuda(), request)


def problems() -> list[functools.partial[None]]:
    kinds = itertools.product(SHAPES, ("float32", "bfloat16", "float64"), ("normal", "few"))
    found = [functools.partial(of_kind, seed, *kind) for seed, kind in enumerate(kinds)]
    random.Random(0).shuffle(found)  # a slice has its share of each
    found += [functools.partial(exact, seed) for seed in range(EXACT)]
    dtypes = ("float32", "bfloat16", "float64")
    found += [functools.partial(proven, *kind) for kind in itertools.product(PROVEN, dtypes)]
    return found + [functools.partial(at_random, seed) for seed in range(RANDOM)]


def at_random(seed: int) -> None:
    check(*random_case(seed))


def let_all_wait() -> None:
    """The first block of a cluster tells others at its end that they may end, and stays for them.

    Racecheck waits on for a block that has ended at a cluster's last barrier, and takes what is
    read after arriving there, but before waiting, for read at once with what was written before
    the barrier that came before it.
    """
    defines = loaded.defines
    loaded.defines = lambda *given: {**defines(*given), "ALL_WAIT": 1}


def run_slice(tool: str, first: int, seconds: float) -> None:
    """Every PROCESSES-th problem, as long as there is time."""
    if tool == "racecheck":
        let_all_wait()
    until, done = time.monotonic() + seconds, 0
    for problem in problems()[first::PROCESSES]:
        if time.monotonic() > until:
            break
        problem()
        done += 1
    print(f"problems done: {done}")


def run_under(tool: str, seconds: str) -> bool:
    """Whether all slices are right and clean."""
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", sys.executable]
    running = [
        subprocess.Popen(
            [*command, __file__, "slice", tool, str(first), seconds],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first in range(PROCESSES)
    ]
    clean, count = True, 0
    for process in running:
        output, _ = process.communicate()
        count += sum(map(int, re.findall(r"problems done: (\d+)", output)))
        if process.returncode:
            clean = False
            print(output[-3000:])
    print(f"{tool}: {count} problems {'are right and clean' if clean else 'are not all clean'}")
    return clean


def main() -> None:
    if sys.argv[1] == "slice":
        return run_slice(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    seconds = next(filter(str.isdigit, sys.argv[1:]), "86400")
    tools = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    clean = [run_under(tool, seconds) for tool in tools]
    sys.exit(not all(clean))


if __name__ == "__main__":
    main()
