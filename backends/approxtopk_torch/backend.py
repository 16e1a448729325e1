"""`TorchBackend`: CUDA kernels where they can serve, torch's own operations everywhere else."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor

from approxtopk import Request

from . import native
from .tensors import Pair, TensorBackend


class Way(Protocol):
    """What a module that selects has to offer."""

    def topk(self, arr: Tensor, request: Request, out: Pair | None = None) -> Pair:
        """Select from a plain tensor; see `approxtopk.topk`."""

    def kernel(self, request: Request) -> str:
        """What will run, in a few words."""

    def workspace(self, request: Request) -> int:
        """Bytes of extra memory."""


class TorchBackend(TensorBackend):
    """Torch tensors on any device."""

    name = "torch"

    def select(self, arr: Tensor, request: Request, out: Pair | None = None) -> Pair:
        if arr.is_neg():  # the bit that says that what is in memory is to be negated
            arr = arr.resolve_neg()
        way = _way(request)[0] if arr.is_cuda else native
        return way.topk(arr, request, out)

    def devices(self) -> tuple[str, ...]:
        names = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
        return ("cpu", *(f"cuda:{ordinal} ({name})" for ordinal, name in enumerate(names)))

    def kernel(self, request: Request) -> str:
        way, reason = _way(request)
        return way.kernel(request) + (f" (no CUDA kernel: {reason})" if reason else "")

    def workspace(self, request: Request) -> int:
        return _way(request)[0].workspace(request)


@lru_cache(maxsize=4096)
def _way(request: Request) -> tuple[Way, str | None]:
    """The module that serves a request; if it isn't `cuda` on a CUDA device, the reason."""
    if request.device_kind != "cuda":
        return native, None
    try:
        cuda: Any = import_module("approxtopk_torch.cuda")
        reason = cuda.refuses(request)
    except ImportError as error:
        reason = str(error)
    return (cuda, None) if reason is None else (native, reason)
