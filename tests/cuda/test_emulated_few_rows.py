"""Certificates and repair of few long rows, which the blocks of a cluster share, on the host."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem
from test_emulated_late import swap
from test_emulated_problems import check, rows_of

from approxtopk_cuda import Device, Problem

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

LITTLE_SHARED = Device(shared_per_block=30 * 1024)

#: A problem, a device, and what repair finds there: whether it is known what was lost, whether
#: there is room for repair in shared memory, whether all buckets are counted at once.
CASES: dict[str, tuple[Problem, Device, tuple[int, int, bool]]] = {
    "known": (problem(2, 70000, 700, 300, 16), Device(), (1, 1, True)),
    "not known": (problem(1, 70000, 100, 10, 12, "float64", sorted=True), Device(), (0, 1, True)),
    "contiguous": (problem(1, 70000, 90, 10, 12, interleaved=False), Device(), (1, 1, True)),
    "global": (problem(2, 60000, 500, 1000, 8, largest=False), LITTLE_SHARED, (1, 0, True)),
    "ranges": (problem(1, 40000, 700, 20000, 1, "int16"), LITTLE_SHARED, (1, 0, False)),
}


def packed(p: Problem, arr: np.ndarray, rising: bool) -> np.ndarray:
    """The best in half the buckets that results could fill: better and better, or anyhow.

    These buckets hide all that they drop, for there are worse ones among the results.
    """
    rng = np.random.default_rng(0)
    arr = arr.copy()
    for row in arr:
        best = np.sort(row[: p.n])[:: -1 if p.largest else 1]
        buckets = rng.choice(p.b, (p.k // p.kb + 1) // 2, replace=False)
        if p.interleaved:
            places = (buckets + np.arange(p.n // p.b)[:, None] * p.b).ravel()
        else:
            places = (buckets[:, None] * (p.n // p.b + 1) + np.arange(p.n // p.b)).ravel()
            places = places[places < p.n]
        best = best[: len(places)][::-1]
        row[places] = best if rising else rng.permutation(best)
    return arr


def each() -> list[Any]:
    """Cases and promises, and whether rows are of every kind: those of the first; else of two."""
    some = [(name, "repair", name == "known") for name in CASES]
    more = [(name, "repair", True) for name in CASES if name != "known"]
    marked = [pytest.param(*one, marks=pytest.mark.exhaustive) for one in more]
    return [*some, ("known", "certificate", True), *marked]


@pytest.mark.parametrize(("name", "promise", "whole"), each())
def test_blocks_share_a_row(name: str, promise: str, whole: bool, tmp_path: Path) -> None:
    p, device, expected = CASES[name]
    p = replace(p, certificate=promise == "certificate", repair=promise == "repair")
    spread, few = (rows_of(p.dtype, p.rows, p.n, seed) for seed in (1, 2))
    rising, anyhow = (packed(p, spread, rising) for rising in (True, False))
    for arr in (spread, few, rising, anyhow) if whole else (few, anyhow):
        last = check(p, device, arr, tmp_path).launches[-1]
    macro, field = dict(last.kernel.defines), dict(last.fields)
    assert (last.kernel.entry, last.cluster) == ("certify", 8)
    if promise == "repair":
        assert (int(macro["LOST"]), int(macro["SHARED"]), field["range"] >= p.b) == expected


#: Of seven buckets of which twelve are kept, those that the best of a row are in, the best first.
FULL: dict[str, list[list[int]]] = {
    "certificate": [  # full of results, hiding nothing or one more; the worst result in it
        np.repeat(range(7), [12, 8, 8, 8, 8, 8, 8]).tolist(),
        np.repeat(range(7), [13, 8, 8, 8, 8, 8, 7]).tolist(),
        np.repeat(range(7), [12, 8, 8, 8, 8, 8, 8])[::-1].tolist(),
    ],
    "repair": [[*np.repeat(range(7), [11, 14, 7, 7, 7, 7, 7]), 2, 0]],  # two hidden, so it is too
}


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize("promise", FULL)
def test_buckets_full_of_results(promise: str, tmp_path: Path) -> None:
    where = FULL[promise]
    p = problem(len(where), 70000, 60, 7, 12)
    p = replace(p, certificate=promise == "certificate", repair=promise == "repair")
    rng = np.random.default_rng(0)
    arr = rng.random((p.rows, p.n)).astype(np.float32)
    for row, buckets in zip(arr, where, strict=True):
        steps = rng.permutation(p.n // p.b)[: len(buckets)]
        row[steps * p.b + buckets] = 100 - np.arange(len(buckets))
    last = check(p, Device(), arr, tmp_path).launches[-1]
    assert (last.kernel.entry, last.cluster, dict(last.kernel.defines)["LOST"]) == (
        "certify",
        8,
        "0",
    )


#: Of a thread's own buckets, of parts that are merged, and packed with steps.
SHARED: dict[str, tuple[Problem, bool]] = {
    "whole": (problem(6, 16384, 300, 2048, 2), False),
    "parts": (problem(6, 32768, 300, 512, 2), True),
    "packed": (problem(6, 16384, 300, 4096, 1, "int16", largest=False), False),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_tie_with_what_any_block_lost(name: str, tmp_path: Path) -> None:
    """Which is better than the worst result, or not: the lower index tells."""
    p, merged = SHARED[name]
    p = replace(p, certificate=True)
    arr = np.empty((p.rows, p.n), np.int64)
    for number, ranks in enumerate(arr):
        ranks[::-1] = np.arange(p.n)  # the best last, no more of them in a bucket than it keeps
        swap(ranks, np.array([p.n - 1 if number % 2 else p.n - p.b]), [p.k - 1])
        bucket = (1, p.b // 2, p.b - 2)[number // 2]  # of the first block, one between and the last
        *rest, tie = bucket + np.arange(p.n // p.b) * p.b  # of the k-th's step
        if ranks[tie] < p.k:
            swap(ranks, np.array([tie]), [p.n - 1])
        swap(ranks, np.array(rest[: p.kb]), np.arange(p.kb))
        ranks[tie] = p.k - 1
    values = (p.n // 2 - arr if p.largest else arr - p.n // 2).astype(p.dtype)
    (launch,) = check(p, Device(alone=1024), values, tmp_path).launches
    macros = dict(launch.kernel.defines)
    assert launch.cluster > 1
    assert (macros["HELD"], macros["MERGE"]) == ("0", str(int(merged)))
