"""NumPy arrays to tensors and back, bits and strides kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def to_tensor(array: np.ndarray, device: str) -> Any:
    """A tensor of the same strides; on another device its storage is copied whole."""
    if not array.dtype.isnative or not array.flags.writeable or min(array.strides, default=0) < 0:
        raise NotImplementedError("tensors are native and writable, with strides of at least 0")
    bfloat16 = array.dtype.name == "bfloat16"
    tensor = torch.from_numpy(array.view(np.int16) if bfloat16 else array)
    if device != "cpu" and tensor.numel():
        span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        flat = tensor.as_strided((span,), (1,)).to(device)
        tensor = flat.as_strided(tensor.shape, tensor.stride())
    tensor = tensor.to(device)
    return tensor.view(torch.bfloat16) if bfloat16 else tensor


def to_array(tensor: Any) -> np.ndarray:
    """The way back."""
    tensor = tensor.cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
