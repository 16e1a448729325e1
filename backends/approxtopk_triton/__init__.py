"""The Triton backend of approxtopk: torch tensors on any GPU that Triton compiles for."""

from __future__ import annotations

import os

from approxtopk import Backend, BackendSpec, BackendUnavailableError, hookimpl


@hookimpl
def approxtopk_backends() -> list[BackendSpec]:
    """Declare the backend; CPU tensors only where Triton interprets its kernels."""
    interpreted = os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
    return [
        BackendSpec(
            name="triton",
            load=_load,
            array_types=("torch.Tensor",),
            device_kinds=("cpu",) if interpreted else ("cuda",),
            priority=40,
            extra="triton",
        )
    ]


def _load() -> Backend:
    from .launch import unusable

    reason = unusable()
    if reason is not None:
        raise BackendUnavailableError(reason)
    from .backend import TritonBackend

    return TritonBackend()
