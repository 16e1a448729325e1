"""Random problems of every kind, solved by the kernels on the host, against the reference."""

from __future__ import annotations

import itertools
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulation import run
from problems import problem
from test_host import DTYPES, random_bits

from approxtopk.backend import count_candidates
from approxtopk_cuda import Device, Problem, Schedule, schedule
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def ways(plan: Schedule) -> list[tuple[str | None, bool]]:
    """Elements of a load, and whether rows are selected from in registers."""
    found = [dict(launch.kernel.defines) for launch in plan.launches]
    return [(macros.get("V"), macros.get("LOADED", "0") != "0") for macros in found]


def check(p: Problem, device: Device, arr: np.ndarray, folder: Path) -> Schedule:
    """Solve a problem, compare with the reference, and tell how it was solved."""
    plan = schedule(p, device)
    assert isinstance(plan, Schedule)
    values, indices, exact = run(p, plan, arr, folder)
    keys = order_keys(arr[:, : p.n], p.largest)
    best = select(keys, p.k, p.n, 1, True)
    expected = best if p.repair else select(keys, p.k, p.b, p.kb, p.interleaved)
    if p.sorted:
        assert np.array_equal(indices, expected)
    assert np.array_equal(np.sort(indices, 1), np.sort(expected, 1))
    raw = np.dtype(f"u{arr.itemsize}")
    gathered = np.take_along_axis(arr.view(raw), indices.astype(np.int64), 1)
    assert np.array_equal(values.view(raw), gathered)
    if p.certificate:
        assert np.array_equal(exact, (np.sort(indices, 1) == np.sort(best, 1)).all(1))
        plain = replace(p, certificate=False)
        solved = schedule(plain, device)
        assert isinstance(solved, Schedule)
        # Else an unaligned row's buckets are numbered otherwise, or other rows take a fall-back.
        if ways(plan) == ways(solved):
            assert np.array_equal(indices, run(plain, solved, arr, folder)[1])  # the order too
    return plan


