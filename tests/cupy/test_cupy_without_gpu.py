"""Without a GPU: declaration, reasons, kernels by CuPy's compiler, what other libraries tell."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from problems import KINDS, problem
from processes import python

import approxtopk
from approxtopk import BackendUnavailableError
from approxtopk_cuda import Device, Kernel, Schedule, schedule, source_of

SEE = """
import sys, approxtopk
status = {s.name: s for s in approxtopk.backends()}["cupy"]
print(status.usable, status.reason)
"""


def test_without_cupy_it_says_what_to_install(tmp_path: Any) -> None:
    (tmp_path / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\")")
    code = "import sys\nsys.path.insert(0, sys.argv[0] or '.')\n" + SEE
    environment = {"APPROXTOPK_PLUGINS": "approxtopk_cupy"}
    done = python(tmp_path, code, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("False No module named 'cupy'; pip install 'approxtopk[cuda13]'")
    assert "Warning" not in done.stderr


def test_declaring_imports_no_cupy(tmp_path: Any) -> None:
    code = """
import sys, numpy, approxtopk
approxtopk.topk(numpy.arange(10), 3)
assert "approxtopk_cupy" in sys.modules and "cupy" not in sys.modules
"""
    done = python(tmp_path, code, APPROXTOPK_PLUGINS="approxtopk_cupy")
    assert done.returncode == 0, done.stderr


def no_library() -> tuple[int, int]:
    raise RuntimeError("CuPy failed to load libnvrtc.so.13:\n OSError: no such file")


def no_device() -> int:
    raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({}, None),
        ({"is_hip": True}, "built for ROCm"),
        ({"driver": 0}, "no CUDA driver; install NVIDIA's"),
        ({"driver": 11080, "built_for": 11080}, "of CUDA 11.8; the kernels need 12.0 or newer"),
        ({"driver": 12040}, "built for CUDA 13 and .* 12.4; install cupy-cuda12x instead"),
        ({"devices": no_device}, "no CUDA device .*no CUDA-capable device"),
        ({"nvrtc": no_library}, "no NVRTC .* pip install nvidia-cuda-nvrtc .*libnvrtc.so.13"),
        ({"nvrtc": lambda: (11, 8)}, "NVRTC is of CUDA 11.8; the kernels need 12.0"),
    ],
)
def test_reasons_are_one_sentence(
    machine: dict[str, Any], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cupy.cuda")
    import approxtopk_cupy
    from approxtopk_cupy import available

    fine = {"driver": 13000, "built_for": 13020, "is_hip": False, "devices": lambda: 1}
    it = {**fine, "nvrtc": lambda: (13, 0), **machine}
    runtime = SimpleNamespace(
        is_hip=it["is_hip"],
        driverGetVersion=lambda: it["driver"],
        runtimeGetVersion=lambda: it["built_for"],
        getDeviceCount=it["devices"],
        CUDARuntimeError=RuntimeError,
    )
    monkeypatch.setattr(available, "runtime", runtime)
    monkeypatch.setattr(available, "nvrtc", SimpleNamespace(getVersion=it["nvrtc"]))
    if words is None:
        assert available.reason() is None
        return
    with pytest.raises(BackendUnavailableError, match=words) as caught:
        approxtopk_cupy._load()
    assert "\n" not in str(caught.value)


def test_backends_says_why_or_finds_a_device() -> None:
    pytest.importorskip("cupy.cuda")
    status = {status.name: status for status in approxtopk.backends()}["cupy"]
    assert status.usable or "CUDA" in status.reason
    assert status.array_types[0] == "cupy.ndarray"


# ---- kernels ------------------------------------------------------------------------------------


def kernels() -> list[Kernel]:
    """Those of every kind of problem."""
    more = {"certificate": problem(*KINDS["cluster"], certificate=True)}
    problems = [*(problem(*shape) for shape in KINDS.values()), *more.values()]
    schedules = [schedule(p, Device()) for p in problems]
    assert all(isinstance(s, Schedule) for s in schedules)
    return list({launch.kernel: None for s in schedules for launch in s.launches})


@lru_cache
def machine_code(kernel: Kernel, *more: str) -> bytes:
    """What CuPy's bindings of NVRTC make of a kernel with the options that the backend gives."""
    from cupy.cuda import nvrtc

    from approxtopk_cupy.modules import options_of

    program = nvrtc.createProgram(source_of(kernel.source), f"{kernel.source}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options_of(kernel), "-arch=sm_90", *more))
        return nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)


