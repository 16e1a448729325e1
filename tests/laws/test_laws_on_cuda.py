"""Every law, edge case and promise on CUDA tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensors import torch_array, torch_to_numpy

from approxtopk.backend import SUPPORTED_DTYPES
from approxtopk.testing import check_backend

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


def cuda_tensor(array: np.ndarray) -> Any:
    """The same bytes on the device, seen with the same strides."""
    tensor = torch_array(array)
    bytes_there = tensor.untyped_storage().cuda()
    there = torch.empty(0, dtype=tensor.dtype, device="cuda")
    return there.set_(bytes_there, tensor.storage_offset(), tensor.shape, tensor.stride())


def from_cuda(tensor: Any) -> np.ndarray:
    return torch_to_numpy(tensor.cpu())


@pytest.mark.parametrize("dtype", SUPPORTED_DTYPES)
def test_cuda_tensors_keep_the_laws(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    check_backend("torch", to_array=cuda_tensor, to_numpy=from_cuda, dtypes=[dtype], max_examples=5)
