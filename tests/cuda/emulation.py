"""Schedules run on the host by ``emulator.cpp``: kernels as they are, without a GPU."""

from __future__ import annotations

import ctypes
import functools
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from approxtopk_cuda import Launch, Problem, Schedule, source_of
from approxtopk_cuda.driver import pack_params
from approxtopk_cuda.variants import Kernel

#: struct Cluster of emulator.cpp: 16 pointers, 2 numbers.
SIZE_OF_CLUSTER = 16 * 8 + 2 * 4


COMMAND = (
    *("g++", "-Og", "-std=c++17", "-w", "-fPIC", "-shared", "-fno-gnu-unique"),
    "-U_FORTIFY_SOURCE",  # which takes jumps between stacks for faults
)
EMULATOR = Path(__file__).parent / "emulator.cpp"


@functools.cache
def build(kernel: Kernel, text: str, folder: Path) -> Path:
    """A kernel as a shared library of the host."""
    name = f"{kernel.entry}{abs(hash((kernel, text)))}"
    source, whole, library = (folder / f"{name}.{ending}" for ending in ("cu", "cpp", "so"))
    source.write_text(text.replace("extern __shared__", "extern"))
    macros = {**dict(kernel.defines), "KERNEL_SOURCES": f'"{source}"', "ENTRY": kernel.entry}
    lines = [f"#define {name} {value}" for name, value in macros.items()]
    whole.write_text("\n".join([*lines, f'#include "{EMULATOR}"\n']))
    command = [*COMMAND, str(whole), "-o", str(library)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return library


def without_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused kernels that end where rows have been selected from without queues, or have not."""
    selects, whole = "given_directly<Team>(p, spaces, shared)", source_of
    chosen = f"if (__builtin_expect({selects}, 1)) return;"

    def alone(name: str) -> str:
        text = whole(name)
        assert text.count(chosen) == 1
        return text.replace(chosen, f"{selects}; return;")

    monkeypatch.setattr(f"{__name__}.source_of", alone)


def start(launch: Launch, params: Any, folder: Path) -> None:
    """Run all blocks of a launch; those of a cluster in turns, each in a copy of the library.

    Libraries lie beside the folder of a test, so that others find them.
    """
    library = build(launch.kernel, source_of(launch.kernel.source), folder.parent)
    if launch.cluster == 1:
        ctypes.CDLL(str(library)).run(params, launch.grid)
        return
    copies = [library.with_suffix(f".{rank}.so") for rank in range(launch.cluster)]
    for copy in copies:
        if not copy.exists():  # else it is loaded
            shutil.copyfile(library, copy)
    blocks = [ctypes.CDLL(str(copy)) for copy in copies]
    for first in range(0, launch.grid, launch.cluster):
        cluster = ctypes.create_string_buffer(SIZE_OF_CLUSTER)
        for rank, block in enumerate(blocks):
            block.begin(params, launch.grid, first + rank, cluster)
        running = blocks
        while running:
            running = [block for block in running if block.turn()]


def run(
    p: Problem, schedule: Schedule, arr: np.ndarray, folder: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, indices and certificates of an array's rows."""
    values = np.zeros((p.rows, p.k), arr.dtype)
    indices = np.full((p.rows, p.k), -1, np.int64 if p.index_bytes == 8 else np.int32)
    exact = np.full(p.rows, 7, np.uint8)
    key = np.uint64 if schedule.key_bytes == 8 else np.uint32
    scratch = [
        np.full(entries + 4, 12345, kind)
        for entries in (schedule.entries, schedule.spare_entries)
        for kind in (key, np.uint32)
    ]
    numbers = {name: getattr(p, name) for name in ("inner", "n", "b", "k", "candidates")}
    numbers["vector_out"] = int(math.gcd(p.k, p.b) * min(arr.itemsize, p.index_bytes) % 16 == 0)
    outer, step = (stride // arr.itemsize for stride in arr.strides)
    strides = (outer, 0, step, p.k, 0, 1, p.k, 0, 1)
    for launch in schedule.launches:
        order = (2, 3, 0, 1) if launch.swapped else (0, 1, 2, 3)
        arrays = (arr, values, indices, *(scratch[i] for i in order), exact)
        addresses = tuple(array.ctypes.data for array in arrays)
        params = pack_params(addresses, strides, {**numbers, **dict(launch.fields)})
        start(launch, params, folder)
    return values, indices, exact
