"""CPU tensors by way of `approxtopk_numba`, over the memory that they share with NumPy.

ImportError where Numba isn't installed; `native` serves then.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from approxtopk import Request
from approxtopk_numba.backend import NumbaBackend

Pair = tuple[Tensor, Tensor]
Tensors = tuple[Tensor, ...]

_numba = NumbaBackend()
refuses = _numba.refuses
kernel = _numba.kernel
workspace = _numba.workspace
read_again = _numba.read_again


def topk(arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
    """Select from a plain tensor; see `approxtopk.topk`.

    `out` is written by torch, at the very end: it counts the changes of its tensors.
    """
    values = torch.empty(request.out_shape, dtype=arr.dtype)
    indices = torch.empty(request.out_shape, dtype=getattr(torch, request.index_dtype))
    found = _numba.topk(_shared(arr), request, (_shared(values), _shared(indices)))
    exact = map(torch.from_numpy, found[2:])
    if out is None:
        return values, indices, *exact
    out[0].copy_(values)
    out[1].copy_(indices)
    return *out, *exact


def _shared(arr: Tensor) -> NDArray[Any]:
    """The same memory as a NumPy array; bfloat16, which NumPy lacks, as integers."""
    arr = arr.detach()
    return (arr.view(torch.int16) if arr.dtype is torch.bfloat16 else arr).numpy()