def one_of_each() -> list[Any]:
    """Of each source the last one; the others are left to exhaustive runs."""
    chosen = {kernel.source: kernel for kernel in kernels()}.values()
    return [
        pytest.param(kernel, marks=() if kernel in chosen else pytest.mark.exhaustive)
        for kernel in kernels()
    ]


@pytest.mark.parametrize("kernel", one_of_each(), ids=lambda kernel: kernel.source)
def test_kernels_compile_through_cupy(kernel: Kernel) -> None:
    pytest.importorskip("cupy.cuda")
    assert machine_code(kernel)[:4] == b"\x7fELF"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_flushing_denormals_changes_nothing(dtype: str) -> None:
    """CuPy asks for it always."""
    pytest.importorskip("cupy.cuda")
    result = schedule(problem(*KINDS["stream"], dtype), Device())
    kernel = result.launches[0].kernel
    assert machine_code(kernel, "-ftz=true") == machine_code(kernel)


# ---- arrays of other libraries ------------------------------------------------------------------


class Tensor:
    """Of a library with DLPack, which is this module."""

    def __init__(self, dtype: Any, device: tuple[int, int]) -> None:
        self.shape, self.dtype, self.device = (2, 3), dtype, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self) -> Any:
        raise AssertionError("nothing is to be exported")


def from_dlpack(array: Any) -> tuple[str, Any]:
    return ("taken", array)


class Plain:
    def __init__(self, read_only: bool = False, **more: Any) -> None:
        self.__cuda_array_interface__ = {"data": (0, read_only), "shape": (2,), **more}


@pytest.mark.parametrize(
    ("dtype", "device", "expected"),
    [
        (np.dtype("f4"), (2, 1), ("float32", "cuda:1")),
        (np.dtype(">f4"), (13, 0), (">f4", "cuda:0")),
        ("torch.bfloat16", (2, 0), ("bfloat16", "cuda:0")),
        (np.dtype("i8"), (1, 0), ("int64", "cpu")),
        (np.dtype("i8"), (10, 0), ("int64", "DLPack device 10:0")),
    ],
)
def test_what_dlpack_tells(dtype: Any, device: tuple[int, int], expected: Any) -> None:
    pytest.importorskip("cupy.cuda")
    from approxtopk_cupy import foreign

    assert foreign.describe(Tensor(dtype, device)) == ((2, 3), *expected)


def test_only_what_says_so_is_writable() -> None:
    pytest.importorskip("cupy.cuda")
    from approxtopk_cupy import foreign

    assert foreign.writable(Plain())
    assert not foreign.writable(Plain(read_only=True))
    assert not foreign.writable(Tensor(np.dtype("f4"), (2, 0)))
    with pytest.raises(TypeError, match="mask"):
        foreign.describe(Plain(mask=object()))


def test_answers_in_kind() -> None:
    pytest.importorskip("cupy.cuda")
    from approxtopk_cupy import foreign

    class Standard:
        def __array_namespace__(self) -> Any:
            return SimpleNamespace(from_dlpack=lambda array: ("standard", array))

    assert foreign.give_back(Standard(), [1, 2]) == (("standard", 1), ("standard", 2))
    assert foreign.give_back(Tensor("f4", (2, 0)), [1]) == (("taken", 1),)
    assert foreign.give_back(object(), [1, 2]) == (1, 2)


@pytest.mark.parametrize("wide", [True, False])
def test_jax_without_64_bits_gets_32(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy.cuda")
    from approxtopk_cupy import foreign

    jax = SimpleNamespace(Array=Tensor, config=SimpleNamespace(jax_enable_x64=wide))
    monkeypatch.setitem(sys.modules, "jax", jax)
    arr = Tensor("f4", (2, 0))
    request = approxtopk.Request((10,), "float32", "cuda:0", 0, 2, 10, 1)
    assert foreign.answerable(object(), request) is request
    assert foreign.answerable(arr, request).index_dtype == ("int64" if wide else "int32")
    long = replace(request, shape=(2**31 + 1,))
    if wide:
        assert foreign.answerable(arr, long) is long
    else:
        with pytest.raises(ValueError, match="2147483649 need jax_enable_x64"):
            foreign.answerable(arr, long)
    short = replace(long, index_dtype="int32")
    assert foreign.answerable(arr, short) is short


def test_what_has_no_memory_says_so() -> None:
    pytest.importorskip("cupy.cuda")
    from approxtopk_cupy import foreign

    with pytest.raises(TypeError, match="no memory; while JAX traces, call outside jit"):
        foreign.describe(object())
