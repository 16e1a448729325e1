"""Few rows, in their threads' registers while they are selected from, without a GPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulation import without_fall_back
from problems import problem
from test_emulated_problems import check
from test_emulated_resident import PATTERNS, launch_of, rows_of

from approxtopk_cuda import Device, loaded, source_of

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

DEVICE = Device("sm_90", 8)

#: Both teams; buckets as many as a power of two and not; rows that begin and end anywhere in a
#: line.
PROBLEMS = {
    "halves": problem(4, 12288, 40, 512, 2, "float16"),
    "cut": problem(4, 4099, 20, 700, 3, alignment=4, largest=False, sorted=True),
    "one kept": problem(3, 32768, 40, 4096, 1, "float16"),
    "cut halves": problem(4, 9001, 20, 1500, 2, "int16", alignment=2, largest=False, index_bytes=4),
    "two blocks": problem(4, 66001, 40, 4096, 1, "float16", alignment=2),
}
MORE = {
    "words": problem(4, 4096, 5, 512, 2, "int32"),
    "several passes": problem(3, 32768, 40, 16384, 1, "float16"),
    "contiguous": problem(4, 8192, 30, 512, 2, interleaved=False, repair=True),
    "two blocks to a multiprocessor": problem(12, 8192, 50, 1024, 2, "float16"),
    "many winners": problem(4, 32768, 90, 1024, 4),
    "a line to a thread": problem(4, 4096, 33, 512, 2),
}


def macros_of(p: Any, device: Device) -> dict[str, str]:
    return dict(launch_of(p, device).kernel.defines)


def solve(name: str, promise: str, pattern: str, folder: Path) -> None:
    p = (PROBLEMS | MORE)[name]
    p = replace(p, certificate=promise == "certificate", repair=promise == "repair")
    assert macros_of(p, DEVICE)["LOADED"] != "0"
    check(p, DEVICE, rows_of(p, pattern, np.random.default_rng(5)), folder)


def promises(name: str, p: Any) -> list[Any]:
    """What is asked of a problem. A certificate's check solves it without one, too."""
    return [(name, "repair")] if p.repair else [(name, "certificate"), (name, "repair")]


@needs_compiler
@pytest.mark.parametrize(
    ("name", "promise"),
    [
        pytest.param(*each, marks=pytest.mark.exhaustive if (number + at) % 2 else ())
        for number, (name, p) in enumerate(PROBLEMS.items())
        for at, each in enumerate(promises(name, p))
    ],
)
def test_all_that_is_better_than_the_bound_is_found(
    name: str, promise: str, tmp_path: Path
) -> None:
    for pattern in PATTERNS:
        solve(name, promise, pattern, tmp_path)


@needs_compiler
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "promise"), [each for name, p in MORE.items() for each in promises(name, p)]
)
def test_the_same_of_more_problems(name: str, promise: str, tmp_path: Path) -> None:
    for pattern in PATTERNS:
        solve(name, promise, pattern, tmp_path)


