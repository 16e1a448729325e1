"""Certificate and repair without a GPU: whole schedules on the host, over difficult rows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import problem

torch = pytest.importorskip("torch")

from adversaries import exact_indices, rows_for  # noqa: E402
from emulation import run  # noqa: E402

from approxtopk import Request  # noqa: E402
from approxtopk_cuda import Device, Schedule, schedule  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

#: Small, so that few rows are many; no clusters.
DEVICE = Device("sm_80", 2, 163 * 1024, clusters=False)
WIDER = replace(DEVICE, multiprocessors=8)
#: So little memory that results are looked at in ranges of buckets, and gathered in global memory.
TIGHT = replace(DEVICE, multiprocessors=64, shared_per_block=24 * 1024)

REPAIR: dict[str, Any] = {"repair": True}
CERTIFY: dict[str, Any] = {"certificate": True}


@pytest.mark.parametrize(
    ("kind", "device", "shape", "dtype", "more"),
    [
        ("short", DEVICE, (40, 256, 8, 32, 2), "float32", CERTIFY),
        ("short", WIDER, (40, 300, 12, 48, 3), "int8", CERTIFY),
        ("short", DEVICE, (9, 1000, 20, 40, 2), "bfloat16", REPAIR),
        ("warp, registers", DEVICE, (128, 1100, 8, 32, 2), "float32", REPAIR),
        ("candidates", DEVICE, (40, 512, 100, 256, 1), "bfloat16", REPAIR),
        (
            "candidates, sorted",
            DEVICE,
            (24, 2500, 60, 128, 2),
            "float64",
            REPAIR | {"sorted": True},
        ),
        ("candidates", DEVICE, (24, 3000, 200, 150, 3), "int8", CERTIFY | {"interleaved": False}),
        ("held", WIDER, (8, 8192, 64, 2048, 2), "float32", REPAIR),
        ("held", WIDER, (8, 8192, 64, 2048, 1), "float32", CERTIFY),
        ("two stages", TIGHT, (2, 20000, 500, 10000, 1), "float32", REPAIR),
    ],
)
def test_schedules(
    kind: str, device: Device, shape: tuple[int, ...], dtype: str, more: Any, tmp_path: Path
) -> None:
    rows, n, k, b, kb = shape
    for largest in (True, False) if kind == "warp, registers" else (True,):
        p = problem(rows, n, k, b, kb, dtype, largest=largest, **more)
        plan = schedule(p, device)
        assert isinstance(plan, Schedule)
        macros = dict(plan.launches[0].kernel.defines)
        assert macros.get("HELD", "0") == str(int(kind == "held"))
        assert (plan.launches[0].kernel.source == "short") == (kind == "short")
        assert (dict(plan.launches[-1].fields).get("range", b) < b) == (device is TIGHT)
        assert len(plan.launches) == (3 if kind == "two stages" else 1)
        request = Request(
            *((rows, n), dtype, "cpu", 1, k, b, kb),
            largest=largest,
            sorted=p.sorted,
            interleaved=p.interleaved,
        )
        for seed in range(3):
            arr = rows_for(request, seed)
            raw = arr.view(torch.int16).numpy() if dtype == "bfloat16" else arr.numpy()
            values, indices, exact = run(p, plan, raw, tmp_path)
            true = exact_indices(arr, k, largest).numpy()
            same = (np.sort(indices, 1) == np.sort(true, 1)).all(1)
            if p.repair:
                assert same.all()
                assert not p.sorted or np.array_equal(indices, true)
            else:
                assert np.array_equal(exact, same)
            gathered = np.take_along_axis(raw, indices.astype(np.int64), 1)
            assert np.array_equal(gathered.view(np.uint8), values.view(np.uint8))
