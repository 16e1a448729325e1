"""Certificates and repair where what was dropped may tie with the worst result, on the host."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import problem
from test_emulated_problems import check

from approxtopk_cuda import Device, Problem, Schedule, schedule
from approxtopk_numpy.keys import order_keys
from approxtopk_numpy.reference import select

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

#: One multiprocessor takes 16 blocks of 128 threads in two waves; with more memory, wherever rows
#: begin.
ONE = Device(multiprocessors=1)
ROOMY = replace(ONE, shared_in_all=1 << 30)

#: How what is dropped is known: a problem, a device, and macros of its kernel.
CASES: dict[str, tuple[Problem, Device, dict[str, int]]] = {
    "halves": (
        problem(24, 4096, 60, 1024, 1, "int16", certificate=True),
        ONE,
        {"COARSE": 1, "BY_THREAD": 0, "EVEN": 1},
    ),
    "halves, uneven, passes": (
        problem(20, 9001, 100, 3072, 1, "float16", largest=False, certificate=True),
        ROOMY,
        {"COARSE": 1, "BY_THREAD": 1, "EVEN": 0},
    ),
    "halves, by warps, anywhere": (
        problem(80, 2101, 18, 256, 1, "int16", alignment=2, certificate=True),
        ROOMY,
        {"COARSE": 1, "BY_THREAD": 0, "UNALIGNED": 1},
    ),
    "steps, passes": (
        problem(7, 9216, 200, 3072, 1, "int16", certificate=True),
        ROOMY,
        {"COARSE": 0, "BY_THREAD": 1, "KEY_SHIFT": 16},
    ),
    "steps, two kept": (
        problem(12, 9000, 100, 1024, 2, "float16", largest=False, certificate=True),
        ROOMY,
        {"COARSE": 0, "BY_THREAD": 0, "KEY_SHIFT": 16},
    ),
    "short": (
        problem(64, 256, 8, 32, 1, certificate=True),
        ONE,
        {"CERTIFY": 1, "KB": 1},
    ),
    "short, two kept": (
        problem(40, 250, 12, 64, 2, "float16", largest=False, certificate=True),
        ONE,
        {"CERTIFY": 1, "KB": 2},
    ),
    "short, wide": (
        problem(40, 250, 6, 64, 1, "float64", certificate=True),
        ONE,
        {"CERTIFY": 1, "KB": 1},
    ),
    "steps of parts": (
        problem(11, 9000, 30, 100, 2, "int16", certificate=True),
        ROOMY,
        {"COARSE": 0, "MERGE": 1, "KEY_SHIFT": 16},
    ),
    "halves of bytes": (
        problem(30, 8192, 20, 1024, 2, "int8", largest=False, certificate=True),
        ROOMY,
        {"COARSE": 0, "KEY_SHIFT": 8},
    ),
    "wide": (
        problem(9, 6000, 70, 1024, 2, "float64", certificate=True),
        ROOMY,
        {"COARSE": 1, "BY_THREAD": 1, "HELD": 0},
    ),
    "wide, few winners": (
        problem(4, 8192, 20, 1024, 1, "float64", certificate=True),
        Device(),
        {"COARSE": 0, "HELD": 1, "CLUSTER": 1},
    ),
    "wide, few winners, cluster": (
        problem(3, 16384, 30, 8192, 1, "float64", certificate=True),
        Device(alone=1024),
        {"COARSE": 0, "HELD": 1, "CLUSTER": 8},
    ),
    "wide, repair": (
        problem(9, 6000, 70, 1024, 2, "float64", largest=False, repair=True),
        ONE,
        {"COARSE": 1, "HELD": 0, "REPAIR": 1},
    ),
    "wide, few winners, repair": (
        problem(4, 8192, 20, 1024, 1, "float64", largest=False, repair=True),
        Device(),
        {"COARSE": 1, "HELD": 1, "REPAIR": 1},
    ),
}


def tied_rows(p: Problem, rng: np.random.Generator) -> np.ndarray:
    """Rows whose worst result ties, or nearly so, with an element of a bucket full of better ones.

    That is of the same step, or any, and in a bucket in front of the worst result's or behind it,
    often next to it. float64 values are the same in their upper halves, and less, greater or alike.
    In some rows it ties with the best of its bucket instead, or all values are different.
    """
    pitch = -(-p.n // 16) * 16 + (p.alignment < 16)  # rows begin aligned, or anywhere
    arr = np.zeros((p.rows, pitch))
    steps = p.n // p.b
    for row in arr:
        kind = rng.random()
        if kind < 0.1:
            row[: p.n] = rng.permutation(p.n) - p.n / 2
            if p.dtype == "float64" and rng.random() < 0.5:  # all alike in their upper halves
                row[: p.n] = 1 + (row[: p.n] + p.n / 2) * 2.0**-52
            continue
        row[:] = rng.integers(-60, 0, pitch)
        worst, full, *buckets = rng.permutation(p.b)[: p.k]
        if kind < 0.3 and worst ^ 1 not in buckets:
            full = worst ^ 1
        better = iter(rng.permutation(p.k) + 100)
        step, other = rng.integers(steps, size=2)
        if rng.random() < 0.6:
            other = step if rng.random() < 0.7 else min(step ^ 1, steps - 1)
        places = [place for place in rng.permutation(steps) if place != other]
        for place in places[: p.kb]:
            row[place * p.b + full] = next(better)
        for bucket in buckets[: p.k - 1 - p.kb]:
            row[rng.integers(steps) * p.b + bucket] = next(better)
        tie = 50 + 2.0**-39 * (p.dtype == "float64")
        row[step * p.b + worst] = row[other * p.b + full] = tie
        if kind > 0.9:
            row[other * p.b + full] = row[places[0] * p.b + full]
        elif p.dtype == "float64":
            row[other * p.b + full] += rng.integers(-1, 2) * 2.0**-40
    return (arr if p.largest else -arr).astype(p.dtype)


@pytest.mark.usefixtures("by_queues")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=(pytest.mark.exhaustive, ())[i % 2]) for i, name in enumerate(CASES)],
)
def test_what_may_tie_with_the_worst_result(name: str, tmp_path: Path) -> None:
    p, device, expected = CASES[name]
    rng = np.random.default_rng(0)
    hidden = np.zeros(0, bool)
    for _ in range(2):
        arr = tied_rows(p, rng)
        plan = check(p, device, arr, tmp_path)
        keys = order_keys(arr[:, : p.n], p.largest)
        best, found = select(keys, p.k, p.n, 1, True), select(keys, p.k, p.b, p.kb, True)
        hidden = np.append(hidden, (np.sort(best, 1) != np.sort(found, 1)).any(1))
    assert 0.2 < hidden.mean() < 0.8
    macros = dict(plan.launches[0].kernel.defines)
    assert {macro: int(macros[macro]) for macro in expected} == expected


@pytest.mark.usefixtures("by_queues")
def test_steps_are_left_out_only_where_others_have_work_meanwhile() -> None:
    def coarse(p: Problem) -> bool:
        plan = schedule(p, Device())
        assert isinstance(plan, Schedule)
        return dict(plan.launches[0].kernel.defines)["COARSE"] == "1"

    many = problem(16384, 16384, 64, 1024, 1, "float16", certificate=True)
    assert coarse(many)
    assert not coarse(replace(many, rows=2000))  # two waves
    assert not coarse(replace(many, certificate=False, repair=True))
    assert not coarse(replace(many, kb=2, candidates=2048))
    assert not coarse(replace(many, dtype="float32"))
    wide = replace(many, dtype="float64", rows=2)
    assert coarse(wide)
    assert coarse(replace(wide, certificate=False, repair=True))
    assert not coarse(replace(wide, dtype="int64"))
