"""Every law, edge case and promise on CUDA tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import CHECKS, checks_of
from tensors import torch_array, torch_to_numpy

from approxtopk.backend import SUPPORTED_DTYPES
from approxtopk.testing import Subject

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("torch finds no CUDA device", allow_module_level=True)  # hundreds at once

pytestmark = pytest.mark.gpu


def cuda_tensor(array: np.ndarray) -> Any:
    """The same bytes on the device, seen with the same strides."""
    tensor = torch_array(array)
    bytes_there = tensor.untyped_storage().cuda()
    there = torch.empty(0, dtype=tensor.dtype, device="cuda")
    return there.set_(bytes_there, tensor.storage_offset(), tensor.shape, tensor.stride())


def from_cuda(tensor: Any) -> np.ndarray:
    return torch_to_numpy(tensor.cpu())


@pytest.mark.parametrize(
    ("dtype", "what"),
    [(dtype, what) for dtype in SUPPORTED_DTYPES for what in checks_of(dtype)],
)
def test_cuda_tensors_keep_what_is_promised(dtype: str, what: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    CHECKS[what](Subject("torch", cuda_tensor, from_cuda, [dtype]), dtype)
