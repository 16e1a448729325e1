"""Many rows whose best lines are read again, without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulation import without_fall_back
from problems import problem
from test_emulated_loaded import needs_compiler, promises
from test_emulated_problems import check
from test_emulated_resident import PATTERNS, launch_of, rows_of

from approxtopk_cuda import Device
from approxtopk_cuda import reread as policy
from approxtopk_cuda.loaded import at_most
from approxtopk_cuda.teams import static_space

DEVICE = Device("sm_90", 1)

#: One line to a group and more; buckets as many as a power of two and not, with a cell each or more
#: than cells; rows that begin and end anywhere in a line.
PROBLEMS = {
    "halves": problem(6, 20000, 40, 512, 2, "float16"),
    "cut": problem(6, 4099, 20, 700, 3, alignment=4, largest=False, sorted=True),
    "one kept": problem(4, 32768, 40, 5000, 1, "float16"),
    "own cells": problem(6, 9001, 20, 1500, 1, "int16", alignment=2, largest=False, index_bytes=4),
}
MORE = {
    "cut halves": problem(6, 9001, 20, 1500, 2, "int16", alignment=2, largest=False, index_bytes=4),
    "words": problem(6, 9000, 5, 512, 2, "int32"),
    "long cut halves": problem(4, 50257, 50, 2048, 1, "float16", alignment=2),
    "contiguous": problem(6, 8192, 30, 512, 2, interleaved=False, repair=True),
    "many winners": problem(4, 32768, 90, 1024, 4),
    "three lines": problem(6, 40001, 50, 3000, 1, "float16", alignment=2),
}
#: Rows that are -inf but for somewhat more than k elements: their bound is that, or next to it.
INFINITE = "infinite"


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """By nothing else, though rows are few and short."""
    monkeypatch.setattr("approxtopk_cuda.reread.is_faster", lambda p, device: True)


def solve(name: str, promise: str, pattern: str, folder: Path) -> None:
    p = (PROBLEMS | MORE)[name]
    p = replace(p, certificate=promise == "certificate", repair=promise == "repair")
    assert dict(launch_of(p, DEVICE).kernel.defines)["REREAD"] != "0"
    rng = np.random.default_rng(5)
    arr = rows_of(p, "usual" if pattern == INFINITE else pattern, rng)
    if pattern == INFINITE:
        for i, row in enumerate(arr):
            row[rng.permutation(p.n)[p.k + 3 * i :]] = -np.inf if p.largest else np.inf
    check(p, DEVICE, arr, folder)


@needs_compiler
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("name", "promise"), [each for name, p in PROBLEMS.items() for each in promises(name, p)]
)
def test_all_that_is_better_than_the_bound_is_found(
    name: str, promise: str, tmp_path: Path
) -> None:
    infinite = (INFINITE,) if PROBLEMS[name].dtype[0] == "f" else ()
    for pattern in (*PATTERNS, *infinite):
        solve(name, promise, pattern, tmp_path)


def without_what_follows() -> list[Any]:
    """Those that others don't go without, one by default."""
    found = [each for name, p in (PROBLEMS | MORE).items() for each in promises(name, p)]
    chosen = ("own cells", "repair")
    return [pytest.param(*e, marks=() if e == chosen else pytest.mark.exhaustive) for e in found]


@needs_compiler
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("name", "promise"), without_what_follows())
def test_usual_rows_need_nothing_else(
    name: str, promise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fall_back(monkeypatch)
    solve(name, promise, "usual", tmp_path)


@needs_compiler
@pytest.mark.usefixtures("always")
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "promise"), [each for name, p in MORE.items() for each in promises(name, p)]
)
def test_the_same_of_more_problems(name: str, promise: str, tmp_path: Path) -> None:
    for pattern in PATTERNS:
        solve(name, promise, pattern, tmp_path)


