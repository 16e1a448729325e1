"""The backends that can be tested here, each with the way from NumPy to its arrays and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import approxtopk
from approxtopk.testing import Subject


def torch_array(array: np.ndarray) -> Any:
    """A tensor that shares the array's memory."""
    import torch

    if not array.dtype.isnative or not array.flags.writeable or min(array.strides, default=0) < 0:
        raise NotImplementedError("tensors are native and writable, with strides of at least 0")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def torch_to_numpy(tensor: Any) -> np.ndarray:
    """An array that shares the tensor's memory."""
    import torch

    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


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
    return Subject(request.param, **ADAPTERS[request.param])
