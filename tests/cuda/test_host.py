"""The kernels' single-thread code, compiled by g++, against NumPy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from approxtopk.backend import itemsize_of
from approxtopk_cuda.variants import Walk, common_defines, queues_for
from approxtopk_numpy.keys import order_keys

KERNELS = Path(__file__).parents[2] / "backends" / "approxtopk_cuda" / "kernels"
DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")
NOWHERE = 0xFFFFFFFF

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def build(folder: Path, dtype: str, largest: bool, walk: Walk) -> Any:
    """A shared library of the kernels' single-thread code."""
    sources = folder / "sources.cuh"
    parts = ("element", "multiplier", "params", "ranking", "queue", "chunk", "stage1")
    sources.write_text("\n".join((KERNELS / f"{part}.cuh").read_text() for part in parts))
    macros = {**common_defines(dtype, largest, 8, 256, 1), **walk.defines()}
    library = folder / f"{dtype}{int(largest)}{hash(walk)}.so"
    command = [
        "g++",
        "-O1",
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-Wno-unknown-pragmas",
        "-o",
        str(library),
    ]
    command += [f"-D{name}={value}" for name, value in macros.items()]
    command += [f'-DKERNEL_SOURCES="{sources}"', str(Path(__file__).parent / "host.cpp")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


def walk_of(kb: int, v: int, queues: str, **more: Any) -> Walk:
    settings = {"batch": 4, "interleaved": True, "strided": False, "rows_first": False, **more}
    return Walk(kb=kb, v=v, queues=queues, **settings)


def random_bits(dtype: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Any bit patterns, among them many specials and repetitions."""
    array = rng.integers(0, 256, size * np.dtype(dtype).itemsize, dtype=np.uint8).view(dtype)
    if np.dtype(dtype).kind == "f":
        specials = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], dtype)
        return np.where(rng.random(size) < 0.5, rng.choice(specials, size), array)
    info = np.iinfo(dtype)
    few = rng.choice(np.array([info.min, info.max, 0, 1], dtype), size)
    return np.where(rng.random(size) < 0.5, few, array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [True, False])
def test_keys(tmp_path: Path, dtype: str, largest: bool) -> None:
    library = build(tmp_path, dtype, largest, walk_of(1, 1, "PairQueues"))
    elements = random_bits(dtype, 20000, np.random.default_rng(0))
    keys = np.empty(elements.size, np.uint64 if itemsize_of(dtype) == 8 else np.uint32)
    back = np.empty_like(elements)
    unclear = np.empty(elements.size, np.uint8)
    library.keys_of(
        *(elements.ctypes.data_as(ctypes.c_void_p), ctypes.c_long(elements.size)),
        *(a.ctypes.data_as(ctypes.c_void_p) for a in (keys, back, unclear)),
    )
    assert (keys == order_keys(elements, largest)).all()
    certain = unclear == 0
    raw = np.dtype(f"u{elements.itemsize}")
    assert (back.view(raw)[certain] == elements.view(raw)[certain]).all()
    if np.dtype(dtype).kind == "f":
        assert (certain == ((elements != 0) & (elements == elements))).all()
    else:
        assert certain.all()


CASES = [
    # dtype, kb, v, queues, interleaved, n, b, tile, parts, splits
    ("float32", 1, 4, "PairQueues", True, 1003, 16, 16, 4, 1),
    ("float32", 2, 4, "ByteQueues", True, 1003, 16, 8, 4, 2),
    ("float32", 3, 4, "ByteQueues", True, 1000, 7, 7, 8, 1),
    ("float32", 4, 4, "ByteQueues", True, 777, 12, 12, 1, 1),
    ("float32", 5, 2, "ByteQueues", True, 999, 6, 6, 2, 1),
    ("float32", 16, 1, "ByteQueues", True, 501, 5, 5, 2, 1),
    ("float32", 2, 4, "ByteQueues", False, 1024, 8, 8, 16, 1),
    ("float32", 8, 1, "PairQueues", False, 1013, 9, 3, 4, 3),
    ("float64", 2, 2, "PairQueues", True, 515, 6, 6, 2, 1),
    ("float64", 7, 2, "ByteQueues", True, 515, 6, 6, 2, 1),
    ("float16", 1, 8, "PackedQueues", True, 2050, 16, 16, 4, 1),
    ("float16", 3, 8, "PackedQueues", True, 1999, 24, 8, 2, 1),
    ("float16", 2, 8, "PackedQueues", True, 1999, 5, 5, 16, 1),
    ("float16", 2, 4, "PairQueues", True, 1999, 8, 8, 2, 1),
    ("int8", 2, 16, "PackedQueues", True, 2049, 32, 32, 2, 1),
    ("int8", 2, 16, "HalfQueues", True, 2049, 32, 32, 2, 1),
    ("uint8", 3, 16, "HalfQueues", True, 1999, 5, 5, 16, 1),
    ("int8", 1, 4, "HalfQueues", True, 3045, 12, 12, 1, 1),
    ("uint8", 5, 8, "HalfQueues", False, 2048, 16, 16, 8, 1),
    ("uint8", 5, 8, "PackedQueues", False, 2048, 16, 16, 8, 1),
    ("int16", 4, 1, "PackedQueues", True, 333, 10, 10, 3, 1),
    ("int32", 3, 1, "PairQueues", True, 100, 40, 40, 1, 1),
    ("int64", 4, 1, "ByteQueues", True, 311, 10, 10, 2, 1),
]


@pytest.mark.parametrize(
    ("dtype", "kb", "v", "queues", "interleaved", "n", "b", "tile", "parts", "splits", "largest"),
    [
        pytest.param(*case, largest, marks=() if i % 2 == largest else pytest.mark.exhaustive)
        for largest in (True, False)
        for i, case in enumerate(CASES)
    ],
)
def test_walk(
    tmp_path: Path, dtype: str, kb: int, v: int, queues: str, interleaved: bool,
    n: int, b: int, tile: int, parts: int, splits: int, largest: bool,
) -> None:  # fmt: skip
    """Every list of a block holds the best of its virtual bucket, first index first on ties."""
    walk = walk_of(kb, v, queues, interleaved=interleaved)
    library = build(tmp_path, dtype, largest, walk)
    row = random_bits(dtype, n + v, np.random.default_rng(n))
    keys = order_keys(row[:n], largest)
    lists = tile * parts
    out_keys = np.zeros((lists, kb), np.uint64 if itemsize_of(dtype) == 8 else np.uint32)
    out_positions = np.zeros((lists, kb), np.uint32)
    numbers = np.array([1, 0, 1, n, b, tile, parts, splits, 1], np.uint32)
    runs = np.array_split(np.arange(n), b)  # the longer ones first
    for split in range(splits):
        for bucket0 in range(0, b, tile):
            threads = lists // v + 3
            library.walk_block(
                *(a.ctypes.data_as(ctypes.c_void_p) for a in (row, numbers)),
                *(ctypes.c_uint(x) for x in (threads, 0, bucket0, split)),
                *(a.ctypes.data_as(ctypes.c_void_p) for a in (out_keys, out_positions)),
            )
            for part in range(parts):
                for bucket in range(min(tile, b - bucket0)):
                    members = (
                        np.arange(bucket0 + bucket, n, b) if interleaved else runs[bucket0 + bucket]
                    )
                    members = members[split * parts + part :: parts * splits]
                    best = members[np.argsort(~keys[members], kind="stable")][:kb]
                    got = part * tile + bucket
                    expected = np.full(kb, NOWHERE, np.uint32)
                    expected[: best.size] = best
                    assert (out_positions[got] == expected).all()
                    assert (out_keys[got, : best.size] >> walk.key_shift == keys[best]).all()


def test_choice_of_queues() -> None:
    assert queues_for("bfloat16", 4, 65534, 8, True) == "PackedQueues"
    assert queues_for("bfloat16", 4, 65535, 8, True) == "PairQueues"
    assert queues_for("uint8", 4, 254, 16, True) == "HalfQueues"
    assert queues_for("uint8", 4, 255, 16, True) == "PackedQueues"
    assert queues_for("uint8", 4, 254, 16, False) == "PackedQueues"
    assert queues_for("uint8", 4, 254, 1, True) == "PackedQueues"
    assert queues_for("float32", 4, 254, 4, True) == "ByteQueues"
    assert queues_for("float32", 4, 255, 4, True) == "PairQueues"
    assert queues_for("float32", 1, 16, 4, True) == "PairQueues"