def rows_of(dtype: str, rows: int, n: int, seed: int) -> np.ndarray:
    """Rows of any bits, of a usual distribution, or of few values; each begins aligned."""
    rng = np.random.default_rng(seed)
    pitch = -(-n // 16) * 16
    pattern = seed % 3
    if pattern == 0:
        arr = random_bits(dtype, rows * pitch, rng)
    elif pattern == 1:
        arr = (rng.standard_normal(rows * pitch) * 30).clip(0 if dtype == "uint8" else -99)
    else:
        arr = rng.integers(0, 3, rows * pitch)
    return arr.astype(dtype).reshape(rows, pitch)


def random_problem(rng: random.Random, rows: int, n: int) -> Problem:
    kb = min(rng.choice([1, 1, 2, 2, 3, 4, 5, 8, 16]), n)
    most = n if kb == 1 else (n - 1) // (kb - 1)  # kb <= ceil(n / b)
    usual = [b for b in (1, 2, 3, 8, 24, 64, 100, 256, 1000, 1024, 4096, n // 2, n) if b <= most]
    b = rng.choice([*filter(None, usual), rng.randint(1, most)])
    candidates = count_candidates(n, b, kb)
    k = rng.choice([1, candidates, min(candidates, 64), rng.randint(1, candidates)])
    p = problem(rows, n, k, b, kb, rng.choice(DTYPES))
    p = replace(p, largest=rng.random() < 0.6, sorted=rng.random() < 0.4)
    p = replace(p, interleaved=rng.random() < 0.75, index_bytes=rng.choice([4, 8]))
    promise = rng.choice(["none", "certificate", "repair"])
    return replace(p, certificate=promise == "certificate", repair=promise == "repair")


def check_random(seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    n = rng.choice([1, 2, 7, 31, 64, 100, 255, 1000, 1024, 2049, 4096, 5000, 9000, 16384])
    p = random_problem(rng, rng.choice([1, 2, 3, 9]) if n < 9000 else rng.choice([1, 2]), n)
    arch, multiprocessors = rng.choice(["sm_80", "sm_90"]), rng.choice([1, 4, 8, 132])
    alone = 1024 if seed % 2 else 64 * 1024  # rows as short as these are shared by clusters, or not
    device = Device(arch, multiprocessors, clusters=arch != "sm_80", alone=alone)
    arr = rows_of(p.dtype, p.rows, n, seed)
    if rng.random() < 0.3:  # rows begin anywhere
        p = replace(p, alignment=arr.itemsize)
        arr = np.pad(arr, ((0, 0), (0, 1)))
    check(p, device, arr, folder)


@pytest.mark.parametrize("seed", [*range(8), 501])  # 501: all results are in the bin of the last
def test_random_problems(seed: int, tmp_path: Path) -> None:
    check_random(seed, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", sorted({*range(8, 512)} - {501}))
def test_more_random_problems(seed: int, tmp_path: Path) -> None:
    check_random(seed, tmp_path)


#: Whole warps, parts of warps, rows that share a warp, buckets with fewer than kb elements, parts
#: of buckets to merge.
STAGE_1 = [
    ("int8", 2, 5000, 1024, 2, {}),
    ("uint8", 1, 2560, 2048, 2, {"largest": False, "index_bytes": 4}),
    ("int16", 3, 2100, 416, 3, {}),
    ("float16", 5, 700, 64, 1, {"largest": False}),
    ("float16", 2, 900, 512, 2, {}),
    ("float32", 2, 1500, 256, 4, {}),
    ("float32", 3, 3333, 12, 2, {"index_bytes": 4}),
]


@pytest.mark.parametrize(("dtype", "rows", "n", "b", "kb", "more"), STAGE_1)
def test_stage_1(
    dtype: str, rows: int, n: int, b: int, kb: int, more: dict[str, object], tmp_path: Path
) -> None:
    p = problem(rows, n, count_candidates(n, b, kb), b, kb, dtype, **more)
    plan = check(p, Device(multiprocessors=1), rows_of(dtype, rows, n, 0), tmp_path)
    assert [launch.kernel.entry for launch in plan.launches] == ["stage1"]


#: Rows in registers: lanes and loads of every width, buckets of a lane's or several, few elements
#: of a last load, more than two kept, ties and least keys among them.
SHORT = [
    problem(40, 256, 8, 32, 2),
    problem(17, 256, 5, 64, 1, "float16", largest=False),
    problem(9, 1000, 16, 64, 3, "int16"),
    problem(9, 130, 8, 16, 3, "uint8", index_bytes=4),
    problem(9, 200, 20, 64, 3, "float64", largest=False),
    problem(3, 24, 8, 8, 2, "int8"),
]


@pytest.mark.parametrize("p", SHORT)
def test_short_rows(p: Problem, tmp_path: Path) -> None:
    for pattern, more in enumerate(({}, {"sorted": True}, {"certificate": True})):
        plan = check(
            replace(p, **more),
            Device(multiprocessors=1),
            rows_of(p.dtype, p.rows, p.n, pattern),
            tmp_path,
        )
        assert [launch.kernel.entry for launch in plan.launches] == ["short_rows"]


CLUSTERS = [
    ("fused", problem(1, 12288, 64, 2048, 1)),
    ("fused", problem(2, 10000, 300, 1024, 2, "float16", sorted=True, largest=False)),
    ("fused", problem(1, 16384, 2000, 4096, 1, "int64")),
    ("stage2", problem(1, 70000, 700, 32768, 1)),
]
LONG_LISTS = [
    (problem(1, 70000, 100, 10, 12, "int8"), 2),
    (problem(1, 50000, 60, 7, 9, "float64"), 6),
]


def with_patterns(cases: list[Any]) -> list[Any]:
    """Each with two of three patterns of rows; the third ones take their time."""
    found = []
    for (number, case), pattern in itertools.product(enumerate(cases), range(3)):
        marks = pytest.mark.exhaustive if (number + pattern) % 3 == 2 else ()
        found.append(pytest.param(*case, pattern, marks=marks))
    return found


@pytest.mark.parametrize(("entry", "p", "pattern"), with_patterns(CLUSTERS))
def test_clusters(entry: str, p: Problem, pattern: int, tmp_path: Path) -> None:
    arr = rows_of(p.dtype, p.rows, p.n, pattern)
    plan = check(p, Device(alone=1024), arr, tmp_path)
    assert any(launch.cluster > 1 and launch.kernel.entry == entry for launch in plan.launches)


@pytest.mark.parametrize(("p", "splits", "pattern"), with_patterns(LONG_LISTS))
def test_long_lists_of_several_blocks(
    p: Problem, splits: int, pattern: int, tmp_path: Path
) -> None:
    device = Device("sm_80", 8, 163 * 1024, clusters=False)
    plan = check(p, device, rows_of(p.dtype, p.rows, p.n, pattern), tmp_path)
    assert dict(plan.launches[0].fields)["splits"] == splits


@pytest.mark.parametrize("more", [{"sorted": True}, {"largest": False}])
def test_repair_of_a_row_that_hides_nearly_everything(
    more: dict[str, bool], tmp_path: Path
) -> None:
    """There is room for the results and one bucket, and the best are in five."""
    p = problem(3, 3080, 100, 110, 1, **more, repair=True)
    rng = np.random.default_rng(0)
    arr = rng.standard_normal((3, 3088)).astype(np.float32)
    for row in arr:
        for bucket in rng.choice(p.b, 5, replace=False):
            row[bucket : p.n : p.b] += 100 if p.largest else -100
    plan = check(p, Device(multiprocessors=1), arr, tmp_path)
    field = dict(plan.launches[0].fields)
    assert p.k + p.n // p.b <= field["entries"] < p.k + 2 * (p.n // p.b)


@pytest.mark.parametrize(("dtype", "largest"), [("float32", True), ("int16", False)])
def test_repair_reads_groups_again_as_long_as_there_is_room(
    dtype: str, largest: bool, tmp_path: Path
) -> None:
    """Each group that a thread takes has a bucket of which all is better than the results.

    There is room for a few groups if all of them is so, for more as it is, not for all.
    """
    p = problem(3, 8192, 300, 512, 2, dtype, largest=largest, repair=True)
    rng = np.random.default_rng(0)
    arr = rng.integers(-50, 0, (3, 8192))
    for row in arr:
        for bucket in range(int(rng.integers(4)), p.b, 8):
            row[bucket :: p.b] = rng.permutation(16) + rng.integers(1000)
    plan = check(p, Device(multiprocessors=1), (arr if largest else -arr).astype(dtype), tmp_path)
    macros, field = dict(plan.launches[0].kernel.defines), dict(plan.launches[0].fields)
    groups, longest = p.b // int(macros["V"]), int(macros["V"]) * 16
    room = field["entries"] - p.k
    assert room // longest < room // 16 < groups


def test_all_candidates_are_results_and_the_last_of_them_is_not_the_worst(tmp_path: Path) -> None:
    """It has the least key there is, as what is lost has at first."""
    p = problem(1, 50000, 128, 64, 2, "int32", certificate=True)
    arr = np.full((1, 50000), np.iinfo(np.int32).min, np.int32)
    arr[0, [6400, 6463]] = 7, 5  # the first and the last bucket
    check(p, Device(), arr, tmp_path)


@pytest.mark.parametrize("alignment", [4, 16])
def test_repair_where_half_of_a_row_is_one_bucket(alignment: int, tmp_path: Path) -> None:
    """There is room for the results and a load's buckets, wherever the row begins."""
    p = problem(5, 6000, 6, 2, 4, repair=True, alignment=alignment)
    arr = np.random.default_rng(0).integers(0, 50, (5, 6000)).astype(np.float32)
    arr[:, ::2] += 60
    if alignment < 16:
        arr = np.pad(arr, ((0, 0), (0, 1)))
    check(p, Device("sm_90", 2), arr, tmp_path)


def test_very_few_winners_of_long_rows_on_a_small_device(tmp_path: Path) -> None:
    """Which are taken out by warps, whose walks are watched whole."""
    p = problem(140, 4057, 14, 32, 1, certificate=True)
    plan = check(p, Device("sm_90", 1), rows_of(p.dtype, p.rows, p.n, 1), tmp_path)
    (launch,) = plan.launches
    assert (launch.kernel.entry, dict(launch.kernel.defines)["LATE"]) == ("extract", "0")


def test_listed_groups_of_which_none_hides_anything(tmp_path: Path) -> None:
    """A group is a bucket where loads are as narrow as an element; none is read again."""
    p = problem(2, 20000, 20, 2048, 1, "float64", step=2, repair=True)
    rng = np.random.default_rng(0)
    arr = rng.standard_normal((2, 40000))[:, ::2]
    for row in arr:
        buckets = rng.permutation(p.b)
        row[buckets[:20]] += 100  # the results
        row[buckets[20:26]] += 50  # and what comes next, two in a bucket
        row[buckets[20:26] + p.b] += 50
    plan = check(p, Device(), arr, tmp_path)
    macros = dict(plan.launches[0].kernel.defines)
    assert (macros["HELD"], macros["V"]) == ("1", "1")


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize("promise", ["certificate", "repair"])
@pytest.mark.parametrize(("n", "b", "cluster"), [(8192, 1024, 1), (16384, 4096, 8)])
def test_more_groups_hide_something_than_are_listed(
    n: int, b: int, cluster: int, promise: str, tmp_path: Path
) -> None:
    """Winners are few and found quickly, and the order is that without a certificate."""
    p = problem(2, n, 64, b, 1, "float32", **{promise: True})
    rng = np.random.default_rng(0)
    arr = rng.standard_normal((2, n)).astype(np.float32)
    for row in arr:
        for bucket in rng.choice(b // 4, 60, replace=False) * 4:
            row[bucket::b] = 100 + rng.permutation(n // b)
    plan = check(p, Device(alone=64 * 1024 // cluster), arr, tmp_path)
    assert dict(plan.launches[0].kernel.defines)["HELD"] == "1"
    assert plan.launches[0].cluster == cluster
