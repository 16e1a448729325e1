"""What certificates and repairs are expected to read again: by the schedule, and counted."""

from __future__ import annotations

import ctypes
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulation
import numpy as np
import pytest
from problems import problem

from approxtopk import Request
from approxtopk.exactness import flagged_if_missed, flagged_in_groups, read_again, read_in_groups
from approxtopk_cuda import Device, Kernel, Problem, Schedule, schedule, source_of, strided
from approxtopk_cuda.again import elements_read_again
from approxtopk_cuda.exactness import settle

CERTIFY: dict[str, Any] = {"certificate": True}
REPAIR: dict[str, Any] = {"repair": True}


def planned(p: Problem, device: Device) -> tuple[Problem, Schedule]:
    settled = settle(p, device)
    found = schedule(settled, device)
    assert isinstance(found, Schedule)
    return settled, found


def expected(shape: tuple[int, ...], device: Device | None = None, **how: Any) -> float:
    rows, n, k, b, kb = shape
    return elements_read_again(*planned(problem(rows, n, k, b, kb, **how), device or Device()))


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        ((8192, 256, 8, 32, 2), {}),  # registers of a warp
        ((64, 65536, 64, 2048, 2), {"dtype": "bfloat16"}),  # of a block
        ((16384, 16384, 64, 1024, 2), {"dtype": "bfloat16"}),  # shared memory
    ],
)
def test_nothing_of_rows_that_are_still_there(shape: Any, more: Any) -> None:
    assert expected(shape, **CERTIFY, **more) == expected(shape, **REPAIR, **more) == 0


def test_nothing_where_whole_rows_are_selected_from_or_nothing_can_be_missed() -> None:
    assert expected((32, 4096, 64, 512, 2), **REPAIR) == 0
    assert expected((300, 10**5, 9000, 6000, 2), sorted=True, **REPAIR) == 0
    assert expected((300, 65536, 3, 4096, 3), **REPAIR) == 0
    assert expected((300, 65536, 64, 4096, 1)) == 0


@pytest.mark.usefixtures("by_queues")
def test_groups_that_hide_something_are_read_for_a_repair_alone() -> None:
    plan, few = (131072, 64, 4096, 2), 1e-9
    for dtype, v in (("float32", 4), ("float64", 2)):
        how = {"dtype": dtype}
        assert expected((300, *plan), **CERTIFY, **how) == pytest.approx(0, abs=few)
        assert expected((300, *plan), **REPAIR, **how) == read_in_groups(*plan, v)
        assert expected((300, *plan), interleaved=False, **REPAIR, **how) == read_in_groups(
            *plan, 1
        )
    many = (131072, 2048, 2048, 2)  # of which a row hides more than have places
    assert expected((300, *many), **REPAIR) == pytest.approx(2 * read_in_groups(*many, 4), rel=0.01)


def test_the_best_lines_are_read_again_whatever_is_asked() -> None:
    """A group of two lines of eight elements for each of somewhat more than are wanted."""
    rows = (1024, 32000, 50, 4096, 1)
    for asked in (CERTIFY, REPAIR):
        groups = expected(rows, dtype="bfloat16", **asked) / 16
        assert 55 < groups < 70


def test_a_launch_of_its_own_reads_flagged_buckets_or_fewer() -> None:
    for plan, group in (((2**27, 1024, 65536, 1), 1), ((2**20, 3000, 2**18, 2), 4)):
        assert expected((1, *plan), **CERTIFY) == 0
        repaired = expected((1, *plan), **REPAIR)
        assert repaired == flagged_in_groups(*plan, group)
        assert 0 < repaired < read_again(*plan) / 20
    for plan in ((300_000, 60_000, 30_000, 2), (2**27, 64, 64, 4)):  # nothing is known of losses
        flagged = read_again(*plan)
        assert expected((2, *plan), **CERTIFY) == flagged > 0
        assert expected((2, *plan), **REPAIR) == flagged + flagged_if_missed(*plan)


