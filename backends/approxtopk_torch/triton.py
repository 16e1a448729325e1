"""CUDA and ROCm tensors by way of `approxtopk_triton`, where the CUDA kernels can't serve.

ImportError where Triton isn't installed; `native` serves then.
"""

from __future__ import annotations

from approxtopk import Request
from approxtopk_triton import launch
from approxtopk_triton.backend import TritonBackend

_triton = TritonBackend()
topk = _triton.select
workspace = _triton.workspace
read_again = _triton.read_again


def refuses(request: Request) -> str | None:
    """One sentence on why the Triton kernels can't serve a request, or None if they can."""
    if launch.INTERPRETED:
        return "Triton interprets its kernels"
    return launch.unusable() or _triton.refuses(request)


def kernel(request: Request) -> str:
    """What will run for a contiguous tensor, in a few words."""
    return f"Triton: {_triton.kernel(request)}"
