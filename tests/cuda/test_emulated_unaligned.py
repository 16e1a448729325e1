"""Rows that begin anywhere, read by whole chunks, without a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem
from test_emulated_problems import check, rows_of

from approxtopk.backend import itemsize_of
from approxtopk_cuda import Device, Problem, Schedule, schedule

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
    pytest.mark.usefixtures("by_queues"),
]

#: How a row is solved, and by a device of how many multiprocessors. Lengths are such that rows end
#: at the end of a chunk, behind it, and in front of it.
PROBLEMS = {
    "block": (1, problem(9, 5003, 60, 1024, 1)),
    "passes": (2, problem(9, 20001, 200, 3072, 1, "float16", sorted=True)),
    "warp": (1, problem(70, 2100, 40, 128, 1)),
    "registers": (1, problem(128, 1101, 8, 128, 1, largest=False)),
    "parts": (2, problem(3, 17001, 100, 256, 2)),
    "held": (8, problem(8, 8191, 40, 1024, 2, "int16", index_bytes=4)),
    "held in a cluster": (8, problem(2, 16387, 64, 4096, 1, "int32")),
    "parts in a cluster": (8, problem(2, 20011, 120, 64, 2, largest=False)),
    "late": (2, problem(2, 40003, 900, 1024, 2)),
    "wide keys": (2, problem(2, 10001, 70, 2048, 1, "float64")),
}


def anywhere(p: Problem, pattern: int) -> np.ndarray:
    """Rows one element behind each other's end, so that they begin at every place in a chunk."""
    rows, pitch = p.rows, p.n + 1 + p.n % 2  # odd
    flat = rows_of(p.dtype, 1, rows * pitch + 16, pattern)[0]
    return np.lib.stride_tricks.as_strided(
        flat[pattern + 1 :], (rows, p.n), (pitch * flat.itemsize, flat.itemsize)
    )


PROMISES = ("certificate", "repair")
#: A certificate's check solves the problem without one, too.
USUAL = {
    *(("block", "certificate"), ("passes", "repair"), ("registers", "certificate")),
    *(("held", "repair"), ("held in a cluster", "certificate"), ("parts in a cluster", "repair")),
}


def each(choices: Iterable[tuple[str, str]]) -> list[Any]:
    """Names and promises; those that aren't usual take their time."""
    marks = {True: (), False: pytest.mark.exhaustive}
    return [pytest.param(*choice, marks=marks[choice in USUAL]) for choice in choices]


@pytest.mark.parametrize(("name", "promise"), each(product(PROBLEMS, ["none", *PROMISES])))
def test_rows_that_begin_anywhere(name: str, promise: str, tmp_path: Path) -> None:
    multiprocessors, p = PROBLEMS[name]
    p = replace(p, alignment=itemsize_of(p.dtype), **{} if promise == "none" else {promise: True})
    device = Device("sm_90", multiprocessors, shared_in_all=1 << 30)
    plan = schedule(p, device)
    assert isinstance(plan, Schedule)
    (launch,) = plan.launches
    macros = dict(launch.kernel.defines)
    assert macros["UNALIGNED"] == "1"
    assert int(macros["V"]) > 1
    assert (launch.cluster > 1) == ("cluster" in name)
    assert (launch.kernel.entry == "extract") == (name == "registers")
    assert macros.get("HELD", "0") == str(int("held" in name))
    assert macros["MERGE"] == str(int("parts" in name))
    assert (macros["TEAM"] == "32") == (name in ("warp", "registers"))
    assert macros["LATE"] == str(int(name in ("late", "warp") and promise == "certificate"))
    for pattern in range(3):
        arr = anywhere(p, pattern)
        if pattern == 2:  # all elements are worse than zeros, such as in front of a row
            arr -= arr.dtype.type(5 if p.largest else -5)
        check(p, device, arr, tmp_path)


@pytest.mark.parametrize(
    ("name", "promise"),
    each(product(["block", "held", "held in a cluster", "parts", "registers"], PROMISES)),
)
def test_what_hides_in_the_first_and_the_last_chunk(
    name: str, promise: str, tmp_path: Path
) -> None:
    """All results share buckets with the first element of a row, or the last one."""
    multiprocessors, p = PROBLEMS[name]
    p = replace(p, alignment=itemsize_of(p.dtype), **{promise: True})
    rng = np.random.default_rng(0)
    for pattern in range(2):
        arr = anywhere(p, 1)
        for row in arr:
            row[:] = rng.integers(-50, 50, p.n)
            for i in range(3):
                at = row[i :: p.b] if pattern == 0 else row[p.n - 1 - i :: -p.b]
                best = 50 + rng.permutation(70)[: at.size]
                best[0] = 120 + i  # the end itself, which its bucket keeps
                at[:70] = best if p.largest else -best
        check(p, Device("sm_90", multiprocessors, shared_in_all=1 << 30), arr, tmp_path)
