"""Certificate and repair on rows made to fool buckets."""

from __future__ import annotations

from typing import Any

import adversarial
import numpy as np
import pytest
import torch
from adapters import to_array, to_tensor

import approxtopk
from approxtopk import Request
from approxtopk_triton import launch
from approxtopk_triton.backend import TritonBackend
from approxtopk_triton.layout import row_layout
from approxtopk_triton.policy import Config, Device

FUSED, TWO_STAGES = Config(True, 1, 2), Config(False, 1, 2)
ROWS = len(adversarial.KINDS)

#: dtype, largest, n, k, b, kb, interleaved, configuration
PLANS = [
    ("float16", True, 203, 9, 20, 1, True, FUSED),
    ("int64", False, 203, 20, 20, 1, True, TWO_STAGES),  # all candidates are results
    ("uint8", True, 256, 17, 16, 3, True, TWO_STAGES),
    ("float32", False, 203, 9, 12, 2, False, TWO_STAGES),
]


def run(array: np.ndarray, request: Request, config: Config) -> Any:
    tensor = to_tensor(array, "cpu")
    layout = row_layout(request.shape, request.axis, request.k, tensor.stride())
    assert layout is not None
    pipeline = launch.Pipeline(request, layout, Device(4, 32), config)
    assert "certify" in pipeline.name
    return map(to_array, pipeline(tensor, None))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_certificate_and_repair(plan: Any) -> None:
    dtype, largest, n, k, b, kb, interleaved, config = plan
    array = adversarial.rows(n + k, ROWS, n, b, interleaved, dtype, largest)
    wanted = np.sort(adversarial.top(array, k, largest), 1)
    how = {"largest": largest, "interleaved": interleaved}
    call = ((ROWS, n), dtype, "cpu", 1, k, b, kb)
    _, indices, exact = run(array, Request(*call, certificate=True, **how), config)
    assert (exact == (np.sort(indices, 1) == wanted).all(1)).all()
    assert exact.any()
    assert not exact.all()
    values, indices = run(array, Request(*call, exact=True, **how), config)
    assert (np.sort(indices, 1) == wanted).all()
    bits = f"u{array.dtype.itemsize}"
    gathered = np.take_along_axis(array, indices, 1)
    assert (gathered.view(bits) == values.view(bits)).all()


@pytest.mark.parametrize("dtype", ["float32", pytest.param("int64", marks=pytest.mark.exhaustive)])
def test_more_hidden_than_a_program_holds(dtype: str) -> None:
    array = adversarial.rows(1, 4, 700, 2, False, dtype, True)
    how = {"exact": True, "interleaved": False, "sorted": True}
    _, indices = run(array, Request((4, 700), dtype, "cpu", 1, 8, 2, 4, **how), TWO_STAGES)
    assert (indices == adversarial.top(array, 8, True)).all()


def test_along_any_axis() -> None:
    array = adversarial.rows(2, 9, 90, 10, True, "bfloat16", True)
    request = Request((90, 9), "bfloat16", "cpu", 0, 6, 10, 1, exact=True, sorted=True)
    _, indices = run(np.ascontiguousarray(array.T), request, TWO_STAGES)
    assert (adversarial.top(array, 6, True) == indices.T).all()


def test_what_needs_no_launch_is_certified_too() -> None:
    arr = torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0))
    kept_whole: dict[str, Any] = {"b": 25, "kb": 2}
    for how in (kept_whole, {"recall": 1.0}):
        result = approxtopk.topk(arr, 7, backend="triton", certificate=True, **how)
        assert result.exact.shape == (3, 4)
        assert result.exact.all()


def test_certificate_beside_strided_out() -> None:
    arr = torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0))
    values, indices = torch.empty(3, 4, 7), torch.empty(3, 7, 4, dtype=torch.int64).mT
    how: dict[str, Any] = {"b": 10, "kb": 1, "backend": "triton", "certificate": True}
    result = approxtopk.topk(arr, 7, out=(values, indices), **how)
    assert result.indices is indices
    assert result.exact.dtype == torch.bool
    assert torch.equal(arr.gather(2, indices), values)


def test_rows_too_long_to_repair_are_selected_from_whole() -> None:
    request = Request((2, 2**21), "float32", "cpu", 1, 64, 4096, 1, exact=True)
    assert TritonBackend().refuses(request) is None
    assert TritonBackend().kernel(request).startswith("narrow")
