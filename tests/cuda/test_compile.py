"""Every kernel by NVRTC, without a GPU: it compiles for all architectures and spills nothing.

What is compiled is what a GPU gets: where a kernel as planned spills, a leaner form of it.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Any

import pytest
from problems import KINDS, every_problem, problem, some_problems

import approxtopk_cuda.compile as compiling
from approxtopk_cuda import (
    CompileError,
    Device,
    Kernel,
    Schedule,
    compile_kernel,
    schedule,
    source_of,
)
from approxtopk_cuda.cubin import frame_bytes

try:
    compiling.compiler()
except CompileError as error:
    pytest.skip(str(error), allow_module_level=True)


def kernels_of(problems: list[Any], device: Device) -> list[Kernel]:
    found: dict[Kernel, None] = {}
    for p in problems:
        result = schedule(p, device)
        assert isinstance(result, Schedule)
        found.update((launch.kernel, None) for launch in result.launches)
    return list(found)


def spills(kernel: Kernel, arch: str) -> str:
    """What the assembler says of local memory, if what a GPU gets uses more than it may."""
    code, log = compiling.compile_to_fit(kernel, arch, "-v")
    assert code[:4] == b"\x7fELF"
    used = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores", log)
    assert frame_bytes(code) == max(int(frame) for frame, _ in used)
    return f"{kernel}: {used}" if frame_bytes(code) > compiling.may_spill(kernel) else ""


def device_with(arch: str) -> Device:
    return Device(arch, clusters=arch != "sm_80")


def check_spills(kernels: list[Kernel], arch: str) -> None:
    assert kernels
    assert [s for s in (spills(kernel, arch) for kernel in kernels) if s] == []


@pytest.mark.parametrize(
    ("arch", "kinds", "share"),
    [
        ("sm_90", slice(None), 72),
        ("sm_80", slice(0, None, 3), 120),
        ("sm_100", slice(1, None, 3), 120),
        ("sm_120", slice(2, None, 3), 120),
    ],
)
def test_kernels_compile_without_spills(arch: str, kinds: slice, share: int) -> None:
    """All kinds for one architecture, and for one other each."""
    some = [problem(*shape) for shape in [*KINDS.values()][kinds]]
    check_spills(kernels_of(some + some_problems()[share::share], device_with(arch)), arch)


@pytest.mark.parametrize(
    ("dtype", "more"),
    [("bfloat16", {"certificate": True, "alignment": 2}), ("float32", {"repair": True})],
)
def test_rows_that_are_read_again_keep_their_blocks(dtype: str, more: dict[str, Any]) -> None:
    """As planned, though the one with rows that begin anywhere spills a little."""
    (kernel,) = kernels_of([problem(1024, 31001, 50, 4096, 1, dtype, **more)], Device())
    macros = dict(kernel.defines)
    assert (macros["REREAD"] != "0", macros["MIN_BLOCKS"]) == (True, "4")
    planned, _ = compiling.compile_with_log(kernel, "sm_90")
    fitted, _ = compiling.compile_to_fit(kernel, "sm_90")
    assert frame_bytes(planned) == frame_bytes(fitted) <= compiling.may_spill(kernel)


@lru_cache
def every_kernel(arch: str) -> list[Kernel]:
    return kernels_of(every_problem(), device_with(arch))


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(32))
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_every_kernel_compiles_without_spills(arch: str, part: int) -> None:
    check_spills(every_kernel(arch)[part::32], arch)


@lru_cache
def small_kernel() -> Kernel:
    result = schedule(problem(*KINDS["stream"]), Device())
    assert isinstance(result, Schedule)
    return result.launches[0].kernel


def test_a_kernel_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    original = compiling.compile_with_log

    def counting(kernel: Kernel, *options: Any) -> tuple[bytes, str]:
        compiled.append(kernel)
        return original(kernel, *options)

    monkeypatch.setattr(compiling, "compile_with_log", counting)
    monkeypatch.setattr(compiling, "_cache", {})
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(compile_kernel(small_kernel(), "sm_90")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1
    assert len(set(results)) == 1


def test_kernels_of_one_schedule_are_compiled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=60)  # passed only if both are in it
    compiled = []

    def meeting(kernel: Kernel, *_: Any) -> tuple[bytes, str]:
        together.wait()
        compiled.append(kernel)
        return b"", ""

    monkeypatch.setattr(compiling, "compile_with_log", meeting)
    monkeypatch.setattr(compiling, "_cache", {})
    kernels = kernels_of([problem(*KINDS["two stages"])], Device())
    for _ in range(2):
        compiling.compile_kernels(kernels, "sm_90")
    assert set(compiled) == set(kernels)
    assert len(compiled) == 2


def with_macros(kernel: Kernel, **macros: str) -> Kernel:
    defines = {**dict(kernel.defines), **macros}
    return Kernel(kernel.source, kernel.entry, tuple(sorted(defines.items())))


def test_what_spills_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = with_macros(small_kernel(), BATCH="4", MIN_BLOCKS="12")  # 40 registers
    code, log = compiling.compile_with_log(tight, "sm_90", "-v")
    assert frame_bytes(code) > 0
    assert f"{frame_bytes(code)} bytes stack frame" in log
    monkeypatch.setattr(compiling, "_cache", {})
    assert frame_bytes(compile_kernel(tight, "sm_90")) == 0


@pytest.mark.parametrize(("fitting", "tries"), [(1, 1), (4, 4), (9, 7)])
def test_forms_of_a_kernel_are_tried_by_their_price(
    monkeypatch: pytest.MonkeyPatch, fitting: int, tries: int
) -> None:
    tried = []

    def noting(kernel: Kernel, *_: Any) -> tuple[bytes, str]:
        macro = dict(kernel.defines)
        tried.append((int(macro["BATCH"]), int(macro["MIN_BLOCKS"])))
        return bytes([len(tried)]), ""

    monkeypatch.setattr(compiling, "compile_with_log", noting)
    monkeypatch.setattr(compiling, "frame_bytes", lambda code: int(code != bytes([fitting])))
    kernel = with_macros(small_kernel(), BATCH="8", MIN_BLOCKS="5")
    code, _ = compiling.compile_to_fit(kernel, "sm_90")
    assert tried == [(8, 5), (8, 4), (4, 4), (2, 4), (2, 3), (2, 2), (2, 1)][:tries]
    assert code == bytes([fitting if fitting <= tries else 1])  # as planned, where none fits


def test_a_failure_names_source_and_log() -> None:
    kernel = small_kernel()
    broken = Kernel("stage1", "stage1", (*kernel.defines, ("V", "oops")))
    with pytest.raises(CompileError, match=r"stage1\.cu for sm_90 .*-DV=oops") as caught:
        compile_kernel(broken, "sm_90")
    assert "oops" in str(caught.value).split("\n", 1)[1]


@pytest.mark.parametrize("name", sorted(compiling._PARTS))
def test_every_kernel_waits_for_the_launch_before(name: str) -> None:
    """They are launched to begin early, so it must be before all reads and writes."""
    kernels = source_of(name).split("__global__")[1:]
    assert kernels
    for kernel in kernels:
        before, waits, _ = kernel.partition("await_launch_before();")
        assert waits
        assert not re.search(r"walk\(|p\.(keys|positions)\[|\.load\(|put\(", before)


def test_sources_need_no_headers() -> None:
    for name in ("stage1", "fused", "extract", "short", "stage2", "certify", "sort"):
        assert "#include" not in source_of(name)
