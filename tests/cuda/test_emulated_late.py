"""Certificates by what is dropped late, without a GPU: where that tells, and where it does not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import problem
from test_emulated_problems import check

from approxtopk_cuda import Device, Problem, Schedule, schedule

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

#: So small that five rows are many: blocks of 128 or 256 threads, and a warp a row for forty, which
#: all find room.
DEVICE = Device("sm_90", 1, shared_in_all=1 << 30)

#: Queues of every kind, of one place and more; one pass over buckets or several; blocks and warps
#: for a row; steps that fill their batches, and others, the last one not full.
PROBLEMS = [
    problem(5, 8192, 640, 1024, 2, sorted=True),
    problem(5, 16384, 2000, 2048, 3),
    problem(5, 8192, 1400, 1024, 3, "int16"),
    problem(5, 9000, 1500, 1000, 3, "int16", largest=False),
    problem(5, 8200, 900, 1024, 2, "float64"),
    problem(5, 9215, 640, 1024, 2, alignment=4),
]
MORE = [
    problem(5, 65536, 7000, 4096, 3, "uint8"),
    problem(5, 8192, 640, 1024, 2),
    problem(5, 32768, 2048, 4096, 2, largest=False),
    problem(5, 9000, 700, 1000, 1, "float16", sorted=True),
    problem(5, 65536, 5000, 8192, 2, "int8"),
    problem(5, 140000, 3500, 512, 8, "int32"),
    problem(40, 1024, 100, 128, 2, index_bytes=4),
    problem(5, 16387, 1400, 2048, 3, "int16", alignment=2),
]


def swap(ranks: np.ndarray, places: np.ndarray, chosen: list[int] | np.ndarray) -> None:
    """The chosen ranks to these places; what is there goes where they were."""
    for place, rank in zip(places, chosen, strict=True):
        other = int(np.flatnonzero(ranks == rank)[0])
        ranks[[place, other]] = ranks[[other, place]]


def some_bucket(p: Problem, rng: np.random.Generator) -> int:
    """Any; of rows that begin anywhere one near their ends, where the first chunk's are."""
    return int(rng.integers(p.b) if p.alignment == 16 else rng.integers(-3, 3) % p.b)


def patterns(p: Problem, watched: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of falling ranks, 0 the best."""
    usual = np.stack([rng.permutation(p.n) for _ in range(p.rows)])
    # The best in buckets one after the other: no bucket has more than its share of them.
    even = np.empty_like(usual)
    order = np.arange(p.n)[::-1]  # the best last, where a walk begins
    even[:, order] = np.arange(p.n)
    # More in a bucket: some of the best k are its last elements, or its first, which come late.
    found = {"usual": usual, "even": even}
    steps = np.arange(p.n // p.b)
    for name, chosen in (("early", steps[::-1]), ("just early", steps[watched:]), ("late", steps)):
        for more in (p.kb, p.kb + 1):  # beside what the bucket has anyway
            arr = found[f"{more} {name}"] = even.copy()
            for row in range(p.rows):
                places = some_bucket(p, rng) + chosen[:more] * p.b
                best = rng.permutation(p.k - 1)[:more]  # not the worst, which could hide nothing
                swap(arr[row], places, best)
    # A full bucket drops at last what ties with the worst result, and has the lower index.
    tied = found["a tie late"] = even.copy()
    for ranks in tied:
        bucket = some_bucket(p, rng)
        own = np.count_nonzero(ranks[bucket :: p.b] < p.k - 1)
        chosen = [p.k, *rng.permutation(p.k - 1)[: max(0, p.kb - own)]]
        swap(ranks, bucket + np.arange(len(chosen)) * p.b, chosen)
        ranks[ranks == p.k] = p.k - 1
    return found | {"ties": np.minimum(usual, p.k // 2), "all alike": np.zeros_like(usual)}


@pytest.mark.parametrize(
    "p", [*PROBLEMS, *(pytest.param(p, marks=pytest.mark.exhaustive) for p in MORE)], ids=str
)
def test_a_row_is_certified_if_and_only_if_it_is_exact(p: Problem, tmp_path: Path) -> None:
    p = replace(p, certificate=True)
    plan = schedule(p, DEVICE)
    assert isinstance(plan, Schedule)
    (launch,) = plan.launches
    macros = dict(launch.kernel.defines)
    assert macros["LATE"] == "1"
    assert macros["UNALIGNED"] == str(int(p.alignment < 16))
    watched = int(dict(launch.fields)["watched"])
    assert int(macros["BATCH"]) <= watched <= p.n // p.b // 2
    for ranks in patterns(p, watched, np.random.default_rng(0)).values():
        # In the order of the ranks, and all different where the dtype has as many values.
        values = (p.n / 2 - ranks) * (1 if p.largest else -1)
        if p.dtype in ("int8", "float16"):
            values *= 200 / p.n
        if p.dtype == "uint8":
            values = values * 200 / p.n + 100
        pitch = -(-p.n // 16) * 16 + (p.alignment < 16)  # rows begin aligned, or anywhere
        arr = np.zeros((p.rows, pitch), p.dtype)
        arr[:, : p.n] = values
        check(p, DEVICE, arr, tmp_path)