def test_what_arrays_of_all_frameworks_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes of all rows, whichever axis they lie along."""
    monkeypatch.setattr(strided, "device_of", lambda ordinal: Device())
    request = Request((300, 131072), "float64", "cuda:0", 1, 64, 4096, 1, exact=True)
    told = strided.read_again(request)
    assert told == pytest.approx(300 * 8 * read_in_groups(131072, 64, 4096, 1, 2))
    assert strided.read_again(replace(request, certificate=True)) == told
    pytest.importorskip("torch")
    from approxtopk_torch import cuda

    assert cuda.read_again(request) == told


def test_cupy_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy")
    from approxtopk_cupy.backend import CupyBackend

    monkeypatch.setattr(strided, "device_of", lambda ordinal: Device())
    request = Request((300, 131072), "float32", "cuda:0", 1, 64, 4096, 1, exact=True)
    told = CupyBackend.read_again(object.__new__(CupyBackend), request)
    assert told == strided.read_again(request) > 0


# ---- counted, by kernels on the host ------------------------------------------------------------

#: Where elements are read again, and what counts them.
READS = {
    "there[j] = major < majors && has(bucket, step);": "reads += there[j];",
    "if (exists(there[j], index[j], u)) f(": "if (exists(there[j], index[j], u)) ++reads, f(",
    "const bool there = buckets.has(of, step);": "reads += there;",
    "load_streamed_if(is, (u32*)line, ends.arr + index_of_line(at));": "reads += is * each;",
}

#: Few multiprocessors, so that few rows are many; no clusters.
SMALL = Device("sm_80", 2, 163 * 1024, clusters=False)
TIGHT = replace(SMALL, multiprocessors=64, shared_per_block=24 * 1024)
ONE = Device("sm_90", 1, shared_in_all=1 << 30)


def counting(name: str) -> str:
    text = source_of(name)
    for place, count in READS.items():
        text = text.replace(place, count if place[-1] == "(" else place + count)
    return 'extern "C" { unsigned long long reads = 0; }\n' + text


def counted(kernel: Kernel, folder: Path) -> int:
    library = emulation.build(kernel, counting(kernel.source), folder.parent)
    count = ctypes.c_ulonglong.in_dll(ctypes.CDLL(str(library)), "reads")
    count.value, read = 0, count.value
    return read


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize(
    ("device", "p"),
    [
        (replace(SMALL, multiprocessors=8), problem(8, 8192, 64, 1024, 2, **REPAIR)),  # held
        (SMALL, problem(24, 2500, 200, 256, 2, **REPAIR)),
        (SMALL, problem(24, 2500, 300, 200, 2, sorted=True, **REPAIR)),  # read twice
        (SMALL, problem(24, 3000, 200, 150, 3, interleaved=False, **REPAIR)),
        (SMALL, problem(24, 3000, 200, 150, 3, **CERTIFY)),
        (SMALL, problem(128, 1100, 8, 32, 2, **REPAIR)),  # a warp's
        (SMALL, problem(128, 1100, 8, 32, 2, **CERTIFY)),
        (TIGHT, problem(2, 20000, 500, 10000, 1, **REPAIR)),  # two stages
        (TIGHT, problem(2, 20000, 500, 5000, 1, **CERTIFY)),
        (ONE, problem(2, 20000, 5000, 5000, 1, **REPAIR)),  # stage 1, which tells of no losses
        (ONE, problem(2, 20000, 5000, 5000, 1, **CERTIFY)),
        (ONE, problem(5, 8192, 260, 1024, 2, sorted=True, **CERTIFY)),  # the last steps are watched
        (ONE, problem(5, 16384, 160, 512, 2, sorted=True, **CERTIFY)),
        (replace(SMALL, arch="sm_90"), problem(8, 26000, 50, 2048, 1, "int16", **CERTIFY)),
        (replace(SMALL, arch="sm_90"), problem(8, 26000, 50, 2048, 1, **REPAIR)),  # best lines
    ],
    ids=str,
)
def test_it_is_what_kernels_read(
    device: Device, p: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "source_of", counting)
    settled, plan = planned(p, device)
    rng = np.random.default_rng(0)
    reads = []
    for _ in range(max(4, 240 // p.rows)):
        arr = np.zeros((p.rows, -(-p.n // 16) * 16), p.dtype)
        arr[:, : p.n] = rng.permuted(np.tile(np.arange(p.n), (p.rows, 1)), axis=1)
        emulation.run(settled, plan, arr, tmp_path)
        reads.append(sum(counted(each.kernel, tmp_path) for each in plan.launches) / p.rows)
    again = elements_read_again(settled, plan)
    error = np.std(reads) / math.sqrt(len(reads))
    assert abs(np.mean(reads) - again) <= 5 * error + 0.1 * again
