"""Rows that stay in shared memory, without a GPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulation import without_fall_back
from problems import problem
from test_emulated_problems import check
from test_host import random_bits

from approxtopk_cuda import Device, Launch, Problem, Schedule, schedule

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

ROWS = 24
#: A multiprocessor with room for a few blocks, so that rows come in waves.
DEVICE = Device("sm_90", 1, shared_in_all=140 * 1024)

#: Loads of all widths; steps that all buckets have and more; keys that fall; rows that begin
#: anywhere; four warps to a row and, of the larger team, eight; winners that a warp chooses from
#: four of its lanes' candidates or eight, and, where sorted, by comparing all pairs.
PROBLEMS = {
    "halves": problem(ROWS, 8192, 40, 1024, 2, "float16"),
    "cut": problem(ROWS, 8700, 80, 1024, 2, "float16", alignment=2),
    "smallest words": problem(ROWS, 4352, 20, 256, 3, "float32", largest=False, sorted=True),
}
MORE = {
    "smallest": problem(ROWS, 8300, 20, 512, 2, "int16", largest=False),
    "words": problem(ROWS, 4400, 33, 512, 3, "float32", index_bytes=4),
    "one kept": problem(ROWS, 8192, 40, 1024, 1, "float16", sorted=True),
    "integers": problem(ROWS, 4608, 40, 512, 2, "int32"),
    "cut words": problem(ROWS, 4609, 40, 512, 2, "float32", alignment=4, largest=False),
    "larger team": problem(ROWS, 32768, 50, 2048, 2, "float16"),
}


def launch_of(p: Problem, device: Device) -> Launch:
    found = schedule(p, device)
    assert isinstance(found, Schedule)
    (launch,) = found.launches
    return launch


def rows_of(p: Problem, pattern: str, rng: np.random.Generator) -> np.ndarray:
    """Rows as they are given: with a pitch that is a multiple of 16, or one behind the other."""
    pitch = p.n if p.alignment < 16 else -(-p.n // 16) * 16
    sign = 1 if p.largest else -1
    if pattern == "any bits":
        arr = random_bits(p.dtype, p.rows * pitch, rng).reshape(p.rows, pitch)
    elif pattern == "usual":
        arr = rng.standard_normal((p.rows, pitch)) * 1000
    elif pattern == "below zero":  # the k-th is zero, or next to it
        arr = -np.abs(rng.standard_normal((p.rows, pitch)) * 1000) * sign
        for i, row in enumerate(arr):
            zeros = rng.permutation(p.n)[: p.k - 3 + i]
            row[zeros] = np.where(rng.random(len(zeros)) < 0.5, 0.0, -0.0)
    elif pattern == "few buckets":  # hold what is best
        arr = rng.standard_normal((p.rows, pitch)) * 100
        for i, row in enumerate(arr):
            at = (np.arange(p.b)[None, : 4 + i] + p.b * np.arange(p.n // p.b)[:, None]).ravel()
            row[at] = np.abs(row[at]) + 1000 * sign
    else:
        assert pattern == "few values"
        arr = rng.integers(0, 3, (p.rows, pitch))
    return arr.astype(p.dtype)


def solve(name: str, promise: str, pattern: str, folder: Path, device: Device) -> None:
    p = (PROBLEMS | MORE)[name]
    p = replace(p, **{} if promise == "none" else {promise: True})
    assert dict(launch_of(p, device).kernel.defines)["RESIDENT"] != "0"
    check(p, device, rows_of(p, pattern, np.random.default_rng(5)), folder)


PROMISES = ["none", "certificate", "repair"]
PATTERNS = ["usual", "any bits", "below zero", "few buckets", "few values"]


def each() -> list[Any]:
    """Problems and promises: two of these for each, other ones for the next."""
    found = []
    for (number, name), (at, promise) in product(enumerate(PROBLEMS), enumerate(PROMISES)):
        usual = (at - number) % len(PROMISES) > 0
        found.append(pytest.param(name, promise, marks=() if usual else pytest.mark.exhaustive))
    return found


@pytest.mark.parametrize(("name", "promise"), each())
def test_all_that_is_better_than_the_bound_is_found(
    name: str, promise: str, tmp_path: Path
) -> None:
    for pattern in PATTERNS:
        solve(name, promise, pattern, tmp_path, DEVICE)


@pytest.mark.exhaustive
@pytest.mark.usefixtures("by_nothing_else")
@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", MORE)
def test_the_same_of_more_problems(name: str, promise: str, tmp_path: Path) -> None:
    device = replace(DEVICE, shared_in_all=228 * 1024) if name == "larger team" else DEVICE
    for pattern in PATTERNS:
        solve(name, promise, pattern, tmp_path, device)


def test_usual_rows_are_answered_without_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what follows in the kernel only those fail of which too much reaches the bound."""
    without_fall_back(monkeypatch)
    solve("halves", "certificate", "usual", tmp_path, DEVICE)
    with pytest.raises(AssertionError):
        solve("halves", "certificate", "few values", tmp_path, DEVICE)


