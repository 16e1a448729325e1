"""From kernel sources to machine code, by NVRTC: no CUDA toolkit, no headers, no files written."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from .cubin import frame_bytes
from .variants import Kernel, leaner

__all__ = ["CompileError", "compile_kernel", "compile_kernels", "compiler", "source_of"]

T = TypeVar("T")

_FOLDER = Path(__file__).parent / "kernels"

#: Bytes that a kernel may spill whose usual rows hardly ever get to where registers are short.
_SPARED = 32

#: What each kernel file needs before it, in order.
_PARTS = {
    "stage1": (
        *("element", "multiplier", "params", "output", "team", "merge"),
        *("ranking", "queue", "chunk", "stage1"),
    ),
    "fused": (
        *("element", "multiplier", "params", "output", "team", "cluster", "merge"),
        *("ranking", "queue", "chunk", "stage1", "indices"),
        *("listed", "selectspace", "order", "select", "quick", "sort", "finish"),
        *("buckets", "results", "hidden", "losslist", "losses", "quicklosses", "held", "repair"),
        *("candidates", "spread"),
        *("arrivals", "maxima", "resident", "loaded", "reread", "direct"),
    ),
    "extract": (
        *("element", "multiplier", "params", "output", "team", "merge"),
        *("ranking", "queue", "chunk", "stage1", "buckets"),
    ),
    "short": ("element", "multiplier", "params", "output", "team", "merge", "listed", "chunk"),
    "stage2": (
        *("element", "multiplier", "params", "output", "team", "cluster", "merge"),
        *("listed", "selectspace", "order", "select", "quick", "sort", "finish"),
    ),
    "certify": (
        *("element", "multiplier", "params", "output", "team", "cluster", "merge"),
        *("listed", "selectspace", "order", "select", "quick", "sort", "finish"),
        *("buckets", "results", "certify"),
    ),
    "sort": (
        *("element", "multiplier", "params", "output", "team", "merge"),
        *("listed", "selectspace", "order", "select"),
    ),
}

_cache: dict[tuple[Kernel, str], bytes] = {}
_locks: dict[tuple[Kernel, str], threading.Lock] = {}
_locks_guard = threading.Lock()


class CompileError(RuntimeError):
    """A kernel could not be compiled. The message names the source, the options and the log."""


@functools.cache
def source_of(name: str) -> str:
    """Source text of a kernel file with all it needs: one string, no includes.

    Give it to any compiler together with a `Kernel`'s `defines`; the entry points are
    ``extern "C"``, so their names need no lowering.
    """
    files = [f"{part}.cuh" for part in _PARTS[name]] + [f"{name}.cu"]
    return "\n".join(f'#line 1 "{file}"\n{(_FOLDER / file).read_text()}' for file in files)


def compile_kernel(kernel: Kernel, arch: str) -> bytes:
    """Machine code ("cubin") of a kernel for an architecture such as ``"sm_90"``.

    Compiled once per process and (kernel, architecture), whatever the number of threads asking.

    Raises
    ------
    CompileError
        NVRTC is missing, or refuses the source.
    """
    key = (kernel, arch)
    code = _cache.get(key)
    if code is None:
        with _locks_guard:
            lock = _locks.setdefault(key, threading.Lock())
        with lock:
            code = _cache.get(key)
            if code is None:
                code = _cache[key] = compile_to_fit(kernel, arch)[0]
    return code


def compile_kernels(kernels: Iterable[Kernel], arch: str) -> None:
    """Compile those that are not compiled yet, all at once."""
    missing = {kernel for kernel in kernels if (kernel, arch) not in _cache}
    at_once(lambda kernel: compile_kernel(kernel, arch), missing)


def at_once(compile: Callable[[Kernel], T], kernels: Collection[Kernel]) -> list[T]:
    """A thread for each kernel, and the results in order: NVRTC compiles in as many as ask it."""
    if len(kernels) < 2:
        return [compile(kernel) for kernel in kernels]
    with ThreadPoolExecutor(len(kernels)) as pool:
        return list(pool.map(compile, kernels))


def compile_to_fit(
    kernel: Kernel, arch: str, ptxas_options: str | None = None
) -> tuple[bytes, str]:
    """As `compile_with_log`, but the first of the kernel's forms that spills nothing.

    Policy allots registers by an estimate, which compilers keep to more or less: one in 100
    kernels does not fit, and another one with every release. Where no form fits, it is the one that
    spills least.
    """
    least = compile_with_log(kernel, arch, ptxas_options)
    spilled = frame_bytes(least[0])
    while spilled > may_spill(kernel) and (form := leaner(kernel)):
        kernel, made = form, compile_with_log(form, arch, ptxas_options)
        if frame_bytes(made[0]) < spilled:
            least, spilled = made, frame_bytes(made[0])
    return least


def may_spill(kernel: Kernel) -> int:
    """Bytes that a kernel may spill, since a block less for each multiprocessor costs more."""
    macros = dict(kernel.defines)
    spared = any(macros.get(way, "0") != "0" for way in ("REREAD", "RESIDENT"))
    return _SPARED if spared else 0


def compile_with_log(
    kernel: Kernel, arch: str, ptxas_options: str | None = None
) -> tuple[bytes, str]:
    """Machine code and the compiler's log, uncached here.

    NVRTC has a cache of its own on disk, which holds no log of the assembler: asking for one, by
    `ptxas_options`, goes past it.
    """
    nvrtc = compiler()
    options = [f"--gpu-architecture={arch}", "--std=c++17"]
    options += [f"-D{name}={value}" for name, value in kernel.defines]
    if ptxas_options:
        options += [f"--ptxas-options={ptxas_options}", "--no-cache"]
    source = source_of(kernel.source).encode()
    error, program = nvrtc.nvrtcCreateProgram(source, f"{kernel.source}.cu".encode(), 0, [], [])
    try:
        if not error:
            arguments = [option.encode() for option in options]
            (error,) = nvrtc.nvrtcCompileProgram(program, len(arguments), arguments)
        text = _bytes_of(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        log = text.decode().rstrip("\0\n")
        if error:
            raise CompileError(
                f"NVRTC could not compile {kernel.source}.cu for {arch} "
                f"({' '.join(options[2:])}): {error.name}\n{log}"
            )
        return _bytes_of(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program), log
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _bytes_of(size_of: Any, fill: Any, program: Any) -> bytes:
    """What NVRTC holds of a program: its log or its machine code."""
    error, size = size_of(program)
    text = bytearray(0 if error else size)
    fill(program, text)
    return bytes(text)


@functools.cache
def compiler() -> Any:
    """The module cuda.bindings.nvrtc, with a library that answers.

    Raises
    ------
    CompileError
        The package, or the library itself, is missing.
    """
    try:
        nvrtc = import_module("cuda.bindings.nvrtc")
        nvrtc.nvrtcVersion()
        return nvrtc
    except Exception as error:  # the loader of the library raises errors of its own
        raise CompileError(
            "compiling CUDA kernels needs the packages cuda-bindings and nvidia-cuda-nvrtc: "
            "pip install 'approxtopk[cuda13]', or cuda12 for a driver of CUDA 12 "
            f"({type(error).__name__}: {error})"
        ) from error
