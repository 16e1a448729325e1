"""From kernel sources to machine code, by NVRTC: no CUDA toolkit, no headers, no files written."""

from __future__ import annotations

import functools
import io
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from .variants import Kernel

__all__ = ["CompileError", "compile_kernel", "compiler", "source_of"]

_FOLDER = Path(__file__).parent / "kernels"

#: What each kernel file needs before it, in order.
_PARTS = {
    "stage1": ("element", "params", "output", "team", "merge", "queue", "stage1"),
    "fused": (
        *("element", "params", "output", "team", "merge", "queue", "stage1"),
        *("select", "sort", "finish"),
    ),
    "stage2": ("element", "params", "output", "team", "merge", "select", "sort", "finish"),
    "sort": ("element", "params", "output", "team", "merge", "sort"),
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
                code = _cache[key] = compile_with_log(kernel, arch)[0]
    return code


def compile_with_log(
    kernel: Kernel, arch: str, ptxas_options: str | None = None
) -> tuple[bytes, str]:
    """Machine code and the compiler's log, uncached here.

    NVRTC has a cache of its own on disk, which holds no log of the assembler: asking for one, by
    `ptxas_options`, goes past it.
    """
    program, options = compiler()
    log = io.StringIO()
    try:
        compiled = program(
            source_of(kernel.source),
            "c++",
            options(
                arch=arch,
                std="c++17",
                define_macro=list(kernel.defines),
                **({"ptxas_options": ptxas_options, "no_cache": True} if ptxas_options else {}),
                name=f"approxtopk_{kernel.source}.cu",
            ),
        ).compile("cubin", logs=log)
    except Exception as error:
        defines = " ".join(f"-D{name}={value}" for name, value in kernel.defines)
        raise CompileError(
            f"NVRTC could not compile {kernel.source}.cu for {arch} ({defines}): "
            f"{error}\n{log.getvalue()}".replace("\0", "").rstrip()
        ) from error
    return bytes(compiled.code), log.getvalue()


@functools.cache
def compiler() -> tuple[Any, Any]:
    """The classes Program and ProgramOptions of cuda.core, with an NVRTC that answers.

    Raises
    ------
    CompileError
        One of the packages, or the library itself, is missing.
    """
    try:
        import_module("cuda.bindings.nvrtc").nvrtcVersion()
        try:
            core = import_module("cuda.core")
            return core.Program, core.ProgramOptions
        except (ImportError, AttributeError):  # before cuda.core 1.0
            core = import_module("cuda.core.experimental")
            return core.Program, core.ProgramOptions
    except Exception as error:  # the loader of the library raises errors of its own
        raise CompileError(
            "compiling CUDA kernels needs the packages cuda-core and nvidia-cuda-nvrtc: "
            "pip install 'approxtopk[cuda13]', or cuda12 for a driver of CUDA 12 "
            f"({type(error).__name__}: {error})"
        ) from error