@pytest.fixture
def by_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows stay where that is faster than queues, whatever else is."""
    monkeypatch.setattr("approxtopk_cuda.reread.is_faster", lambda p, device: False)


def resident(device: Device, *args: object, **kwargs: object) -> bool:
    p = problem(*args, **kwargs)
    return dict(launch_of(p, device).kernel.defines).get("RESIDENT", "0") != "0"


@pytest.mark.usefixtures("by_nothing_else")
def test_which_rows_stay() -> None:
    """Many, of few winners, and that one multiprocessor has room for several of."""
    device = Device("sm_90", 132)
    many = (16384, 16384, 64, 1024, 2, "bfloat16")
    assert resident(device, *many)
    assert not resident(Device("sm_80", 108), *many)  # without maxima of halves
    assert not resident(replace(device, shared_in_all=100 * 1024), *many)  # of two blocks
    assert not resident(device, *many[:2], 120, *many[3:])  # winners
    assert not resident(device, *many[:5], "float64")
    assert not resident(device, *many[:3], 256, 2, "bfloat16", interleaved=False)
    assert not resident(device, 1024, 65536, 64, 2048, 1, "bfloat16", repair=True)  # one block
    assert not resident(device, 264, *many[1:], repair=True)  # in registers
    # Exact answers, unless rows are short; shorter ones of 16-bit elements.
    for rows, n, dtype in (
        (300, 8192, "bfloat16"),
        (1024, 4096, "float32"),
        (600, 16384, "float32"),
    ):
        assert resident(device, rows, n, 64, 1024, 1, dtype, repair=True)
    assert resident(device, 8192, 4096, 17, 512, 1, "bfloat16", repair=True)
    assert not resident(device, 8192, 4096, 16, 512, 1, "bfloat16", repair=True)  # very few
    assert not resident(device, 8192, 2048, 32, 256, 2, repair=True)


@pytest.mark.usefixtures("by_nothing_else")
def test_which_rows_stay_for_the_answer_of_a_plan() -> None:
    """As was measured, by waves of rows: in less than one, hardly two, several."""

    def stays(rows: int, n: int, b: int, kb: int, dtype: str = "bfloat16") -> tuple[bool, bool]:
        """Without and with a certificate."""
        device, shape = Device("sm_90", 132), (rows, n, 64, b, kb, dtype)
        return resident(device, *shape), resident(device, *shape, certificate=True)

    never, always, certified = (False, False), (True, True), (False, True)
    assert stays(300, 32000, 2048, 1) == stays(300, 16384, 1024, 2, "float32") == always
    assert stays(300, 16384, 1024, 2) == certified
    assert stays(300, 16384, 1024, 1) == stays(300, 8192, 512, 2) == never
    assert stays(2048, 8192, 512, 2) == stays(2048, 4096, 512, 2, "float32") == always
    assert stays(2048, 8192, 1024, 1) == certified
    assert stays(1024, 16384, 1024, 2) == stays(600, 32000, 2048, 1) == never
    for b, kb in ((1024, 1), (1024, 2)):
        assert stays(2048, 16384, b, kb) == stays(4096, 8192, b, kb) == always
    assert stays(4096, 8192, 1024, 1, "float32") == never
    assert stays(4096, 8192, 512, 2, "float32") == always
    assert stays(8192, 4096, 512, 2) == always
    assert stays(8192, 4096, 1024, 1) == stays(2048, 4096, 512, 2) == certified
    assert stays(600, 4096, 512, 2) == stays(8192, 2048, 256, 2, "float32") == never
    assert stays(8192, 2048, 512, 2) == never  # too short
    # Nor where a warp takes a row.
    assert stays(8192, 8192, 256, 2) == stays(8192, 4096, 128, 3, "float32") == never
    assert stays(8192, 8192, 512, 1) == stays(2048, 4096, 256, 2) == never
    # A larger team's, for longer rows.
    assert stays(1024, 32768, 2048, 2) == stays(2048, 32000, 2048, 1) == always
    assert stays(1024, 32000, 2048, 1) == never
    assert stays(1024, 16384, 1024, 2, "float32") == never
    assert stays(4096, 16384, 1024, 2, "float32") == always


@pytest.mark.usefixtures("by_nothing_else")
def test_one_warp_chooses_where_instructions_count() -> None:
    def ranked(rows: int, n: int, dtype: str = "bfloat16", k: int = 64, **more: object) -> bool:
        p = problem(rows, n, k, 1024, 2, dtype, repair=True, **more)
        macros = dict(launch_of(p, Device("sm_90", 132)).kernel.defines)
        assert macros["RESIDENT"] != "0"
        return macros["RANKED"] == "1"

    assert ranked(8192, 16384)
    assert ranked(600, 8192)  # in less than a wave
    assert not ranked(2048, 8192)
    assert ranked(2048, 8192, k=32)
    assert ranked(8192, 8192, sorted=True)
    assert not ranked(2048, 4096)
    assert not ranked(2048, 4096, "float32")  # three instructions to compare a pair, not two
    assert ranked(8192, 8192, "float32")
    assert not ranked(8192, 16384, "float32")  # of 256 threads


def test_any_buckets_do_for_an_exact_answer() -> None:
    """As many as a team takes by its widest loads, by eight steps if they are aligned."""

    def buckets(n: int, b: int, kb: int, dtype: str, **more: object) -> tuple[int, str]:
        p = problem(16384, n, 64, b, kb, dtype, repair=True, **more)
        launch = launch_of(p, Device("sm_90", 132))
        macros = dict(launch.kernel.defines)
        assert macros["RESIDENT"] != "0"
        assert macros["KB"] == macros["INTERLEAVED"] == "1"
        return dict(launch.fields)["b"], macros["V"]

    assert buckets(16384, 2048, 3, "bfloat16") == (1024, "8")
    assert buckets(8192, 128, 2, "bfloat16", interleaved=False) == (1024, "8")
    assert buckets(8184, 128, 2, "bfloat16") == (512, "4")
    assert buckets(16384, 2048, 1, "float32") == (1024, "4")  # by eight warps
    assert buckets(8191, 2048, 1, "float32", alignment=4) == (512, "4")
    assert buckets(8191, 128, 2, "bfloat16", alignment=2) == (1024, "8")
