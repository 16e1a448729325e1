"""The whole kernel of stage 1, compiled by g++ and run by threads of the host, against NumPy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem
from test_host import random_bits

from approxtopk_cuda import Device, Launch, Problem, Schedule, schedule, source_of
from approxtopk_cuda.driver import pack_params
from approxtopk_numpy.keys import order_keys

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def build(folder: Path, launch: Launch) -> Any:
    sources = folder / "sources.cuh"
    sources.write_text(source_of("stage1").replace("extern __shared__", "extern"))
    library = folder / "block.so"
    command = ["g++", "-O1", "-std=c++17", "-shared", "-fPIC", "-pthread", "-Wno-unknown-pragmas"]
    command += [f"-D{name}={value}" for name, value in launch.kernel.defines]
    command += [f'-DKERNEL_SOURCES="{sources}"', str(Path(__file__).parent / "host_block.cpp")]
    subprocess.run([*command, "-o", str(library)], check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


def run(folder: Path, p: Problem, rows: np.ndarray, device: Device) -> tuple[Any, Any]:
    """Values and indices of `rows`, by the one launch that the policy plans."""
    result = schedule(p, device)
    assert isinstance(result, Schedule)
    (launch,) = result.launches
    library = build(folder, launch)
    values = np.empty((p.rows, p.k), rows.dtype)
    indices = np.full((p.rows, p.k), -1, f"int{8 * p.index_bytes}")
    numbers = {name: getattr(p, name) for name in ("inner", "n", "b", "k", "candidates")}
    numbers = {**numbers, "vector_out": int(p.b % 16 == 0), **dict(launch.fields)}
    pointers = (rows.ctypes.data, values.ctypes.data, indices.ctypes.data, *[0] * 5)
    strides = (rows.strides[0] // rows.itemsize, 0, 1, p.k, 0, 1, p.k, 0, 1)
    params = pack_params(pointers, strides, numbers)
    assert len(params) == library.size_of_params()
    library.run(params)
    return values, indices


#: dtype, rows, n, b, kb, more: whole warps, parts of warps, rows that share a warp, buckets with
#: fewer than kb elements, parts of buckets to merge.
CASES = [
    ("int8", 2, 5000, 1024, 2, {}),
    ("uint8", 1, 2560, 2048, 2, {"largest": False, "index_bytes": 4}),
    ("int16", 3, 2100, 416, 3, {}),
    ("float16", 5, 700, 64, 1, {"largest": False}),
    ("float16", 2, 900, 512, 2, {}),
    ("float32", 2, 1500, 256, 4, {}),
    ("float32", 3, 3333, 12, 2, {"index_bytes": 4}),
]


@pytest.mark.parametrize(("dtype", "rows", "n", "b", "kb", "more"), CASES)
def test_stage1(
    tmp_path: Path, dtype: str, rows: int, n: int, b: int, kb: int, more: dict[str, Any]
) -> None:
    sizes = np.array([-(-(n - j) // b) for j in range(b)])
    k = int(np.minimum(kb, sizes).sum())
    pitch = -(-n // 16) * 16  # every row aligned
    arr = random_bits(dtype, rows * pitch, np.random.default_rng(n)).reshape(rows, pitch)
    device = Device(multiprocessors=1)
    p = problem(rows, n, k, b, kb, dtype, **more)
    values, indices = run(tmp_path, p, arr, device)
    raw = np.dtype(f"u{arr.itemsize}")
    for row, row_values, row_indices in zip(arr, values, indices, strict=True):
        keys = order_keys(row[:n], p.largest)
        expected = np.full((kb, b), -1)
        for j in range(b):
            members = np.arange(j, n, b)
            best = members[np.argsort(~keys[members], kind="stable")][:kb]
            expected[: best.size, j] = best
        assert (row_indices == expected[expected >= 0]).all()
        assert (row_values.view(raw) == row[row_indices].view(raw)).all()
