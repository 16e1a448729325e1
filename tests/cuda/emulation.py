"""Schedules run on the host by ``emulator.cpp``: kernels as they are, without a GPU."""

from __future__ import annotations

import ctypes
import functools
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from approxtopk_cuda import Problem, Schedule, source_of
from approxtopk_cuda.driver import pack_params
from approxtopk_cuda.variants import Kernel


@functools.cache
def build(kernel: Kernel, folder: Path) -> Any:
    """A kernel as a function of the host: (parameters, blocks)."""
    name = f"{kernel.entry}{abs(hash(kernel))}"
    source = folder / f"{name}.cu"
    source.write_text(source_of(kernel.source).replace("extern __shared__", "extern"))
    library = folder / f"{name}.so"
    command = ["g++", "-O1", "-std=c++17", "-w", "-shared", "-fPIC", "-o", str(library)]
    command += [f"-D{name}={value}" for name, value in kernel.defines]
    command += [f'-DKERNEL_SOURCES="{source}"', f"-DENTRY={kernel.entry}"]
    command.append(str(Path(__file__).parent / "emulator.cpp"))
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return ctypes.CDLL(str(library)).run


def run(
    p: Problem, schedule: Schedule, arr: np.ndarray, folder: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, indices and certificates of the rows of a contiguous array of the problem's shape."""
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
    strides = (p.n, 0, 1, p.k, 0, 1, p.k, 0, 1)
    for launch in schedule.launches:
        order = (2, 3, 0, 1) if launch.swapped else (0, 1, 2, 3)
        arrays = (arr, values, indices, *(scratch[i] for i in order), exact)
        addresses = tuple(array.ctypes.data for array in arrays)
        params = pack_params(addresses, strides, {**numbers, **dict(launch.fields)})
        build(launch.kernel, folder)(params, launch.grid)
    return values, indices, exact
