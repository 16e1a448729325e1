"""Every test that takes `device` runs on the CPU, with Numba (where installed) and without.

Marked `gpu` it runs on the current CUDA device, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CPU tensors are served by torch's own operations, as where Numba isn't installed."""
    from approxtopk_torch import backend

    monkeypatch.delitem(backend.COMPILED, "cpu")
    backend._way.cache_clear()
    yield
    backend._way.cache_clear()


@pytest.fixture(params=["cpu", "cpu-native", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    if request.param == "cpu-native":
        request.getfixturevalue("without_numba")
    return request.param.partition("-")[0]


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    torch.manual_seed(20240)
    yield
    torch.use_deterministic_algorithms(False)
