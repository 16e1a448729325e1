"""Results in order, without a GPU: winners that crowd in few bins of their range, or in one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem, ties_of_two_steps
from test_emulated_problems import check

from approxtopk_cuda import Device

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

DEVICE = Device("sm_90", 4, clusters=True)
WIDE = replace(DEVICE, multiprocessors=132, alone=1024)


def crowd(pattern: str, dtype: str, rows: int, n: int) -> np.ndarray:
    """Rows whose greatest elements lie close together, or tie, beside some that lie elsewhere."""
    rng = np.random.default_rng(n)
    narrow = rng.standard_normal((rows, n)) * 0.01
    if pattern == "spread":
        arr = narrow * 1000
    elif pattern == "one far off":
        arr = narrow
        arr[:, 7] = 100
    elif pattern == "two clusters":
        arr = np.where(rng.random((rows, n)) < 0.1, 90, 20) + narrow
    elif pattern == "ties":
        arr = np.where(rng.random((rows, n)) < 0.15, rng.integers(50, 53, (rows, n)), narrow)
    else:
        arr = np.full((rows, n), 7.0)
    return arr.astype(dtype)


PATTERNS = ("spread", "one far off", "two clusters", "ties", "equal")

#: Bins, the kernel that puts results in order, and a problem for it.
KINDS: list[tuple[int, str, Device, tuple[int, ...], str, dict[str, Any]]] = [
    (1, "fused", DEVICE, (2, 8192, 1900, 2048, 2), "float32", {}),  # a few thousand of a block
    (1, "fused", DEVICE, (24, 2500, 300, 512, 2), "float64", {}),
    (1, "fused", DEVICE, (64, 900, 60, 128, 2), "float32", {}),  # a warp
    (1, "fused", DEVICE, (2, 8192, 2048, 2048, 1), "float32", {}),  # all candidates
    (1, "fused", DEVICE, (2, 8192, 700, 2048, 2), "float32", {"repair": True}),
    (1, "fused", DEVICE, (2, 8192, 700, 2048, 2), "int8", {}),
    (1, "fused", DEVICE, (2, 8192, 700, 2048, 2), "float16", {"interleaved": False}),
    (2, "fused", DEVICE, (4, 16384, 3000, 4096, 1), "float32", {}),  # more than there are bins
    (2, "fused", WIDE, (2, 16384, 2500, 2048, 3), "float32", {"largest": False}),
    (1, "stage2", DEVICE, (1, 2**17, 1500, 2**15, 1), "float32", {}),
    (1, "sort", DEVICE, (1, 16384, 5000, 8192, 1), "float32", {}),
]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16"])
def test_equal_elements_of_a_step_and_the_next_are_in_one_bin_of_positions(
    dtype: str, tmp_path: Path
) -> None:
    """Elements of 8 and 16 bits are put in order by position; their keys have steps."""
    p = problem(2, 16000, 1005, 1000, 2, dtype, sorted=True)
    plan = check(p, DEVICE, ties_of_two_steps(2).astype(dtype), tmp_path)
    assert dict(plan.launches[-1].kernel.defines)["BINNED"] != "0"


def each() -> list[Any]:
    """Kinds and patterns: two of these for each, other ones for the next."""
    found = []
    for (number, kind), (at, pattern) in product(enumerate(KINDS), enumerate(PATTERNS)):
        usual = (at - number) % len(PATTERNS) < 2
        found.append(pytest.param(pattern, *kind, marks=() if usual else pytest.mark.exhaustive))
    return found


@pytest.mark.parametrize(("pattern", "bins", "source", "device", "shape", "dtype", "more"), each())
def test_results_in_order(
    pattern: str,
    bins: int,
    source: str,
    device: Device,
    shape: tuple[int, ...],
    dtype: str,
    more: dict[str, Any],
    tmp_path: Path,
) -> None:
    rows, n, k, b, kb = shape
    p = problem(rows, n, k, b, kb, dtype, sorted=True, **more)
    plan = check(p, device, crowd(pattern, dtype, rows, n), tmp_path)
    assert (source, str(bins)) in {
        (launch.kernel.source, dict(launch.kernel.defines).get("BINNED"))
        for launch in plan.launches
    }
