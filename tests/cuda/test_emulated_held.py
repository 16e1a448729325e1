"""Certificates after quick selection, without a GPU: what was dropped ties with the last result."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import problem
from test_emulated_problems import check

from approxtopk_cuda import Device, Problem, Schedule, schedule

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.usefixtures("by_queues"),
]

#: Keys with steps and without; one bucket a load or several; a block a row, or a cluster; walks in
#: a loop, and without one of an even number of steps or an odd one.
PROBLEMS = [
    (1, problem(8, 8192, 40, 1024, 2, "float16", largest=False)),
    (2, problem(8, 10000, 64, 3072, 1)),
]
MORE = [
    (1, problem(8, 10240, 33, 2048, 2)),
    (2, problem(8, 12288, 64, 3072, 1)),
    (2, problem(8, 16384, 64, 4096, 1, "int16", sorted=True)),
    (1, problem(8, 16384, 24, 4096, 1, "int8")),
    (4, problem(8, 12288, 64, 2048, 1, index_bytes=4)),
    (8, problem(8, 20000, 16, 2048, 1, "float64", alignment=8)),
]


def tied_rows(p: Problem, rng: np.random.Generator) -> np.ndarray:
    """Rows in which full buckets dropped one of several equal elements, the last result another.

    They lie in any buckets or in few neighbouring ones, at any steps or at two.
    """
    pitch = -(-p.n // 16) * 16
    arr = rng.integers(-50, 50, (p.rows, pitch))
    for i, row in enumerate(arr):
        near = i % 2 == 1
        buckets = rng.permutation(8) + 40 if near else rng.permutation(p.b)
        steps = np.arange(2) if i % 4 < 2 else np.arange(p.n // p.b - p.kb)
        ties = 1 if near else int(rng.integers(1, 4))
        full = int(rng.integers(1, (p.k - 4) // p.kb if i % 8 == 0 else 4))
        slots = p.k - ties - full * p.kb
        others = buckets[full : full + 3 * ties]  # they keep what ties
        rest = np.setdiff1d(np.arange(p.b), buckets[: full + 3 * ties])
        winners = iter(rng.permutation(p.k) + 101)

        def place(bucket: int, step: int) -> int:
            return bucket + step * p.b

        for bucket in buckets[:full]:
            row[place(bucket, rng.choice(steps))] = 100
            for step in range(p.kb):
                row[place(bucket, p.n // p.b - 1 - step)] = next(winners)
        for bucket in others:
            row[place(bucket, rng.choice(steps))] = 100
        for bucket in rng.permutation(rest)[:slots]:
            row[place(bucket, rng.choice(steps))] = next(winners)
    return (arr if p.largest else -arr).astype(p.dtype)


@pytest.mark.parametrize(
    ("cluster", "p"),
    [*PROBLEMS, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in MORE)],
    ids=str,
)
def test_what_ties_is_hidden_where_it_comes_first(cluster: int, p: Problem, tmp_path: Path) -> None:
    p = replace(p, certificate=True)
    # With several multiprocessors for each row a cluster takes it.
    device = Device("sm_90", p.rows * cluster, alone=1024)
    plan = schedule(p, device)
    assert isinstance(plan, Schedule)
    (launch,) = plan.launches
    assert dict(launch.kernel.defines)["HELD"] == "1"
    assert launch.cluster == cluster
    for seed in range(3):
        check(p, device, tied_rows(p, np.random.default_rng(seed)), tmp_path)
