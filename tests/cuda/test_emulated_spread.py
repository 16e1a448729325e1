"""Few rows that all blocks of a cluster select from, each its own candidates, on the host."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import only_launch, problem
from test_emulated_problems import check, rows_of

from approxtopk_cuda import Device, Problem

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

#: Rows as short as these are shared by clusters there.
SHARING = Device(alone=2048)

#: By where a thread's candidates come from and what tells their indices, and macros of its kernel.
CASES: dict[str, tuple[Problem, dict[str, int]]] = {
    "steps": (problem(2, 8192, 300, 2048, 2), {"INDICES": 2, "MERGE": 0}),
    "packed, anywhere": (
        problem(2, 16391, 200, 4096, 1, "float16", alignment=2, largest=False),
        {"INDICES": 1, "UNALIGNED": 1},
    ),
    "halves": (problem(2, 16384, 150, 8192, 1, "int8"), {"INDICES": 1, "KEY_SHIFT": 8}),
    "wide": (problem(2, 12288, 1100, 4096, 3, "int64", index_bytes=4), {"INDICES": 2, "KB": 3}),
    "parts": (problem(2, 16384, 450, 128, 4, "float16"), {"INDICES": 0, "MERGE": 1}),
    "parts of a few": (problem(2, 16384, 140, 100, 2, "float64"), {"INDICES": 0, "MERGE": 1}),
}


def rows(p: Problem) -> dict[str, np.ndarray]:
    """Rows whose k-th is found by one count, by two, or not so; best first where it matters."""
    rng = np.random.default_rng(0)
    shape = (p.rows, p.n)
    usual, *_ = any_kind = [rows_of(p.dtype, p.rows, p.n, seed)[:, : p.n] for seed in (1, 2, 0)]
    # The whole range of values is a few's, and all others share a bin of it.
    dense = (
        np.floor(rng.random(shape) * 64) + 32
        if usual.dtype.kind == "i"
        else 1 + rng.random(shape) / 8
    )
    dense = dense.astype(p.dtype)
    info = np.finfo(p.dtype) if usual.dtype.kind == "f" else np.iinfo(p.dtype)
    dense[:, :3] = info.max
    dense[:, 5 :: p.b] = info.min
    # One of eight neighbouring buckets has something better than all others have.
    apart = rng.integers(-9, 9, shape).astype(p.dtype)
    best = 20 + np.arange(0, p.b, 8) % 50
    apart[:, : p.b : 8] = best if p.largest else -best
    return {
        **dict(zip(("usual", "few values", "any bits"), any_kind, strict=True)),
        "dense": dense,
        "apart": apart,
        "constant": np.full_like(usual, 3),
    }


@pytest.mark.parametrize("name", CASES)
def test_blocks_select_from_their_own(name: str, tmp_path: Path) -> None:
    p, macros = CASES[name]
    for arr in rows(p).values():
        pitch = p.n + (1 if p.alignment < 16 else -p.n % 16)
        padded = np.pad(arr, ((0, 0), (0, pitch - p.n)))
        (launch,) = check(replace(p, certificate=True), SHARING, padded, tmp_path).launches
    defines = {key: int(value) for key, value in launch.kernel.defines if value.isdigit()}
    assert launch.cluster > 1
    assert defines["SPREAD"] == 1
    assert macros.items() <= defines.items()


@pytest.mark.parametrize(
    ("more", "spread"),
    [
        ({}, 1),
        ({"certificate": True}, 1),
        ({"kb": 9, "b": 512}, 1),
        ({"sorted": True}, 0),  # put in order by one block
        ({"repair": True}, 0),  # selected again from what one has
        ({"k": 100}, 0),  # selected quicker by all together
        ({"kb": 9, "dtype": "bfloat16"}, 0),  # too many of a thread
        ({"rows": 1, "k": 1500, "b": 128, "kb": 16, "interleaved": False}, 0),  # 2^16, most empty
    ],
)
def test_which_rows_all_blocks_select_from(more: dict[str, int], spread: int) -> None:
    shape = {"rows": 8, "n": 65536, "k": 500, "b": 2048, "kb": 2, **more}
    macros = dict(only_launch(problem(**shape)).kernel.defines)
    assert int(macros["CLUSTER"]) > 1
    assert int(macros["SPREAD"]) == spread
