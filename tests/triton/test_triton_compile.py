"""Kernels compile for GPUs of several makes and ages, here where there is none."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from approxtopk import Request

pytest.importorskip("torch")
triton = pytest.importorskip("triton")

if triton.knobs.runtime.interpret:
    pytest.skip("nothing is compiled where kernels are interpreted", allow_module_level=True)

from compiling import compile_for, planned  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402

from approxtopk_triton import kernels  # noqa: E402
from approxtopk_triton.launch import KERNELS  # noqa: E402

TARGETS = [GPUTarget("cuda", arch, 32) for arch in (80, 90, 100, 120)]
TARGETS += [GPUTarget("hip", "gfx942", 64)]


def request(shape: tuple[int, ...], dtype: str, k: int, b: int, kb: int, **more: Any) -> Request:
    return Request(shape, dtype, "cuda:0", more.pop("axis", 1), k, b, kb, **more)


#: Between them every kernel, each key width and both directions.
REQUESTS = {
    "stage 1 alone": request((128, 2**20), "float32", 65536, 32768, 2),
    "packed": request((128, 2**20), "bfloat16", 65536, 16384, 4, largest=False),
    "fused": request((256, 131072), "float32", 64, 256, 2),
    "split, merged, tournament": request((1, 2**27), "float32", 1024, 57344, 1),
    "rows adjacent": request((64, 100000, 64), "float16", 33, 32, 2),
    "contiguous, sorted": request((64, 8192), "int8", 32, 64, 3, sorted=True, interleaved=False),
    "64 bits, read again": request((3, 100000), "float64", 5000, 100000, 1),
    "wide": request((2**20, 4096), "int64", 8, 8, 2, axis=0),
    "certified": request((128, 65536), "float32", 64, 2048, 2, certificate=True),
    "repaired": request((256, 131072), "bfloat16", 2048, 4096, 3, exact=True),
    "tiny": request((5, 1), "uint8", 1, 1, 1),
}


def cases() -> Iterator[Any]:
    for name, wanted in REQUESTS.items():
        for target in TARGETS:
            everywhere = name in ("stage 1 alone", "packed", "fused")
            if everywhere or target.arch in (90, "gfx942"):
                yield pytest.param(wanted, target, id=f"{name}, {target.arch}")


@pytest.mark.parametrize(("wanted", "target"), list(cases()))
def test_compiles(wanted: Request, target: GPUTarget) -> None:
    layout, launches = planned(wanted, target)
    assert launches
    for launch in launches:
        compiled = compile_for(target, wanted, launch, layout)
        code = compiled.asm["cubin" if target.backend == "cuda" else "hsaco"]
        assert code[:4] == b"\x7fELF"


def test_every_kernel_is_compiled() -> None:
    launches = [launch for wanted in REQUESTS.values() for launch in planned(wanted, TARGETS[1])[1]]
    assert {launch.kernel for launch in launches} == KERNELS.keys()


@pytest.mark.parametrize("name", ["stage 1 alone", "packed", "fused"])
def test_reads_16_bytes_at_a_time(name: str) -> None:
    wanted, target = REQUESTS[name], GPUTarget("cuda", 90, 32)
    layout, launches = planned(wanted, target)
    ptx = compile_for(target, wanted, launches[0], layout).asm["ptx"]
    vectors = re.findall(r"ld\.global[.\w:]*\.v4\.b32", ptx)
    assert len(vectors) >= launches[0].constants["U"]


def test_an_older_triton_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "__version__", "3.5.1")
    with pytest.raises(ImportError, match=r"or newer, not 3\.5\.1"):
        importlib.reload(kernels)


def test_no_arithmetic_on_floats() -> None:
    """What keeps NaN payloads, denormals and signs of zeros out of harm's way."""
    wanted, target = REQUESTS["stage 1 alone"], GPUTarget("cuda", 90, 32)
    layout, (launch,) = planned(wanted, target)
    ptx = compile_for(target, wanted, launch, layout).asm["ptx"]
    assert not re.search(r"\b(add|mul|fma|max|min|setp[.\w]*)(\.\w+)*\.f(16|32|64)\b", ptx)
