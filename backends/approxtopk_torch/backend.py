"""`TorchBackend`: compiled kernels where they can serve, torch's own operations elsewhere."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor

from approxtopk import Request

from . import native
from .tensors import Pair, TensorBackend, Tensors

#: Modules with kernels of their own, by device kind, the preferred one first.
COMPILED = {
    "cuda": ("approxtopk_torch.cuda", "approxtopk_torch.triton"),
    "cpu": ("approxtopk_torch.cpu",),
}


class Way(Protocol):
    """What a module that selects has to offer."""

    def topk(self, arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
        """Select from a plain tensor; see `approxtopk.topk`."""

    def kernel(self, request: Request) -> str:
        """What will run, in a few words."""

    def workspace(self, request: Request) -> int:
        """Bytes of extra memory."""

    def read_again(self, request: Request) -> float:
        """Bytes expected to be read again; see `approxtopk.Backend`."""


class TorchBackend(TensorBackend):
    """Torch tensors on any device."""

    name = "torch"
    certifies = True

    def select(self, arr: Tensor, request: Request, out: Pair | None = None) -> Tensors:
        if arr.is_neg():  # the bit that says that what is in memory is to be negated
            arr = arr.resolve_neg()
        return _way(request)[0].topk(arr, request, out)

    def devices(self) -> tuple[str, ...]:
        names = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
        return ("cpu", *(f"cuda:{ordinal} ({name})" for ordinal, name in enumerate(names)))

    def kernel(self, request: Request) -> str:
        way, reason = _way(request)
        why = f" (no {request.device_kind} kernel: {reason})" if reason else ""
        return way.kernel(request) + why

    def workspace(self, request: Request) -> int:
        return _way(request)[0].workspace(request)

    def read_again(self, request: Request) -> float:
        return _way(request)[0].read_again(request)


@lru_cache(maxsize=4096)
def _way(request: Request) -> tuple[Way, str | None]:
    """The module that serves a request; if it isn't the device's first, the reasons."""
    reasons: list[str] = []
    for name in COMPILED.get(request.device_kind, ()):
        try:
            compiled: Any = import_module(name)
            reason = compiled.refuses(request)
        except ImportError as error:
            reason = str(error)
        if reason is None:
            return compiled, "; ".join(reasons) or None
        reasons.append(reason)
    return native, "; ".join(reasons) or None