@needs_compiler
def test_what_others_of_a_bucket_are_ahead_of_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is for usual rows alone, of which some have nothing to drop and some much."""
    without_fall_back(monkeypatch)
    p = replace(PROBLEMS["halves"], rows=6, certificate=True)
    arr = rows_of(p, "usual", np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for i, row in enumerate(arr):  # 5 i elements too many for their buckets, and 10 that fill them
        # Four alike each, so that some tie with the k-th.
        best = 5000.0 + np.arange(0, 480, 8) // 32 * 32
        places = [
            b + p.b * s for b in rng.permutation(p.b)[:5] for s in rng.permutation(24)[: 2 + i]
        ]
        row[places] = rng.permutation(best)[: len(places)]
    check(p, DEVICE, arr, tmp_path)
    few = rows_of(p, "few values", np.random.default_rng(0))
    with pytest.raises(AssertionError):
        check(p, DEVICE, few, tmp_path)


@pytest.mark.parametrize("team", [512, 1024, 4096])
@pytest.mark.parametrize("k", [5, 32, 64, 100])
def test_how_much_reaches_a_bound(team: int, k: int) -> None:
    """By a bound as quick.cuh has it, of a block or of a cluster's."""
    assert "quarters = warps >= 32 ? 6 : warps >= 16 ? 5" in source_of("fused")
    p = problem(64, 32768, k, 2048, 1)
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(200):
        row = rng.standard_normal(p.n, dtype="f4")
        best = row.reshape(-1, team, 4).max((0, 2)).reshape(-1, 32)  # of each thread
        each = -(-loaded._quarters(team // 32) * k // (4 * team // 32))
        published = np.sort(best)[:, -each]
        bar = np.sort(published)[::-1][-(-k // each) - 1]
        counts.append((row >= bar).sum())
    assert min(counts) >= k
    expected = loaded._reaching(p, team, k)
    assert abs(np.mean(counts) / expected - 1) < 0.15
    assert loaded.at_most(expected) >= np.quantile(counts, 0.99)


def test_which_rows_are_loaded() -> None:
    device = Device("sm_90", 132)

    def kernel(*shape: Any, **more: Any) -> tuple[int, ...]:
        """Threads of a block, and lines of each; blocks of a cluster, if there is one."""
        launch = launch_of(problem(*shape, **more), device)
        lines = int(dict(launch.kernel.defines).get("LOADED", "0"))
        cluster = (launch.cluster,) if launch.cluster > 1 else ()
        return (launch.block, lines, *cluster) if lines else (0, 0)

    few = (64, 65536, 64, 1024, 2, "bfloat16")
    assert kernel(*few) == (1024, 8)
    older = launch_of(problem(*few), Device("sm_80", 132))  # without maxima of halves
    assert dict(older.kernel.defines).get("LOADED", "0") == "0"
    assert kernel(64, 65544, *few[2:]) == (1024, 5, 2)  # more lines than one has registers for
    assert kernel(64, 65537, *few[2:], alignment=2) == (1024, 5, 2)
    assert kernel(67, 65544, *few[2:]) == (0, 0)
    assert kernel(32, 131072, *few[2:]) == (1024, 8, 2)
    assert kernel(28, 131072, 64, 2048, 2) == (1024, 8, 4)
    assert kernel(29, 131072, 64, 2048, 2) == (0, 0)  # more clusters than find room at once
    assert kernel(1, 262144, 64, 4096, 2) == (1024, 8, 8)
    assert kernel(8, 262145, 64, 4096, 2) == (0, 0)
    assert kernel(64, 12288, *few[2:]) == (512, 3)  # fewer threads for shorter rows
    assert kernel(64, 8192, *few[2:]) == (1024, 1)  # but if all have just a line
    assert kernel(200, 32768, *few[2:]) == (512, 8)  # and for two rows to a multiprocessor
    assert kernel(200, 65536, *few[2:]) == (0, 0)
    assert kernel(265, 16384, *few[2:]) == (0, 0)
    assert kernel(64, 65536, 100, 2048, 2, "bfloat16") == (0, 0)  # too many reach the bound
    assert kernel(64, 32768, 100, 2048, 2) == (1024, 8)
    assert kernel(64, 16384, 64, 1024, 2, "float64") == (0, 0)
    assert kernel(64, 16384, 64, 1024, 2, interleaved=False) == (0, 0)
    assert kernel(64, 16384, 64, 1024, 2, interleaved=False, repair=True) == (1024, 4)
    assert kernel(64, 16384, 64, 1024, 2, step=3) == (0, 0)
    assert kernel(64, 16384, 64, 96, 2) == (0, 0)  # whose queues drop too much
    # Queues of one are as fast, if nothing or little is asked about what they drop.
    assert kernel(100, 32000, 50, 2048, 1, "bfloat16") == (0, 0)
    assert kernel(100, 32000, 50, 2048, 1, "bfloat16", certificate=True) == (1024, 4)
    assert kernel(100, 16384, 64, 1024, 1, certificate=True) == (0, 0)
    assert kernel(40, 16384, 64, 1024, 1, certificate=True) == (1024, 4)
    assert kernel(60, 32000, 50, 2048, 1) == (1024, 8)
    # In a cluster all of them are slower, but where no other blocks are beside it.
    assert kernel(16, 131072, 64, 4096, 1) == (1024, 8, 4)
    assert kernel(17, 131072, 64, 4096, 1) == kernel(28, 131072, 64, 4096, 1) == (0, 0)
    assert kernel(28, 131072, 64, 4096, 1, repair=True) == (1024, 8, 4)
    assert kernel(28, 131072, 64, 4096, 1, certificate=True) == (0, 0)
    many = (64, 131072, 64, 4096, 1, "bfloat16")
    assert kernel(*many) == (0, 0)
    assert kernel(*many, certificate=True) == (1024, 8, 2)
    assert kernel(*many[:3], 8192, *many[4:], certificate=True) == (0, 0)  # of few steps


def test_more_must_reach_the_bound_where_few_do() -> None:
    """For as many as there must be to be left when others are dropped."""
    device = Device("sm_90", 132)

    def wanted(k: int, b: int, kb: int, **more: Any) -> int:
        launch = launch_of(problem(60, 32768, k, b, kb, **more), device)
        return dict(launch.fields)["wanted"]

    assert wanted(64, 2048, 1) == 64  # twice as many do
    assert wanted(6, 2048, 1) == 7
    assert wanted(6, 256, 1) == 8
    assert wanted(6, 256, 1, repair=True) == 6