@needs_compiler
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["halves", "one kept", "own cells"])
def test_what_others_of_a_bucket_are_ahead_of_is_dropped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is for usual rows alone, of which some have nothing to drop and some much."""
    without_fall_back(monkeypatch)
    p = replace(PROBLEMS[name], rows=6, certificate=True)
    arr = rows_of(p, "usual", np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for i, row in enumerate(arr):
        if name == "halves":  # 5 i elements too many for their buckets, and 10 that fill them
            buckets = [[b] * (2 + i) for b in rng.permutation(p.b)[:5]]
        elif name == "own cells":  # i elements too many for their buckets, up to three of each
            buckets = [
                [b] * (1 + j)
                for b, j in zip(rng.permutation(p.b)[:2], (i % 4, i // 4), strict=True)
            ]
        else:  # buckets that share a cell, i of which have an element too many
            buckets = [
                [b, *[b + 4096] * (1 + (i > j))] for j, b in enumerate(rng.permutation(900)[:5])
            ]
        # Four alike each, so that some tie with the k-th.
        best = 5000.0 + np.arange(0, 480, 8) // 32 * 32
        places = [
            b + p.b * s
            for each in buckets
            for b in set(each)
            for s in rng.permutation(p.n // p.b)[: each.count(b)]
        ]
        row[places] = rng.permutation(best if p.largest else -best)[: len(places)]
    check(p, DEVICE, arr, tmp_path)
    few = rows_of(p, "few values", np.random.default_rng(0))
    with pytest.raises(AssertionError):
        check(p, DEVICE, few, tmp_path)


def reread(rows: int, n: int, k: int, b: int, kb: int, dtype: str, **more: Any) -> bool:
    p = problem(rows, n, k, b, kb, dtype, **more)
    launches = launch_of(p, Device("sm_90", 132))
    return dict(launches.kernel.defines).get("REREAD", "0") != "0"


def test_which_rows_are_reread() -> None:
    """As was measured: for exact answers many, in two waves shorter ones, too."""
    half, word = "bfloat16", "float32"
    exact = [(300, 8192, half), (1056, 8192, half), (528, 16384, word), (2048, 24000, half)]
    exact += [(16384, 32000, word), (4096, 65000, half), (1024, 50257, half)]
    others = [(264, 32000, half), (300, 4096, half), (300, 8192, word), (1057, 16384, half)]
    others += [(300, 65536, word), (300, 65537, half), (300, 24000, "float64")]
    for rows, n, dtype in exact + others:
        found = reread(rows, n, 50, 2048, 1, dtype, alignment=2, repair=True)
        assert found == ((rows, n, dtype) in exact), (rows, n, dtype)
    assert not reread(300, 32000, 129, 2048, 1, half, repair=True)  # too many winners
    assert reread(300, 32000, 50, 2048, 1, half, interleaved=False, repair=True)
    assert not reread(300, 32000, 50, 2048, 1, half, interleaved=False)


def test_which_rows_are_reread_for_the_answer_of_a_plan() -> None:
    def way(rows: int, n: int, b: int, kb: int = 1, dtype: str = "bfloat16") -> tuple[bool, bool]:
        """Without and with a certificate."""
        shape = (rows, n, 50, b, kb, dtype)
        return reread(*shape), reread(*shape, certificate=True)

    never, always, certified = (False, False), (True, True), (False, True)
    # Buckets that keep one have cells of their own.
    assert way(528, 32000, 2048) == way(300, 65536, 2048) == always  # in one wave
    assert way(1024, 32000, 2048) == way(1056, 50257, 2048) == certified  # in two
    assert way(1057, 32000, 2048) == way(4096, 48000, 2048) == always  # in more
    assert way(4096, 50257, 2048) == certified
    assert way(300, 16384, 1024) == way(1024, 60000, 2048) == never
    assert way(300, 32000, 1024, 2) == always
    assert way(1056, 32000, 1024, 2) == certified
    assert way(1057, 32000, 1024, 2) == way(300, 50257, 1024, 2) == never
    # Queues of few steps are worth the least.
    assert way(4096, 32000, 4096) == way(1024, 50257, 4096) == always
    assert way(4096, 32000, 4096, 1, "float32") == always
    assert way(1024, 32000, 2048, 1, "float32") == never
    assert way(1024, 32000, 64) == never  # which drop too much
    assert way(1024, 32000, 4096, 4) == never  # whose candidates leave room for few blocks
    assert not reread(300, 32000, 80, 64, 4, "bfloat16")  # in which too many have company
    assert reread(300, 32000, 80, 1024, 4, "bfloat16")


@pytest.mark.parametrize("want", [8, 50, 100])
def test_how_much_reaches_a_bound(want: int) -> None:
    """By an eighth more threads than are wanted: there may be so many."""
    p = problem(300, 32768, want, 4096, 1)
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(200):
        row = rng.standard_normal(p.n, dtype="f4")
        best = row.reshape(-1, policy.TEAM, 4).max((0, 2))
        bar = np.sort(best)[-want - want // 8]
        counts.append((row >= bar).sum())
    assert min(counts) >= want
    expected = policy._reaching(p, want + want // 8)
    assert abs(np.mean(counts) / expected - 1) < 0.05
    assert at_most(expected) >= max(counts)


def test_four_blocks_find_room_and_no_fifth() -> None:
    device = Device("sm_90", 132)
    for b, kb in ((2048, 1), (4096, 1), (1024, 2)):
        p = problem(528, 32000, 50, b, kb, "bfloat16")
        launch = launch_of(p, device)
        macros = dict(launch.kernel.defines)
        assert (macros["REREAD"], macros["MIN_BLOCKS"]) == ("2", "4")
        each = launch.shared + static_space(p, policy.TEAM) + device.shared_reserved
        assert 4 * each <= device.shared_in_all < 5 * each
