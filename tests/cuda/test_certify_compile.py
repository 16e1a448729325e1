"""Kernels that certify and repair, without a GPU: what is launched fits, and spills nothing."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import pytest
from problems import DTYPES, KINDS, problem
from test_compile import check_spills, device_with, kernels_of

from approxtopk.backend import itemsize_of
from approxtopk_cuda import Device, Kernel, Problem, Schedule, schedule
from approxtopk_cuda.compile import compile_kernel
from approxtopk_cuda.cubin import sections
from approxtopk_cuda.exactness import settle
from approxtopk_cuda.teams import certify_space, static_space

ASKED = ({"certificate": True}, {"repair": True}, {"repair": True, "sorted": True})
#: One of each: candidates held, stored, in global memory; counts of several ranges; a warp's.
SHAPES = (
    *[shape for kind, shape in KINDS.items() if kind != "stream"],
    *((256, 131072, 2048, 4096, 3), (2, 300_000, 20_000, 30_000, 2), (1, 2**20, 3000, 2**18, 2)),
    *((8192, 256, 20, 64, 2), (2, 2**20, 60_000, 30_000, 2)),
)


def problems() -> list[Problem]:
    layouts = ({}, {"interleaved": False}, {"step": 3, "alignment": 1, "largest": False})
    choices = product(SHAPES, DTYPES, ASKED, layouts)
    found = [problem(*shape, dtype, **asked, **more) for shape, dtype, asked, more in choices]
    return [p for p in (settle(p, Device()) for p in found) if p.certificate or p.repair]


@pytest.mark.parametrize("device", [Device(), Device("sm_120", 170, 99 * 1024)], ids=["90", "120"])
def test_every_problem_fits(device: Device) -> None:
    """Whatever the results, someone certifies them, in the memory that there is."""
    for p in problems():
        result = schedule(p, device)
        assert isinstance(result, Schedule)
        last = result.launches[-1]
        field, macro = dict(last.fields), dict(last.kernel.defines)
        assert last.certifies
        assert result.name.endswith("repair" if p.repair else "certificate")
        assert all(launch.shared <= device.shared_per_block for launch in result.launches)
        if last.kernel.source == "short":
            continue
        b = field.get("b", p.b)  # or other buckets: rows that stay in shared memory
        assert field["run"] * b + field["longer"] == p.n
        if last.kernel.source == "certify":
            assert 1 <= field["range"] <= p.b
        if p.repair and last.kernel.source == "certify":
            selected = 2 ** (p.k - 1).bit_length() if p.sorted else p.k
            at_once = int(macro["GATHERED"]) * last.block
            assert field["entries"] >= selected + p.k + at_once
            if macro["SHARED"] == "0":
                assert result.entries >= p.rows * field["entries"]
        elif p.repair and last.kernel.source == "fused":  # results, and groups of buckets
            together = int(macro["V"]) if macro["INTERLEAVED"] > macro["MERGE"] else 1
            assert field["entries"] >= p.k + together * -(-p.n // b)
            assert field["entries"] >= p.k + min(p.k // 2, p.n - p.k)


@lru_cache
def exact_kernels(arch: str) -> list[Kernel]:
    """Those that are there for exactness, of some kind."""
    kernels = kernels_of(problems(), device_with(arch))
    return [k for k in kernels if dict(k.defines).get("WINNERS") == "1" or k.source == "certify"]


@pytest.mark.parametrize(
    ("arch", "count"), [("sm_90", 2), ("sm_80", 1), ("sm_100", 1), ("sm_120", 1)]
)
def test_kernels_compile_without_spills(arch: str, count: int) -> None:
    kernels = exact_kernels(arch)
    check_spills(kernels[:: len(kernels) // count][:count], arch)


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_every_kernel_compiles_without_spills(arch: str, part: int) -> None:
    check_spills(exact_kernels(arch)[part::8], arch)


def test_what_needs_no_certificate_gets_none() -> None:
    device = Device()
    assert not settle(problem(4, 1000, 2, 10, 2, repair=True), device).repair
    assert not settle(problem(4, 1000, 50, 10, 100, certificate=True), device).certificate


def test_whole_rows_where_that_is_cheaper_than_repair() -> None:
    def is_whole(rows: int, n: int, dtype: str = "float32", **more: Any) -> bool:
        p = settle(problem(rows, n, n // 16, n // 4, 1, dtype, repair=True, **more), Device())
        assert p.repair == (p.b < n)
        assert not p.repair or p.interleaved == more.get("interleaved", True)
        return (p.b, p.kb, p.candidates, p.interleaved) == (n, 1, n, True)

    assert is_whole(1, 10**6, sorted=True)  # too many winners to sort
    assert not is_whole(1, 10**6)
    assert is_whole(132, 4096, interleaved=False)  # a block holds a row
    assert not is_whole(133, 4096)
    assert not is_whole(132, 4096, "float64")
    assert is_whole(1, 8192, "bfloat16")


def declared_shared_bytes(code: bytes, entry: str) -> int:
    """Static shared memory of a kernel: a section of its code, of which the system has 1 KB."""
    wanted = f".nv.shared.{entry}".encode()
    (found,) = (length for name, _, length in sections(code) if name == wanted)
    return found - 1024


@pytest.mark.parametrize(
    ("shape", "dtype", "promise"),
    [
        ((16, 2292960, 32, 26976, 1), "int8", "repair"),
        ((33, 2390519, 63, 13760, 2), "int8", "certificate"),
        ((33, 772320, 111, 12872, 2), "float32", "repair"),
    ],
)
def test_shared_memory_is_enough_for_what_kernels_declare(
    shape: tuple[int, int, int, int, int], dtype: str, promise: str
) -> None:
    """Candidates fill it but for a few kilobytes."""
    device = Device()
    plan = schedule(problem(*shape, dtype, **{promise: True}), device)
    assert isinstance(plan, Schedule)
    for launch in plan.launches:
        code = compile_kernel(launch.kernel, "sm_90")
        declared = declared_shared_bytes(code, launch.kernel.entry)
        assert 0 <= declared <= device.shared_per_block - launch.shared


@pytest.mark.parametrize(
    ("shape", "dtype", "promise"),
    [
        ((1024, 50257, 50, 2560, 1), "float32", "certificate"),
        ((300, 65536, 300, 512, 2), "bfloat16", "repair"),
        ((4096, 16384, 64, 1024, 2), "float64", "certificate"),
    ],
)
def test_what_kernels_declare_is_reckoned_with(
    shape: tuple[int, int, int, int, int], dtype: str, promise: str
) -> None:
    """A few bytes more in each of eight blocks would leave half as much L1."""
    p = problem(*shape, dtype, alignment=itemsize_of(dtype), **{promise: True})
    plan = schedule(p, Device())
    assert isinstance(plan, Schedule)
    (launch,) = plan.launches
    declared = declared_shared_bytes(compile_kernel(launch.kernel, "sm_90"), "fused")
    reckoned = static_space(p, launch.block) + certify_space(p, launch.block)
    assert declared <= reckoned <= declared + 128
