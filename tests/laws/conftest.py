"""The backends that can be tested here, each with the way from NumPy to its arrays and back."""

from __future__ import annotations

from typing import Any

import pytest
from compiled import ANY_LENGTH, BACKENDS, OF_EACH_WIDTH, Compiled
from tensors import torch_array, torch_to_numpy

import approxtopk
from approxtopk.testing import Subject

ADAPTERS: dict[str, dict[str, Any]] = {
    "numpy": {},
    "numba": {},
    "torch": {"to_array": torch_array, "to_numpy": torch_to_numpy},
}


@pytest.fixture(scope="session", params=ADAPTERS)
def backend(request: pytest.FixtureRequest) -> Subject:
    """A usable backend as a selection on NumPy arrays."""
    status = {status.name: status for status in approxtopk.backends()}.get(request.param)
    if status is None:
        pytest.skip(f"backend {request.param} is not installed")
    if not status.usable:
        pytest.skip(f"backend {request.param}: {status.reason}")
    exhaustive = "exhaustive" in request.config.option.markexpr
    kind = Compiled if request.param in BACKENDS and not exhaustive else Subject
    return kind(request.param, **ADAPTERS[request.param])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to exhaustive runs what is the same again.

    Queues of every length, for NumPy arrays and CPU tensors, are the same functions for each type
    more, which Numba compiles for a quarter of a minute. And CPU tensors of a width go one way, to
    the kernels that the same cases of every dtype meet as NumPy arrays; adversaries are for all.
    """
    for_all = ("test_adversaries", "test_every_dtype_is_served")
    for item in items:
        chosen = getattr(item, "callspec", None)
        of = chosen.params if chosen else {}
        compiled = of.get("backend") in BACKENDS and of.get("dtype") != ANY_LENGTH
        if compiled and str(of.get("edge", "")).endswith("every kb"):
            item.add_marker(pytest.mark.exhaustive)
        other = of.get("dtype", ANY_LENGTH) not in OF_EACH_WIDTH
        if of.get("backend") == "torch" and other and not item.name.startswith(for_all):
            item.add_marker(pytest.mark.exhaustive)
