"""From NumPy arrays to torch tensors and back, bits kept."""

from __future__ import annotations

from typing import Any

import numpy as np


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
