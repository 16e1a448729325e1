"""Every test that takes `device` runs on the CPU, and marked `gpu` on the current CUDA device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    return request.param


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    torch.manual_seed(20240)
    yield
    torch.use_deterministic_algorithms(False)
